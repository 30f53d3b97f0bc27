//! The `onelane` command: parse, run, exit code.

mod cli;

use std::{
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind};
#[cfg(feature = "sidecar")]
use onelane::sidecar::Reread;

use self::cli::{
    logs::{Logging, Logs, Role},
    papers, variables,
};

/// The exit code for a command line that makes no sense (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// The exit code where it is no fault of the settings, the upstream or a port (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;

/// One lane per MediaTailor session: HLS playlists, one at a time.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    logs: Logs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Proxy players' requests to MediaTailor, every session in one lane
    #[cfg(feature = "sidecar")]
    Serve(Box<onelane::sidecar::Flags>),

    /// Check the settings of serve: say what is wrong, or what they come to and where each value is from
    ///
    /// It takes the flags of serve and reads the same variables and file, and serves nothing. What it writes
    /// is a file that makes the settings what they are. Exit code 64 when something is wrong.
    #[cfg(feature = "sidecar")]
    Check(Box<onelane::sidecar::Flags>),

    /// Write a file of settings to begin with
    #[cfg(feature = "sidecar")]
    Config(onelane::sidecar::ConfigArgs),

    /// Ask a serving onelane whether it is ready for players; for containers
    #[cfg(feature = "sidecar")]
    Healthcheck(onelane::sidecar::HealthcheckArgs),

    /// Examine a playback URL: what it does, what that means for players, and what to do about it
    ///
    /// It loads the playlists of one session, creating it where the URL does: one after the other, two at once, and two
    /// at once through a onelane in this process. 40 requests at most, 120 with --deep. Exit code 0 when
    /// there is nothing to do, 1 after warnings, 2 after errors, 69 when nothing answers.
    #[cfg(feature = "sidecar")]
    Doctor(onelane::doctor::Args),

    /// Emulate MediaTailor, conflicts and all, to test players and proxies against
    ///
    /// The help of each flag says what AWS documents and what is inferred. Of the conflict itself no more is
    /// documented than that it exists, and that one playlist at a time avoids it. Counters: GET
    /// /__emulator/stats, /__emulator/sessions, /__emulator/sessions/ID; POST /__emulator/reset. While it
    /// runs: POST /__emulator/faults, /__emulator/busy-after, /__emulator/expire; GET and DELETE
    /// /__emulator/faults.
    #[cfg(feature = "emulator")]
    Emulate(Box<onelane::emulator::Args>),

    /// Show the problem and the cure: players straight at an emulated MediaTailor, then through onelane
    ///
    /// All in this process, on free ports of the loopback. Exit code 0 when players met conflicts straight at the
    /// emulator and none through onelane.
    #[cfg(all(feature = "sidecar", feature = "emulator"))]
    Demo(onelane::demo::Args),

    /// Write completions for a shell
    Completions(papers::CompletionsArgs),

    /// Write the manual, for man
    Man,
}

/// What a command line and the file that it names come to.
struct Read {
    cli: Cli,
    matches: ArgMatches,
    reader: clap::Command,
}

/// Why they come to nothing.
enum Refused {
    #[cfg(feature = "sidecar")]
    File(onelane::sidecar::Error),
    Usage(clap::Error),
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let Read { cli, matches, reader } = match Read::from(&arguments) {
        Ok(read) => read,
        Err(refused) => return refused.report(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}; are there too few open files, threads or bytes for it?");
            return ExitCode::from(INTERNAL);
        }
    };
    let (logging, _flushed_at_the_end) = match cli.logs.start(cli.command.log_is()) {
        Ok(started) => started,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(USAGE);
        }
    };
    #[cfg(feature = "sidecar")]
    cli.command.tell_mistaken();
    let run = || runtime.block_on(run(cli.command, (&reader, &matches), arguments, logging));
    // What has panicked has said so.
    let code = catch_unwind(AssertUnwindSafe(run)).unwrap_or(ExitCode::from(INTERNAL));
    // What is still in flight by now has had its time.
    runtime.shutdown_background();
    code
}

