//! `onelane check` and `onelane config`: what the settings are, without serving.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{Write as _, stdout},
    path::Path,
    process::ExitCode,
};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};
use toml::{
    Spanned, Table, Value,
    de::{DeString, DeTable},
};

use super::{
    bare::Bare,
    file::{self, plain},
};
use crate::sidecar::{Error, Flags, listen::tls::Tls};

/// The command line of `onelane config`.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct ConfigArgs {
    /// Write a file with every setting as it is by default, and what each is for
    #[arg(long, required = true)]
    print_default: bool,
}

/// What the settings come to, and where each is from.
struct Effective<'a> {
    matches: &'a ArgMatches,
    /// The name of the file, and what it says.
    path: String,
    file: Table,
    /// The line of each key of the file, by its section, which is empty at the top.
    lines: HashMap<(String, String), usize>,
    default: Table,
    told: String,
}

/// Runs `onelane config`.
pub fn print_default(_: &ConfigArgs) -> ExitCode {
    tell(file::DEFAULT)
}

/// Runs `onelane check`: says what is wrong with the settings and ends with 64, or tells what they come to as
/// a file that would make them so, with where each value is from.
///
/// `command` is the program's, and `matches` what it read.
pub fn check(flags: Flags, (command, matches): (&Command, &ArgMatches)) -> ExitCode {
    let path = flags.file.clone();
    let (command, matches) = match matches.subcommand() {
        Some((name, matches)) => (command.find_subcommand(name).unwrap_or(command), matches),
        None => (command, matches),
    };
    let read = flags
        .read()
        .and_then(|config| Tls::load(&config))
        .inspect(|tls| {
            if let Some(trouble) = tls.as_ref().and_then(Tls::trouble) {
                eprintln!("warning: {trouble}");
            }
        })
        .and_then(|_| Effective::of(path.as_deref(), matches));
    match read {
        Ok(effective) => tell(&effective.tell(command)),
        Err(error) => error.report(),
    }
}

fn tell(text: &str) -> ExitCode {
    // Whoever reads it may have read enough.
    match stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn lines(text: &str) -> HashMap<(String, String), usize> {
    let Ok(table) = DeTable::parse(text) else { return HashMap::new() };
    let of = |section: &str, table: &DeTable<'_>| {
        let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let place = |key: &Spanned<DeString<'_>>| {
            ((section.to_owned(), key.get_ref().to_string()), line(key.span().start))
        };
        table.keys().map(place).collect::<Vec<_>>()
    };
    let sections =
        table.get_ref().iter().filter_map(|(key, value)| Some((key.get_ref(), value.get_ref().as_table()?)));
    sections.flat_map(|(key, table)| of(key, table)).chain(of("", table.get_ref())).collect()
}

// === impl Effective ===

impl<'a> Effective<'a> {
    fn of(path: Option<&Path>, matches: &'a ArgMatches) -> Result<Self, Error> {
        let text = match path {
            Some(path) => file::text(path).map_err(Error::settings)?,
            None => String::new(),
        };
        // It has been read before.
        let (file, lines) = (text.parse().unwrap_or_default(), lines(&text));
        let default = file::DEFAULT.parse().expect("the default is TOML");
        let path = path.map(|path| path.display().to_string()).unwrap_or_default();
        Ok(Self { matches, path, file, lines, default, told: String::new() })
    }

    fn tell(mut self, command: &Command) -> String {
        let mut flags: Vec<_> = command.get_arguments().collect();
        flags.sort_by_key(|flag| file::DEFAULT.find(&format!("{} = ", flag.get_id())));
        for flag in flags.iter().filter(|flag| plain::is_plain(flag)) {
            let id = flag.get_id().as_str();
            let from = self.from(flag, self.file.contains_key(id).then(|| self.place("", id)));
            let several = self.file.get(id).is_some_and(Value::is_array);
            if let Some(named) = self.named(flag) {
                self.line(
                    id,
                    &named,
                    &format!("{from}; serve asks the API of MediaTailor for its endpoint, check asks nobody"),
                );
            } else if let Some(value) = self.of_flag(flag).filter(|_| !several) {
                self.line(id, &value, &from);
            }
        }
        for (key, value) in self.default.clone() {
            match value {
                Value::Table(of_default) => self.section(&key, &of_default, &flags),
                // A setting of a stage without a section.
                value if !flags.iter().any(|flag| flag.get_id().as_str() == key) => {
                    let own = self.file.get(&key).cloned();
                    let from = if own.is_some() { self.place("", &key) } else { "default".to_owned() };
                    self.line(&key, &own.unwrap_or(value), &from);
                }
                _ => {}
            }
        }
        self.tables();
        self.told
    }

