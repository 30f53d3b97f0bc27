//! The file of `--config`: what it may say, and what that makes of the defaults.
//!
//! What is a flag as well stands at the top and becomes [that flag's default](plain). The rest is for the
//! stages: every key is an [`Option`], and what flags say of them is put [over](File::over) the file, both
//! over the defaults.

mod bad;
pub(in crate::sidecar) mod plain;
mod remap;
mod rescue;
mod retry;
mod settle;
mod shield;
mod site;
mod upstreams;
mod value;

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use clap::Args as _;
use serde::Deserialize;
use toml::de::DeTable;

pub(in crate::sidecar) use self::{
    bad::{BadFile, Wrong},
    remap::{Profile, Remap},
    rescue::Rescue,
};
use self::{retry::Retry, settle::Settle, shield::Shield, site::Site, upstreams::Upstreams};
use crate::sidecar::{Config, Flags, Upstream};

/// All settings that a file can have, or a command line in its place.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::sidecar) struct File {
    /// Where it is no URL, which is a flag's.
    pub(in crate::sidecar) upstream: Upstreams,
    pub(in crate::sidecar) remap: Remap,
    #[serde(deserialize_with = "value::section")]
    pub(in crate::sidecar) rescue: Rescue,
    #[serde(deserialize_with = "value::section")]
    pub(in crate::sidecar) shield: Shield,
    #[serde(deserialize_with = "value::section")]
    pub(in crate::sidecar) retry: Retry,
    #[serde(deserialize_with = "value::section")]
    pub(in crate::sidecar) settle: Settle,
}

/// A file with everything in it, as it is by default.
pub(in crate::sidecar) const DEFAULT: &str = include_str!("default.toml");

/// No file of settings is larger, in bytes.
const LARGEST: u64 = 1024 * 1024;

// === impl File ===

