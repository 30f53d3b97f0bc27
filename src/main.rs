//! The `onelane` command: parse, run, exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One lane per MediaTailor session.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A local MediaTailor that conflicts like the real one.
    ///
    /// Of each flag its help says what AWS documents and what is inferred: for the conflict itself, that it exists and
    /// that one playlist at a time avoids it is documented, and no more. Counters: GET /__emulator/stats,
    /// /__emulator/sessions, /__emulator/sessions/ID; POST /__emulator/reset.
    #[cfg(feature = "emulator")]
    Emulate(Box<onelane::emulator::Args>),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match command {
        #[cfg(feature = "emulator")]
        Command::Emulate(args) => onelane::emulator::run(*args).await,
    }
}