    /// The playback configuration in the place of a URL, where nothing goes before what the file says.
    fn named(&self, flag: &Arg) -> Option<Value> {
        let id = flag.get_id().as_str();
        let of_file = self.matches.value_source(id) == Some(ValueSource::DefaultValue);
        self.file.get(id).filter(|value| of_file && id == plain::UPSTREAM && value.is_table()).cloned()
    }

    /// The upstreams, where there are several: as the file has them, since nothing else does.
    fn tables(&mut self) {
        for table in self.file.get("upstream").and_then(Value::as_array).into_iter().flatten() {
            let tables = Table::from_iter([("upstream".to_owned(), Value::Array(vec![table.clone()]))]);
            let _written = write!(self.told, "\n# {}\n{tables}", self.path.escape_default());
        }
    }

    fn section(&mut self, name: &str, of_default: &Table, flags: &[&Arg]) {
        // Writing to a string does not fail, here and below.
        let _written = writeln!(self.told, "\n[{name}]");
        let own = self.file.get(name).and_then(Value::as_table).cloned().unwrap_or_default();
        let mut keys: Vec<_> = of_default.keys().collect();
        keys.extend(own.keys().filter(|key| !of_default.contains_key(*key)));
        for key in keys {
            let flag = flags.iter().find(|flag| plain::of_stage(flag.get_id().as_str()) == Some((name, key)));
            let by_flag = flag.and_then(|flag| Some((self.of_flag(flag)?, self.from(flag, None))));
            let (value, from) = by_flag
                .or_else(|| Some((own.get(key)?.clone(), self.place(name, key))))
                .or_else(|| Some((of_default.get(key)?.clone(), "default".to_owned())))
                .expect("it is in one of them");
            self.line(key, &value, &from);
        }
    }

    /// The value that a flag has, in the form that the file would have it in.
    fn of_flag(&self, flag: &Arg) -> Option<Value> {
        let id = flag.get_id().as_str();
        if matches!(flag.get_action(), ArgAction::SetTrue) {
            return Some(Value::Boolean(self.matches.get_flag(id)));
        }
        let Some(text) = self.matches.get_raw(id).and_then(Iterator::last) else {
            return self.default.get(id).cloned();
        };
        let text = text.to_string_lossy();
        if matches!(id, "lease" | "otlp") {
            // With a password, it is nobody's to read.
            return Some(Value::String(Bare(&text).to_string()));
        }
        let number = match self.default.get(id) {
            None | Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
            Some(Value::Float(_)) => text.parse().ok().map(Value::Float),
            Some(_) => None,
        };
        Some(number.unwrap_or_else(|| Value::String(text.into_owned())))
    }

    fn from(&self, flag: &Arg, in_file: Option<String>) -> String {
        let (long, env) = (flag.get_long().unwrap_or_default(), flag.get_env());
        match (self.matches.value_source(flag.get_id().as_str()), env) {
            (Some(ValueSource::CommandLine), _) => format!("--{long}"),
            (Some(ValueSource::EnvVariable), Some(env)) => env.to_string_lossy().into_owned(),
            _ => in_file.unwrap_or_else(|| "default".to_owned()),
        }
    }

    /// Where the file says it.
    fn place(&self, section: &str, key: &str) -> String {
        match self.lines.get(&(section.to_owned(), key.to_owned())) {
            Some(line) => format!("{}:{line}", self.path),
            None => self.path.clone(),
        }
    }

    fn line(&mut self, key: &str, value: &Value, from: &str) {
        let _written = writeln!(self.told, "{key} = {value} # {}", from.escape_default());
    }
}
