use std::{ffi::OsString, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{Arg, Command};

use super::{
    file::{
        File, Profile, Remap, Rescue,
        plain::{self, Plain},
    },
    written::{some_bytes, time},
};
use crate::sidecar::{Config, Error, LeaseEngine, OtlpCollector};

/// The command line of `onelane serve`.
///
/// What is set by a flag goes before what is set by a variable of the environment, that before the file of `--config`,
/// and that before the default.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct Flags {
    #[command(flatten)]
    config: Config,

    /// A TOML file with any of these settings, and with those of the stages: what players get, rescues,
    /// shield, retries; `onelane config --print-default` writes one. Flags and environment go first
    #[arg(long = "config", env = "ONELANE_CONFIG", value_name = "FILE")]
    pub(in crate::sidecar) file: Option<PathBuf>,

    /// What players get where the upstream fails: an answer that they survive, or the upstream's own; the default
    /// is survive
    #[arg(long, env = "ONELANE_REMAP_PROFILE", value_name = "PROFILE")]
    remap_profile: Option<Profile>,

    /// How long a player waits before it is given the last good playlist, while the exchange goes on; the default is
    /// 2s
    #[arg(long, env = "ONELANE_RESCUE_AFTER", value_name = "TIME", value_parser = time)]
    rescue_after: Option<Duration>,

    /// The longest time since the upstream confirmed a playlist for which it is given; the default is 60s
    #[arg(long, env = "ONELANE_RESCUE_MAX_AGE", value_name = "TIME", value_parser = time)]
    rescue_max_age: Option<Duration>,

    /// The memory that all last good playlists may take; the default is 256MiB
    #[arg(long, env = "ONELANE_RESCUE_BYTES", value_name = "SIZE", value_parser = some_bytes)]
    rescue_bytes: Option<ByteSize>,
}

// === impl Flags ===

impl Flags {
    /// Reads what the file says of the stages, if one is named, and puts all settings together. What it says
    /// of flags has to be [among their defaults](with_file) by then.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or has something in it that makes no sense. The error names the file and the key,
    /// what is allowed there and what to do, in one line.
    pub fn read(self) -> Result<Config, Error> {
        let Self { mut config, file, remap_profile, rescue_after, rescue_max_age, rescue_bytes } = self;
        let flags = File {
            remap: Remap { profile: remap_profile, ..Remap::default() },
            rescue: Rescue {
                after: rescue_after,
                max_age: rescue_max_age,
                bytes: rescue_bytes,
                ..Rescue::default()
            },
            ..File::default()
        };
        let (path, file) = match file {
            Some(path) => (path.clone(), File::read(&path).map_err(Error::settings)?),
            None => Default::default(),
        };
        config.lease.as_ref().map_or(Ok(()), LeaseEngine::check)?;
        config.otlp.as_ref().map_or(Ok(()), OtlpCollector::check)?;
        flags.over(file).apply(&mut config).map_err(|wrong| Error::settings(wrong.of(&path)))?;
        if config.lease_required && config.lease.is_none() {
            return Err(Error::usage("--lease-required without --lease: name the engine, or leave it out"));
        }
        if config.listen == config.admin && config.listen.port() != 0 {
            let both =
                format!("--listen and --admin are both {}: give each a port of its own", config.listen);
            return Err(Error::usage(&both));
        }
        Ok(config)
    }
}

