//! The variables of the environment that stand for flags.

use std::{env, ffi::OsString};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Leaves out the variables that are set to nothing. systemd's `EnvironmentFile` and Docker can set a
/// variable, and not take it away: `ONELANE_DEPTH=` is how one is unset there.
pub(crate) fn without_empty(command: Command) -> Command {
    without(command, &|flag| value(flag).is_some_and(|value| value.is_empty()))
}

/// Names the variable that a wrong value is from in the place of its flag, which nobody has written.
/// `command` is what refused the arguments.
pub(crate) fn named(error: clap::Error, command: &Command, arguments: &[OsString]) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return error;
    }
    let flag = |error: &clap::Error| match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => Some(flag.clone()),
        _ => None,
    };
    let Some(wrong) = flag(&error) else { return error };
    // It is told with what it takes: `--depth <N>`.
    let long = wrong.split(' ').next().and_then(|long| long.strip_prefix("--"));
    let is_wrong = |flag: &Arg| value(flag).is_some() && flag.get_long().is_some() && flag.get_long() == long;
    let Some(variable) = all(command).find(|flag| is_wrong(flag)).and_then(Arg::get_env) else {
        return error;
    };
    let alone = without(command.clone(), &is_wrong).try_get_matches_from(arguments);
    // It is wrong on the command line as well.
    if alone.is_err_and(|alone| flag(&alone).as_ref() == Some(&wrong)) {
        return error;
    }
    let mut error = error;
    error.insert(ContextKind::InvalidArg, ContextValue::String(variable.to_string_lossy().into_owned()));
    error
}

fn value(flag: &Arg) -> Option<OsString> {
    flag.get_env().and_then(env::var_os)
}

/// The flags of a command and of those beneath it.
fn all(command: &Command) -> Box<dyn Iterator<Item = &Arg> + '_> {
    Box::new(command.get_arguments().chain(command.get_subcommands().flat_map(all)))
}

/// The same command, to which the variables of such flags are nothing.
fn without(command: Command, such: &dyn Fn(&Arg) -> bool) -> Command {
    let own = |flag: Arg| if such(&flag) { flag.env(None::<&str>) } else { flag };
    command.mut_args(own).mut_subcommands(|command| without(command, such))
}
