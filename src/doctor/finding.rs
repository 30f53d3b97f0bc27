use std::fmt;

use serde::Serialize;

use super::deep::{Answers, Setting};

/// What one look brought to light.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at; a stable name.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub saw: String,
    /// What to do; empty where there is nothing.
    pub remedy: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Some players suffer, or all of them now and then.
    Warning,
    /// Players do not play.
    Error,
}

/// All findings of one examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was examined, without its query and with a session's id as short as in logs.
    pub url: String,
    /// In the order in which they were made.
    pub findings: Vec<Finding>,
    /// What `--deep` found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// The settings of onelane that follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// How many requests it took.
    pub requests: u32,
}

// === impl Finding ===

impl Finding {
    pub(super) fn new(check: &'static str, severity: Severity, saw: impl Into<String>) -> Self {
        Self { check, severity, saw: saw.into(), remedy: String::new() }
    }

    pub(super) fn ok(check: &'static str, saw: impl Into<String>) -> Self {
        Self::new(check, Severity::Ok, saw)
    }

    pub(super) fn note(check: &'static str, saw: impl Into<String>) -> Self {
        Self::new(check, Severity::Note, saw)
    }

    pub(super) fn warning(check: &'static str, saw: impl Into<String>) -> Self {
        Self::new(check, Severity::Warning, saw)
    }

    pub(super) fn error(check: &'static str, saw: impl Into<String>) -> Self {
        Self::new(check, Severity::Error, saw)
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }
}

// === impl Severity ===

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

// === impl Report ===

impl Report {
    /// The worst of all findings.
    pub fn worst(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
    }

    /// Whether not even a connection came about.
    pub fn is_unreachable(&self) -> bool {
        let mut reached = self.findings.iter().filter(|finding| finding.check == "reach").peekable();
        reached.peek().is_some() && reached.all(|finding| finding.severity == Severity::Error)
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("it is texts and numbers")
    }
}

fn counted(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.url)?;
        for Finding { check, severity, saw, remedy } in &self.findings {
            writeln!(f, "{severity:>7}  {check:<12} {saw}")?;
            if !remedy.is_empty() {
                writeln!(f, "{:>22}-> {remedy}", "")?;
            }
        }
        if !self.settings.is_empty() {
            writeln!(f, "\nSettings of onelane that follow:\n")?;
            for Setting { key, value, why } in &self.settings {
                writeln!(f, "{key} = {value} # {why}")?;
            }
        }
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match (errors, warnings) {
            (0, 0) => write!(f, "\nNothing to do. ")?,
            _ => write!(f, "\n{}, {}. ", counted(errors, "error"), counted(warnings, "warning"))?,
        }
        write!(f, "{}.", counted(self.requests as usize, "request"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_once_is_no_outage_of_the_network() {
        let is_unreachable = |findings: &[Finding]| {
            let (url, findings) = (String::new(), findings.to_vec());
            Report { url, findings, answers: None, settings: Vec::new(), requests: 1 }.is_unreachable()
        };
        let (up, down) = (Finding::ok("reach", "up"), Finding::error("reach", "down"));
        assert!(is_unreachable(std::slice::from_ref(&down)));
        assert!(!is_unreachable(&[up.clone(), down.clone()]) && !is_unreachable(&[down, up]));
        assert!(!is_unreachable(&[]) && !is_unreachable(&[Finding::error("url", "nothing was tried")]));
    }

    #[test]
    fn one_is_one() {
        let finding = |severity| Finding::new("slow", severity, "it takes long");
        for (severities, requests, says) in [
            (&[Severity::Error][..], 1, "1 error, 0 warnings. 1 request."),
            (&[Severity::Warning], 2, "0 errors, 1 warning. 2 requests."),
            (&[Severity::Error, Severity::Error, Severity::Warning], 0, "2 errors, 1 warning. 0 requests."),
            (&[Severity::Note], 1, "Nothing to do. 1 request."),
        ] {
            let findings = severities.iter().copied().map(finding).collect();
            let told = Report { url: String::new(), findings, answers: None, settings: Vec::new(), requests }
                .to_string();
            assert_eq!(told.lines().last(), Some(says), "{told}");
        }
    }
}
