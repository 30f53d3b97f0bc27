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
enum Command {}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match command {}
}
