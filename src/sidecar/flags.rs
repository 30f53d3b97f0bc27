use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;

use super::{
    Config, Error,
    file::{File, Profile, Remap, Rescue},
    written::{some_bytes, time},
};

/// The command line of `onelane serve`.
///
/// What is set by a flag goes before what is set by a variable of the environment, that before the file of `--config`,
/// and that before the default.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct Flags {
    #[command(flatten)]
    config: Config,

    /// A TOML file with settings of the stages: what players get, rescues, shield, retries; docs/configuration.md has all
    /// of them. Flags and environment go first
    #[arg(long = "config", env = "ONELANE_CONFIG", value_name = "FILE")]
    file: Option<PathBuf>,

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
    /// Reads the file, if one is named, and puts all settings together.
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
        flags.over(file).apply(&mut config).map_err(|wrong| Error::settings(wrong.of(&path)))?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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
