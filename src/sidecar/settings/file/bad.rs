use std::{fmt::Write as _, path::Path};

use super::plain::of_stage;

/// Why a file of settings is refused, in one line: where, what is wrong, what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::sidecar) struct BadFile(String);

/// A setting that does not go together with another one.
#[derive(Debug)]
pub(in crate::sidecar) struct Wrong {
    key: &'static str,
    what: String,
}

/// The most characters that are told of a key or of what is wrong with it.
const TOLD: usize = 600;

/// How alike two names must be, between 0 and 1, for one to be taken for a slip of the other.
const ALIKE: f64 = 0.5;

// === impl BadFile ===

impl BadFile {
    /// What is wrong with a file; `at` is its text and the byte in it where that is.
    pub(super) fn new(path: &Path, at: Option<(&str, usize)>, key: Option<&str>, what: &str) -> Self {
        let mut told = printable(&path.display().to_string());
        if let Some(before) = at.and_then(|(text, at)| text.get(..at)) {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            // Cannot fail: it is a string.
            let _written = write!(told, ":{line}:{column}");
        }
        // The whole file is `.`.
        if let Some(key) = key.filter(|key| *key != ".") {
            told = told + ": " + &printable(key);
        }
        Self(told + ": " + &printable(what.trim()))
    }
}

/// In one line, and none of it a command to a terminal.
fn printable(text: &str) -> String {
    let mut told = String::new();
    for character in text.chars().take(TOLD) {
        match character.is_control() {
            true => told.extend(character.escape_default()),
            false => told.push(character),
        }
    }
    told
}

/// What serde says, with the remedy; `more` are names that are known besides those that serde knows.
pub(super) fn told(message: &str, more: &[&str]) -> String {
    if let Some(unknown) = message.strip_prefix("unknown field `")
        && let Some((name, known)) = unknown.rsplit_once("`, expected ")
    {
        let known: Vec<_> = known.split('`').skip(1).step_by(2).chain(more.iter().copied()).collect();
        // The name of its flag.
        if let Some((section, key)) = of_stage(name).filter(|(section, _)| known.contains(section)) {
            return format!("it is not known here; write {key} in the section [{section}]");
        }
        let remedy = match nearest(name, &known) {
            Some(near) => format!("did you mean {near}? Known"),
            None => "correct it or leave it out; known".to_owned(),
        };
        return format!("it is not known; {remedy} here are {}", known.join(", "));
    }
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("{name} is missing; add it");
    }
    message.to_owned()
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // Comparing takes the square of the length.
    let name: String = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let alike = known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&name.replace('-', "_"), known), *known));
    let (alike, near) = alike.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (alike > ALIKE).then_some(near)
}

// === impl Wrong ===

impl Wrong {
    pub(super) fn new(key: &'static str, what: String) -> Self {
        Self { key, what }
    }

    /// The same, of a file.
    pub(in crate::sidecar) fn of(&self, path: &Path) -> BadFile {
        BadFile::new(path, None, Some(self.key), &self.what)
    }
}
