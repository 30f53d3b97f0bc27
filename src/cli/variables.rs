//! The variables of the environment that stand for flags.

use std::{env, ffi::OsString};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// What all of them begin with.
#[cfg(feature = "sidecar")]
const PREFIX: &str = "ONELANE_";

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

/// What is wrong with variables that are meant for onelane and stand for nothing: those that a flag's name is near, and those that are
/// named as a setting of the file. Others may be somebody else's: Kubernetes sets some for a service of this name.
#[cfg(feature = "sidecar")]
pub(crate) fn mistaken(command: &Command) -> Vec<String> {
    let known: Vec<_> = all(command).filter_map(Arg::get_env).filter_map(|name| name.to_str()).collect();
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter_map(|name| mistake(&name, &known)).collect()
}

#[cfg(feature = "sidecar")]
fn mistake(name: &str, known: &[&str]) -> Option<String> {
    /// From here on two names are alike.
    const ALIKE: f64 = 0.75;
    let own = name.strip_prefix(PREFIX).filter(|_| !known.contains(&name))?;
    let section = ["REMAP", "RESCUE", "RETRY", "SETTLE", "SHIELD"]
        .iter()
        .find(|section| own.strip_prefix(**section).is_some_and(|key| key.starts_with('_')));
    let alike = |known: &&&str| {
        strsim::normalized_damerau_levenshtein(own, known.strip_prefix(PREFIX).unwrap_or(known)) >= ALIKE
    };
    match (known.iter().find(alike), section) {
        (Some(near), _) => Some(format!("{name} stands for no flag; did you mean {near}?")),
        (None, Some(section)) => {
            let section = section.to_lowercase();
            Some(format!("{name} stands for no flag; what is in [{section}] can be set in the file alone"))
        }
        (None, None) => None,
    }
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

#[cfg(all(test, feature = "sidecar"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_for_us_and_stands_for_nothing_is_told() {
        let known = ["ONELANE_UPSTREAM", "ONELANE_ANSWER_WITHIN", "ONELANE_ADMIN"];
        for (name, said) in [
            ("ONELANE_ADMIN", None),
            ("ONELANE_UPSTREEM", Some("did you mean ONELANE_UPSTREAM?")),
            ("ONELANE_ANSWERWITHIN", Some("did you mean ONELANE_ANSWER_WITHIN?")),
            ("ONELANE_SHIELD_GAP", Some("what is in [shield] can be set in the file alone")),
            ("ONELANE_PORT", None),
            ("ONELANE_SERVICE_HOST", None),
            ("ONELANE_PORT_8080_TCP", None),
            ("PATH", None),
        ] {
            let mistake = mistake(name, &known);
            match said {
                Some(said) => {
                    assert!(mistake.as_ref().is_some_and(|is| is.contains(said)), "{name}: {mistake:?}")
                }
                None => assert_eq!(mistake, None, "{name}"),
            }
        }
    }
}