impl File {
    /// # Errors
    ///
    /// When it cannot be read, or says something that it may not.
    pub(in crate::sidecar) fn read(path: &Path) -> Result<Self, BadFile> {
        Self::parse(path, &text(path)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, BadFile> {
        let place = |error: &toml::de::Error| Some((text, error.span()?.start));
        let mut table = DeTable::parse(text).map_err(|error| {
            let what = format!("it is not TOML: {}; https://toml.io shows how to write it", error.message());
            BadFile::new(path, place(&error), None, &what)
        })?;
        let flags = Flags::augment_args(clap::Command::new("serve"));
        plain::strip(table.get_mut(), &flags);
        let reader = toml::Deserializer::from(table);
        serde_path_to_error::deserialize(reader).map_err(|error| {
            let key = error.path().to_string();
            let more: Vec<_> = plain::names(&flags)
                .filter(|name| !key.contains(['.', '[']) && *name != "upstream")
                .collect();
            BadFile::new(path, place(error.inner()), Some(&key), &bad::told(error.inner().message(), &more))
        })
    }

    /// These settings, and the other's where there are none.
    pub(in crate::sidecar) fn over(self, other: Self) -> Self {
        Self {
            upstream: if self.upstream.is_none() { other.upstream } else { self.upstream },
            remap: self.remap.over(other.remap),
            rescue: self.rescue.over(other.rescue),
            shield: self.shield.over(other.shield),
            retry: self.retry.over(other.retry),
            settle: self.settle.over(other.settle),
        }
    }

    /// Sets what is set here.
    ///
    /// # Errors
    ///
    /// When settings do not go together.
    pub(in crate::sidecar) fn apply(self, config: &mut Config) -> Result<(), Wrong> {
        self.remap.apply(&mut config.remap)?;
        self.rescue.apply(&mut config.rescue)?;
        self.shield.apply(&mut config.shield)?;
        self.retry.apply(&mut config.retry)?;
        self.settle.apply(&mut config.settle);
        match self.upstream {
            Upstreams::Several(tables) => site::apply(tables, config),
            // A flag or variable goes first.
            Upstreams::Of(_) if config.upstream != Upstream::unasked() => Ok(()),
            Upstreams::Of(named) => {
                config.upstream = Upstream::of(&named).map_err(|what| Wrong::new(plain::UPSTREAM, what))?;
                Ok(())
            }
        }
    }
}

pub(in crate::sidecar) fn text(path: &Path) -> Result<String, BadFile> {
    let read = || {
        let mut text = String::new();
        // A pipe would keep whoever reads it.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
        match text.len() as u64 > LARGEST {
            true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            false => Ok(text),
        }
    };
    read().map_err(|error| {
        let what =
            format!("it cannot be read: {error}; name a TOML file of 1 MiB at most, or leave --config out");
        BadFile::new(path, None, None, &what)
    })
}

/// Puts a setting in the place of a default.
fn set<T>(default: &mut T, setting: Option<T>) {
    if let Some(setting) = setting {
        *default = setting;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{stack, upstream::Verdict};

    fn file(text: &str) -> File {
        File::parse(Path::new("a.toml"), text).expect(text)
    }

    fn applied(file: File) -> Result<Config, BadFile> {
        let mut config = Config::new("http://a.example".parse().expect("an upstream"));
        file.apply(&mut config).map_err(|wrong| wrong.of(Path::new("a.toml")))?;
        Ok(config)
    }

    fn refused(text: &str) -> String {
        File::parse(Path::new("a.toml"), text).and_then(applied).expect_err(text).to_string()
    }

    /// The file of the documentation.
    fn documented() -> &'static str {
        let page = include_str!("../../../../docs/configuration.md");
        let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("\n```").next());
        block.expect("a file")
    }

    #[test]
    fn the_documented_file_has_every_key_and_the_defaults_of_the_code() {
        let file = file(documented());
        // A key that it does not have is `None`.
        let keys = format!("{file:?}").replace("retry_after: None", "");
        assert!(!keys.contains("None"), "{keys}");
        let defaults = remap_of(&Config::new("http://a.example".parse().expect("an upstream")));
        assert_eq!(file.remap.rules.len(), defaults.iter().flatten().count());

        let config = applied(file).expect("a good file");
        assert_eq!(remap_of(&config), defaults);
        assert_eq!(format!("{:?}", config.stack()), format!("{:?}", stack_of_the_sidecar()));
    }

    fn remap_of(config: &Config) -> Vec<Option<crate::remap::Rule>> {
        Verdict::ALL.iter().map(|verdict| config.remap.of(*verdict)).collect()
    }

    /// The defaults of the library, and the lanes as the sidecar has them.
    fn stack_of_the_sidecar() -> stack::Config {
        let serialize = crate::serialize::Config::default().bound_all(true).driven_by_players(true);
        stack::Config::default().serialize(serialize)
    }

    #[test]
    fn every_key_has_its_effect() {
        let text = r#"
            remap.profile = "transparent"
            remap.conflict = { status = 503, retry_after = 2 }
            remap.failed.status = 500
            [rescue]
            enabled = true
            after = "1s 500ms"
            max_age = "20s"
            bytes = "1GiB"
            largest = "512KiB"
            [shield]
            gap = "4s"
            least_gap = "2s"
            blocked_gap = "1m"
            session_4xx_per_minute = 7
            configuration_4xx_per_minute = 4294967295
            warn_at = 1
            [retry]
            conflict = 0
            overloaded = 2
            broken = 100
            least_pause = "300ms"
            longest_pause = "300ms"
            patient = false
            creations = true
            within = "4s"
            budget_per_second = 1
            budget_part = 0
            [settle]
            most = "0s"
        "#;
        let Config { remap, rescue, shield, retry, settle, .. } = applied(file(text)).expect("a good file");
        let (ms, rescue) = (Duration::from_millis, rescue.expect("it is on"));
        let rule = |verdict| remap.of(verdict).map(|rule| (rule.to_status().as_u16(), rule.to_retry_after()));
        assert_eq!(remap.profile, crate::remap::Profile::Transparent);
        assert_eq!(
            (rule(Verdict::Conflict), rule(Verdict::Failed)),
            (Some((503, Some(2))), Some((500, None)))
        );
        assert_eq!(rule(Verdict::TimedOut), Some((504, None)));
        assert_eq!((rescue.after, rescue.max_age), (ms(1_500), ms(20_000)));
        assert_eq!((rescue.bytes, rescue.largest), (1 << 30, 512 << 10));
        assert_eq!((shield.gap, shield.least_gap, shield.blocked_gap), (ms(4_000), ms(2_000), ms(60_000)));
        assert_eq!((shield.session_4xx_per_minute, shield.configuration_4xx_per_minute), (7, u32::MAX));
        assert!((shield.warn_at - 1.0).abs() < f64::EPSILON);
        assert_eq!((retry.conflict, retry.overloaded, retry.broken), (0, 2, 100));
        assert_eq!((retry.least_pause, retry.longest_pause), (ms(300), ms(300)));
        assert_eq!((retry.within, retry.budget_per_second), (ms(4_000), 1));
        assert_eq!((retry.patient, retry.creations), (false, true));
        assert!(retry.budget_part.abs() < f32::EPSILON);
        assert_eq!(settle, Duration::ZERO);
    }

    #[test]
    fn what_is_left_out_stays() {
        for text in ["", "# nothing\n", "[remap]\n[rescue]\n[shield]\n[retry]\n[settle]\n"] {
            let config = applied(file(text)).expect(text);
            assert_eq!(format!("{:?}", config.stack()), format!("{:?}", stack_of_the_sidecar()), "{text:?}");
        }
    }

    #[test]
    fn rescues_can_be_switched_off() {
        for text in ["rescue.enabled = false", "[rescue]\nenabled = false\nbytes = \"0B\"\nafter = \"1s\""] {
            assert!(applied(file(text)).expect(text).stack().rescue.is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_over_goes_first() {
        let over = file("remap.conflict.status = 500\nrescue.after = \"1s\"");
        let under = file(
            "remap.conflict.status = 503\nremap.blocked.status = 404\n\
             rescue = { after = \"5s\", max_age = \"7s\" }",
        );
        let config = applied(over.over(under)).expect("a good file");
        let status = |verdict| config.remap.of(verdict).map(|rule| rule.to_status().as_u16());
        assert_eq!((status(Verdict::Conflict), status(Verdict::Blocked)), (Some(500), Some(404)));
        let rescue = config.rescue.expect("it is on");
        assert_eq!((rescue.after, rescue.max_age), (Duration::from_secs(1), Duration::from_secs(7)));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, says) in [
            // Keys
            (
                "strip_directive = true",
                &["a.toml:1:1: strip_directive: ", "did you mean strip_directives?"][..],
            ),
            ("[resque]\n", &["resque: ", "did you mean rescue?", "remap, rescue, shield, retry, settle"]),
            ("[rescue]\nafer = \"1s\"", &["a.toml:2:1: rescue.afer: ", "did you mean after?", "largest"]),
            ("[rescue]\nmax-age = \"1s\"", &["rescue.max-age: ", "did you mean max_age?"]),
            ("[retry]\nx = 1", &["retry.x: ", "leave it out", "budget_part"]),
            ("[shield]\nWarn_At = 1", &["shield.Warn_At: ", "did you mean warn_at?"]),
            ("[settle]\nleast = \"1s\"", &["settle.least: ", "known here are most"]),
            ("\"a\\u001b[31m\\nb\" = 1", &["a\\u{1b}[31m\\nb: "]),
            // Verdicts
            (
                "[remap]\nconflikt = { status = 502 }",
                &["a.toml:2:1: remap.conflikt: ", "did you mean conflict?"],
            ),
            (
                "[remap]\nnonsense = 1",
                &["remap.nonsense: ", "profile, conflict, session_lost", "malformed_session"],
            ),
            ("[remap]\nplaylist = { status = 502 }", &["remap.playlist: ", "passed on", "leave it out"]),
            ("[remap]\npassed = { status = 502 }", &["remap.passed: ", "leave it out"]),
            (
                "[remap]\nprofile = \"survives\"",
                &["remap.profile: ", "\"survives\"", "\"survive\" or \"transparent\""],
            ),
            ("[remap]\nprofile = 1", &["remap.profile: ", "\"survive\" or \"transparent\""]),
            ("[remap]\nconflict = 502", &["remap.conflict: ", "{ status = 502"]),
            ("[remap]\nconflict = {}", &["remap.conflict: ", "status is missing"]),
            ("[remap]\nconflict = { retry_after = 1 }", &["remap.conflict: ", "status is missing"]),
            (
                "[remap]\nconflict = { status = 409 }",
                &["a.toml:2:23: remap.conflict.status: ", "409", "400 to 599"],
            ),
            ("[remap]\nconflict = { status = 200 }", &["remap.conflict.status: ", "200", "400 to 599"]),
            ("[remap]\nconflict = { status = 429 }", &["remap.conflict.status: ", "429", "400 to 599"]),
            ("[remap]\nconflict = { status = 70000 }", &["remap.conflict.status: ", "70000", "400 to 599"]),
            ("[remap]\nconflict = { status = -1 }", &["remap.conflict.status: ", "-1", "400 to 599"]),
            ("[remap]\nconflict = { status = \"502\" }", &["remap.conflict.status: ", "400 to 599"]),
            (
                "[remap]\nconflict = { status = 502, retry_after = -1 }",
                &["remap.conflict.retry_after: ", "0 to 86400"],
            ),
            (
                "[remap]\nconflict = { status = 502, after = 1 }",
                &["remap.conflict.after: ", "known here are status, retry_after"],
            ),
            ("remap = 502", &["a.toml:1:9: remap: ", "a section of keys"]),
            // Times
            ("[rescue]\nafter = \"0s\"", &["a.toml:2:9: rescue.after: ", "more than zero"]),
            ("[rescue]\nafter = \"-2s\"", &["rescue.after: ", "\"-2s\"", "write it like"]),
            ("[rescue]\nafter = 2", &["rescue.after: ", "integer `2`", "\"6s\""]),
            ("[rescue]\nafter = \"2\"", &["rescue.after: ", "write it like"]),
            ("[rescue]\nmax_age = \"0ms\"", &["rescue.max_age: ", "more than zero"]),
            ("[rescue]\nmax_age = \"2days\"", &["rescue.max_age: ", "a day at most"]),
            ("[shield]\ngap = \"0s\"", &["shield.gap: ", "more than zero"]),
            ("[shield]\nleast_gap = \"0s\"", &["shield.least_gap: ", "more than zero"]),
            ("[shield]\nblocked_gap = true", &["shield.blocked_gap: ", "a time as text"]),
            ("[shield]\nleast_gap = \"5s\"", &["a.toml: shield.gap: ", "3s", "5s and 30s", "change"]),
            ("[shield]\nblocked_gap = \"2s\"", &["shield.gap: ", "1s and 2s"]),
            ("[retry]\nleast_pause = \"0s\"", &["retry.least_pause: ", "between 1ms and 1m"]),
            ("[retry]\nlongest_pause = \"2m\"", &["retry.longest_pause: ", "between 1ms and 1m"]),
            ("[retry]\nlongest_pause = \"40ms\"", &["retry.longest_pause: ", "40ms", "50ms", "raise it"]),
            ("[retry]\nleast_pause = \"1s\"", &["retry.longest_pause: ", "250ms", "1s"]),
            ("[retry]\nwithin = \"0s\"", &["retry.within: ", "more than zero"]),
            ("[settle]\nmost = \"61s\"", &["settle.most: ", "between 0s, for none, and 1m"]),
            ("[settle]\nmost = \"-1s\"", &["settle.most: ", "write it like"]),
            // Numbers
            ("[retry]\nconflict = -1", &["retry.conflict: ", "0 to 100"]),
            ("[retry]\nconflict = 101", &["retry.conflict: ", "0 to 100"]),
            ("[retry]\nbroken = 1.5", &["retry.broken: ", "a whole number from 0 to 100"]),
            ("[retry]\nbudget_per_second = 0", &["retry.budget_per_second: ", "1 to 1000000"]),
            ("[retry]\nbudget_part = 1.5", &["retry.budget_part: ", "a number from 0 to 1"]),
            ("[retry]\nbudget_part = -0.1", &["retry.budget_part: ", "a number from 0 to 1"]),
            ("[shield]\nwarn_at = 1.1", &["shield.warn_at: ", "a number from 0 to 1"]),
            ("[shield]\nwarn_at = 80", &["shield.warn_at: ", "80", "a number from 0 to 1"]),
            ("[shield]\nwarn_at = nan", &["shield.warn_at: ", "a number from 0 to 1"]),
            ("[shield]\nwarn_at = \"80%\"", &["shield.warn_at: ", "a number from 0 to 1"]),
            ("[shield]\nsession_4xx_per_minute = 0", &["shield.session_4xx_per_minute: ", "from 1 to"]),
            (
                "[shield]\nconfiguration_4xx_per_minute = 4294967296",
                &["shield.configuration_4xx", "from 1 to"],
            ),
            // Sizes and switches
            ("[rescue]\nbytes = \"0B\"", &["rescue.bytes: ", "more than zero", "enabled = false"]),
            ("[rescue]\nenabled = true\nbytes = \"0\"", &["rescue.bytes: ", "enabled = false"]),
            ("[rescue]\nbytes = 0", &["rescue.bytes: ", "a size as text"]),
            ("[rescue]\nbytes = \"lots\"", &["rescue.bytes: ", "write it like"]),
            ("[rescue]\nlargest = \"0MiB\"", &["rescue.largest: ", "more than zero"]),
            ("[rescue]\nenabled = \"no\"", &["rescue.enabled: ", "true or false"]),
            ("[retry]\ncreations = \"yes\"", &["retry.creations: ", "true or false"]),
            ("rescue = []", &["rescue: ", "a section of keys"]),
            ("rescue = [true, \"1s\"]", &["rescue: ", "a section of keys"]),
            ("[[retry]]\nconflict = 1", &["retry: ", "a section of keys"]),
            ("rescue = false", &["rescue: ", "a section of keys"]),
            ("[remap]\nconflict = [502]", &["remap.conflict: ", "a table such as"]),
            // TOML
            ("[rescue\n", &["a.toml:1:", "not TOML", "https://toml.io"]),
            ("[rescue]\nafter = 2s\n", &["a.toml:2:", "not TOML"]),
            ("[rescue]\nafter = \"1s\"\nafter = \"2s\"", &["a.toml:3:1", "not TOML", "duplicate key"]),
            ("{\"rescue\": {}}", &["a.toml:1:1", "not TOML"]),
            ("=", &["a.toml:1:1", "not TOML"]),
        ] {
            let told = refused(text);
            assert!(says.iter().all(|part| told.contains(part)), "{text}: {told}");
            assert!(told.starts_with("a.toml:"), "{text}: {told}");
            assert!(!told.contains(char::is_control), "{text}: {told:?}");
        }
    }

    #[test]
    fn whatever_the_file_says_the_line_is_of_one_length() {
        for text in [
            "x".repeat(100_000) + " = 1",
            "[".repeat(100_000),
            format!("rescue.after = \"{}\"", "9".repeat(100_000)),
        ] {
            assert!(refused(&text).len() < 2_000);
        }
    }

    proptest::proptest! {
        /// Nor does it panic.
        #[test]
        fn any_text_is_read_or_refused(text in "(\\[(remap|rescue|shield|retry)\\]\n)?([a-z_.\"]{0,9} ?= ?[-0-9a-z.\"{}=]{0,9}\n){0,3}") {
            if let Err(bad) = File::parse(Path::new("a.toml"), &text).and_then(applied) {
                proptest::prop_assert!(bad.to_string().starts_with("a.toml:"));
            }
        }
    }
}
