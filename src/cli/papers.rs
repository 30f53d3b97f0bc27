//! What a shell and `man` want of the command line.

use std::{
    io::{self, Write as _, stdout},
    process::ExitCode,
};

use clap_complete::Shell;
use clap_mangen::Man;

/// The command line of `onelane completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to write completions for
    shell: Shell,
}

/// Writes what a shell completes `onelane` by.
pub(crate) fn completions(arguments: &CompletionsArgs, command: &clap::Command) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command.clone(), command.get_name(), &mut text);
    tell(&text)
}

/// Writes the manual: the command, and each of its subcommands.
pub(crate) fn man(command: &clap::Command) -> ExitCode {
    let mut text = Vec::new();
    let render = || -> io::Result<()> {
        Man::new(command.clone()).render(&mut text)?;
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            let name = format!("{}-{}", command.get_name(), subcommand.get_name());
            Man::new(subcommand.clone().name(name)).render(&mut text)?;
        }
        Ok(())
    };
    match { render }() {
        Ok(()) => tell(&text),
        Err(_) => ExitCode::FAILURE,
    }
}

fn tell(text: &[u8]) -> ExitCode {
    // Whoever reads it may have read enough.
    match stdout().write_all(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
