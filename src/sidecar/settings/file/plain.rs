//! Settings that are flags as well: the file has them at its top, by the flag's name with `_` for `-`.

use std::{any::TypeId, ops::Range, path::Path};

use clap::{
    Arg, ArgAction, Command,
    error::{ContextKind, ContextValue},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{BadFile, text};
use crate::sidecar::Upstream;

/// One of them, as it would stand behind its flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sidecar) struct Plain {
    pub(in crate::sidecar) key: String,
    pub(in crate::sidecar) value: String,
}

/// The sections of stages, some of whose keys have a flag: `--rescue-after` is `after` of `[rescue]`.
const STAGES: [&str; 5] = ["remap", "rescue", "shield", "retry", "settle"];

/// The one setting that is a flag's, or a table or tables of its own.
pub(in crate::sidecar) const UPSTREAM: &str = "upstream";

/// The flags of the program around the sidecar.
const LOGS: [&str; 2] = ["log", "log_format"];

/// The section and key of a stage that a flag sets.
pub(in crate::sidecar) fn of_stage(flag: &str) -> Option<(&str, &str)> {
    flag.split_once('_').filter(|(section, _)| STAGES.contains(section))
}

/// Whether a flag is a setting that stands at the top of the file.
pub(in crate::sidecar) fn is_plain(flag: &Arg) -> bool {
    let id = flag.get_id().as_str();
    flag.get_long().is_some() && !["file", "help", "version"].contains(&id) && of_stage(id).is_none()
}

/// Reads those that a file has, and nothing else of it.
///
/// # Errors
///
/// When it cannot be read, or what it says there is not what the flag takes.
pub(in crate::sidecar) fn read(path: &Path, flags: &[Arg]) -> Result<Vec<Plain>, BadFile> {
    let text = text(path)?;
    // What is no TOML is told of with the rest of the file.
    let Ok(mut table) = DeTable::parse(&text) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (key, value) in take(table.get_mut(), |key| flags.iter().any(|flag| flag.get_id().as_str() == key)) {
        // Of several the first stands for the flag; the rest of the file has them all.
        let value = match value.get_ref() {
            DeValue::Array(tables) if key == UPSTREAM => match first_url(tables) {
                Some(url) => url,
                None => continue,
            },
            DeValue::Table(_) if key == UPSTREAM => unasked(value.span()),
            _ => value,
        };
        let at = value.span().start;
        let flag = flags.iter().find(|flag| flag.get_id().as_str() == key);
        let read = flag.map_or(Ok(String::new()), |flag| written(value.get_ref(), flag));
        let value = read.map_err(|what| BadFile::new(path, Some((&text, at)), Some(&key), &what))?;
        all.push(Plain { key, value });
    }
    Ok(all)
}

/// Takes those off a file whose flags it has: the rest are settings of the stages.
pub(super) fn strip(table: &mut DeTable<'_>, flags: &Command) {
    // Tables are no flag's.
    let own = |value: &DeValue<'_>| value.is_array() || value.is_table();
    let own = table.get(UPSTREAM).is_some_and(|value| own(value.get_ref()));
    take(table, |key| {
        let is_flag = |flag: &Arg| flag.get_id().as_str() == key && is_plain(flag);
        LOGS.contains(&key) || !(own && key == UPSTREAM) && flags.get_arguments().any(is_flag)
    });
}

fn first_url<'a>(tables: &toml::de::DeArray<'a>) -> Option<Spanned<DeValue<'a>>> {
    let first = tables.first()?;
    // Where it is not even asked for, the rest of the file tells.
    let Some(url) = first.get_ref().get("url") else { return Some(unasked(first.span())) };
    Some(Spanned::new(url.span(), DeValue::String(url.get_ref().as_str()?.to_owned().into())))
}

/// What the flag has while nobody has asked for it.
fn unasked<'a>(span: Range<usize>) -> Spanned<DeValue<'a>> {
    Spanned::new(span, DeValue::String(Upstream::unasked().to_string().into()))
}

/// The names of all of them.
pub(super) fn names(flags: &Command) -> impl Iterator<Item = &str> {
    flags.get_arguments().filter(|flag| is_plain(flag)).map(|flag| flag.get_id().as_str()).chain(LOGS)
}

fn take<'a>(table: &mut DeTable<'a>, such: impl Fn(&str) -> bool) -> Vec<(String, Spanned<DeValue<'a>>)> {
    let keys: Vec<_> = table.keys().map(|key| key.get_ref().to_string()).filter(|key| such(key)).collect();
    let taken = keys.into_iter().map(|key| {
        let value = table.remove(&*key).expect("it was there");
        (key, value)
    });
    taken.collect()
}

/// A value as it is written behind the flag, if the flag takes it.
fn written(value: &DeValue<'_>, flag: &Arg) -> Result<String, String> {
    let text = match (value, flag.get_action()) {
        (DeValue::Boolean(switch), ArgAction::SetTrue) => return Ok(switch.to_string()),
        (_, ArgAction::SetTrue) => return Err("it is a switch; write true or false".to_owned()),
        (DeValue::String(text), _) => text.to_string(),
        (DeValue::Integer(number), _) if number.radix() == 10 => number.as_str().to_owned(),
        (DeValue::Float(number), _) if flag.get_value_parser().type_id() == TypeId::of::<f64>() => {
            number.as_str().to_owned()
        }
        (other, _) => {
            return Err(format!("it is {}; write a text or a number", article(other.type_str())));
        }
    };
    let long = flag.get_long().unwrap_or_default().to_owned();
    // What the environment or the command line say is no matter here.
    let alone = Command::new("file").no_binary_name(true).arg(flag.clone().env(None::<&str>).global(false));
    match alone.try_get_matches_from([format!("--{long}={text}")]) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{text:?}: {}", why(&error))),
    }
}

fn article(what: &str) -> String {
    format!("{} {what}", if what.starts_with(['a', 'i', 'o']) { "an" } else { "a" })
}

/// What clap says, without the flag, which nobody has written.
fn why(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if values.is_empty() => {
            "it is empty; leave it out for none".to_owned()
        }
        Some(ContextValue::Strings(values)) => format!("it is not known; allowed are {}", values.join(", ")),
        _ => "it is not allowed".to_owned(),
    }
}
