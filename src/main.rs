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