/// Runs a command; `reader` is what read it from the arguments, and what that found.
#[cfg_attr(not(feature = "sidecar"), expect(unused_variables))]
async fn run(
    command: Command,
    reader: (&clap::Command, &ArgMatches),
    arguments: Vec<OsString>,
    logging: Logging,
) -> ExitCode {
    match command {
        #[cfg(feature = "sidecar")]
        Command::Serve(flags) => onelane::sidecar::run(*flags, move || again(&arguments, &logging)).await,
        #[cfg(feature = "sidecar")]
        Command::Check(flags) => onelane::sidecar::check(*flags, reader),
        #[cfg(feature = "sidecar")]
        Command::Config(arguments) => onelane::sidecar::print_default(&arguments),
        #[cfg(feature = "sidecar")]
        Command::Healthcheck(arguments) => onelane::sidecar::healthcheck(arguments).await,
        #[cfg(feature = "sidecar")]
        Command::Doctor(arguments) => onelane::doctor::run(arguments).await,
        Command::Completions(arguments) => papers::completions(&arguments, reader.0),
        Command::Man => papers::man(reader.0),
        #[cfg(feature = "emulator")]
        Command::Emulate(args) => onelane::emulator::run(*args).await,
        #[cfg(all(feature = "sidecar", feature = "emulator"))]
        Command::Demo(args) => onelane::demo::run(args).await,
    }
}

/// Reads the settings of serve again, for a reload.
#[cfg(feature = "sidecar")]
fn again(arguments: &[OsString], logging: &Logging) -> Result<Reread, String> {
    let Read { cli, .. } = Read::from(arguments).map_err(|refused| refused.line())?;
    let Command::Serve(flags) = cli.command else { return Err("it is another command now".to_owned()) };
    let config = flags.read().map_err(|error| error.to_string())?;
    logging.again(&cli.logs, Reread::new(config))
}

/// Help as it is, and an error in one line that says what to do.
fn usage(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Whoever reads it may have read enough.
        let _cut_off = error.print();
        return code;
    }
    #[cfg(feature = "sidecar")]
    if error.kind() == ErrorKind::MissingRequiredArgument {
        // What is missing may be there by another name.
        variables::mistaken(&Cli::command()).iter().for_each(|what| eprintln!("warning: {what}"));
    }
    eprintln!("error: {}", line(error));
    code
}

fn line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let said = rendered.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<_> = said.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    let mut said = said.join(" ");
    if error.kind() == ErrorKind::MissingRequiredArgument && said.contains("--upstream") {
        said.push_str("; a flag may stand in the environment, as ONELANE_UPSTREAM, or in the file of --config, as upstream");
    }
    format!("{}; see --help", said.strip_prefix("error: ").unwrap_or(&said))
}

// === impl Read ===

impl Read {
    fn from(arguments: &[OsString]) -> Result<Self, Refused> {
        let command = variables::without_empty(Cli::command());
        #[cfg(feature = "sidecar")]
        let command = onelane::sidecar::with_file(command, arguments).map_err(Refused::File)?;
        let mut reader = command.clone();
        let parsed = reader.try_get_matches_from_mut(arguments);
        let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
        match parsed {
            Ok((cli, matches)) => Ok(Self { cli, matches, reader }),
            Err(error) => {
                let error = variables::named(error, &command, arguments);
                Err(Refused::Usage(error.format(&mut reader)))
            }
        }
    }
}

// === impl Refused ===

impl Refused {
    fn report(&self) -> ExitCode {
        match self {
            #[cfg(feature = "sidecar")]
            Self::File(error) => error.report(),
            Self::Usage(error) => usage(error),
        }
    }

    #[cfg(feature = "sidecar")]
    fn line(&self) -> String {
        match self {
            Self::File(error) => error.to_string(),
            Self::Usage(error) => line(error),
        }
    }
}

// === impl Command ===

impl Command {
    /// Tells of variables that stand for nothing where the settings are read.
    #[cfg(feature = "sidecar")]
    fn tell_mistaken(&self) {
        let mistaken = || variables::mistaken(&Cli::command());
        match self {
            Self::Serve(_) => mistaken().iter().for_each(|what| tracing::warn!("{what}")),
            Self::Check(_) => mistaken().iter().for_each(|what| eprintln!("warning: {what}")),
            _ => {}
        }
    }

    fn log_is(&self) -> Role {
        match self {
            #[cfg(feature = "sidecar")]
            Self::Serve(_) | Self::Check(_) | Self::Config(_) | Self::Healthcheck(_) => Role::Output,
            Self::Completions(_) | Self::Man => Role::Output,
            #[cfg(feature = "emulator")]
            Self::Emulate(_) => Role::Output,
            #[cfg(feature = "sidecar")]
            Self::Doctor(_) => Role::Aside,
            #[cfg(all(feature = "sidecar", feature = "emulator"))]
            Self::Demo(args) if args.serve => Role::Staged,
            #[cfg(all(feature = "sidecar", feature = "emulator"))]
            Self::Demo(_) => Role::Aside,
        }
    }
}