/// Makes what the file of `--config` says of flags the defaults of these flags, in whichever subcommand has that flag.
///
/// # Errors
///
/// When the file cannot be read, or when it gives a flag a value that the flag does not take. The error is
/// one line, as with [`Flags::read`].
pub fn with_file(command: Command, arguments: &[OsString]) -> Result<Command, Error> {
    let mut command = command;
    // What is wrong with the arguments is told when they are read.
    let Ok(matches) = command.clone().ignore_errors(true).try_get_matches_from(arguments) else {
        return Ok(command);
    };
    let Some((name, matches)) = matches.subcommand() else { return Ok(command) };
    let Ok(Some(path)) = matches.try_get_one::<PathBuf>("file") else { return Ok(command) };
    // A slip in a name is told before what is missing for it.
    File::read(path).map_err(Error::settings)?;
    let of =
        |command: &Command| command.get_arguments().filter(|flag| plain::is_plain(flag)).cloned().collect();
    let (around, own): (Vec<Arg>, Vec<Arg>) =
        (of(&command), command.find_subcommand(name).map(of).unwrap_or_default());
    for Plain { key, value } in plain::read(path, &[&around[..], &own].concat()).map_err(Error::settings)? {
        let set = |flag: Arg| flag.default_value(value).required(false);
        command = match own.iter().any(|flag| flag.get_id().as_str() == key) {
            true => command.mut_subcommand(name, |subcommand| subcommand.mut_arg(key, set)),
            false => command.mut_arg(key, set),
        };
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _, Parser};

    use super::super::file;
    use super::*;
    use crate::remap;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    fn read(flags: &[&str]) -> Config {
        let all = [&["serve", "--upstream", "http://a.example"], flags].concat();
        Cli::try_parse_from(all).expect("valid flags").flags.read().expect("valid settings")
    }

    #[test]
    fn no_flags_are_the_defaults() {
        let code = Config::new("http://a.example".parse().expect("an upstream"));
        assert_eq!(format!("{:?}", read(&[])), format!("{code:?}"));
    }

    /// The settings of a file alone.
    fn of_file(text: &str) -> Result<Config, String> {
        let place = tempfile(text);
        let arguments = ["serve", "serve", "--config", place.to_str().expect("a path")].map(OsString::from);
        let command = Command::new("onelane").subcommand(Cli::command().name("serve"));
        let read = || {
            let command = with_file(command, &arguments)?;
            let matches = command.try_get_matches_from(&arguments).expect("valid flags");
            let (_, matches) = matches.subcommand().expect("one");
            Flags::from_arg_matches(matches).expect("valid flags").read()
        };
        let config = read().map_err(|error: Error| error.to_string());
        std::fs::remove_file(place).expect("it was there");
        config
    }

    fn tempfile(text: &str) -> PathBuf {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let place = std::env::temp_dir().join(format!("onelane-{}-{nth}.toml", std::process::id()));
        std::fs::write(&place, text).expect("a place for files");
        place
    }

    #[test]
    fn the_default_file_is_the_defaults() {
        let upstream = "https://0123456789abcdef0123456789abcdef.mediatailor.eu-west-1.amazonaws.com";
        let code = Config::new(upstream.parse().expect("an upstream"));
        let file = of_file(file::DEFAULT).expect("a valid file");
        assert_eq!(format!("{file:?}"), format!("{code:?}"));
    }

    #[test]
    fn the_default_file_has_every_flag_and_is_in_the_papers() {
        for flag in Cli::command().get_arguments().filter(|flag| plain::is_plain(flag)) {
            let id = flag.get_id().as_str();
            let has = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{id} = "));
            assert!(file::DEFAULT.lines().any(has), "{id} is not in default.toml");
        }
        let papers = include_str!("../../../docs/configuration.md");
        assert!(papers.contains(file::DEFAULT), "docs/configuration.md has another file than default.toml");
    }

    #[test]
    fn a_file_may_set_every_flag() {
        let config = of_file(
            "upstream = \"http://a.example\"\nlisten = \"127.0.0.1:1\"\nanswer_within = \"4s\"\ndepth = 3\nresume = true\n\
             collect_up_to = \"1MiB\"\nhost = \"preserve\"\nlog = \"warn\"\n[rescue]\nafter = \"1s\"\n",
        );
        let config = config.expect("a valid file");
        assert_eq!(
            (config.depth, config.resume, config.host),
            (3, true, crate::sidecar::HostHeader::Preserve)
        );
        assert_eq!(config.answer_within, Duration::from_secs(4));
        assert_eq!(config.collect_up_to, ByteSize::mib(1));
        assert_eq!(config.rescue.expect("it is on").after, Duration::from_secs(1));
    }

    #[test]
    fn what_a_flag_does_not_take_is_refused_where_it_stands() {
        for (text, says) in [
            ("depth = 0", &[":1:9: depth: ", "\"0\"", "not in 1.."][..]),
            ("\nanswer_within = 6", &[":2:17: answer_within: ", "write it like 500ms, 6s or 2m"]),
            ("answer_within = \"0s\"", &["answer_within: ", "more than zero"]),
            ("host = \"keep\"", &["host: ", "allowed are rewrite, preserve"]),
            ("listen = \"localhost:8080\"", &["listen: ", "\"localhost:8080\"", "as IP:PORT"]),
            ("collect_up_to = \"2 megs\"", &["collect_up_to: ", "write it like 512KiB"]),
            ("waiting = -1", &["waiting: ", "a whole number"]),
            ("record_sessions = \"x\"", &["record_sessions: ", "a whole number"]),
            ("hand_over = \"\"", &["hand_over: ", "it is empty; leave it out for none"]),
            ("upstream = []", &["upstream: ", "the list is empty", "[[upstream]]"]),
            ("[upstream]\nurl = \"http://a.example\"", &["upstream.url: ", "write [[upstream]]"]),
            ("upstream = \"a.example\"", &["upstream: ", "it has no scheme; write https://a.example"]),
            ("resume = \"yes\"", &["resume: ", "write true or false"]),
            ("depth = [1]", &["depth: ", "it is an array; write a text or a number"]),
            ("depth = 1.5", &["depth: ", "it is a float"]),
            ("threads = -1", &["threads: ", "from 1 to 4096"]),
            ("[depth]\na = 1", &["depth: ", "it is a table"]),
            ("upstrem = \"http://a.example\"", &["upstrem: ", "did you mean upstream?"]),
            ("answer-within = \"6s\"", &["answer-within: ", "did you mean answer_within?"]),
            ("rescue_after = \"1s\"", &["rescue_after: ", "write after in the section [rescue]"]),
            ("config = \"b.toml\"", &["config: ", "it is not known"]),
        ] {
            let told = of_file(&format!("{text}\n")).expect_err(text);
            assert!(says.iter().all(|part| told.contains(part)), "{text}: {told}");
            assert!(!told.contains(char::is_control), "{text}: {told:?}");
        }
    }

    #[test]
    fn flags_need_no_file() {
        let config =
            read(&["--rescue-after", "1s", "--rescue-max-age", "5s", "--remap-profile", "transparent"]);
        let rescue = config.rescue.expect("it is on");
        assert_eq!((rescue.after, rescue.max_age), (Duration::from_secs(1), Duration::from_secs(5)));
        assert_eq!(rescue.bytes, 256 << 20);
        assert_eq!(config.remap.profile, remap::Profile::Transparent);
    }

    #[test]
    fn bad_flags_are_named() {
        for (flag, value, why) in [
            ("--rescue-after", "0s", "more than zero"),
            ("--rescue-max-age", "60", "write it like"),
            ("--rescue-bytes", "0", "more than zero"),
            ("--rescue-bytes", "lots", "write it like"),
            ("--remap-profile", "hide", "transparent"),
            ("--config", "", "--config"),
        ] {
            let arguments = ["serve", "--upstream", "http://a.example", flag, value];
            let error = Cli::try_parse_from(arguments).expect_err(flag).to_string();
            assert!(error.contains(flag) && error.contains(why), "{error}");
        }
    }
}
