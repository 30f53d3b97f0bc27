//! How the command logs.

mod line;
mod sink;

#[cfg(feature = "sidecar")]
use std::sync::PoisonError;
use std::{
    io::{IsTerminal as _, Write, stderr, stdout},
    sync::{Arc, Mutex},
};

use clap::ValueEnum;
#[cfg(feature = "sidecar")]
use onelane::sidecar::Reread;
use onelane::telemetry;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt, reload};

use self::{
    line::Line,
    sink::{Flush, Sink},
};

/// How the command logs.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Lines for people, or one JSON object a line
    #[arg(long, env = "ONELANE_LOG_FORMAT", value_name = "FORMAT", default_value = "text", global = true)]
    log_format: Format,

    /// What is logged: error, warn, info or debug, or directives like onelane::exchange=warn
    ///
    /// Without it info; warn in doctor and the demo, and error in `demo --serve`.
    #[arg(long, env = "ONELANE_LOG", value_name = "FILTER", value_parser = filter_text, global = true)]
    log: Option<String>,
}

/// What a command's log is to those who read its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is the output.
    #[cfg_attr(not(any(feature = "sidecar", feature = "emulator")), expect(dead_code))]
    Output,
    /// It would drown the output: to standard error, and only what went wrong.
    #[cfg_attr(not(feature = "sidecar"), expect(dead_code))]
    Aside,
    /// The same where things go wrong on purpose: only what was not meant to.
    #[cfg_attr(not(all(feature = "sidecar", feature = "emulator")), expect(dead_code))]
    Staged,
}

/// A log that has begun, and whose filter may change.
pub(crate) struct Logging {
    #[cfg_attr(not(feature = "sidecar"), expect(dead_code))]
    format: Format,
    #[cfg_attr(not(feature = "sidecar"), expect(dead_code))]
    refilter: Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
    /// The filter as it was given last.
    #[cfg_attr(not(feature = "sidecar"), expect(dead_code))]
    filter: Arc<Mutex<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

// === impl Logs ===

impl Logs {
    /// Starts to log. Dropping the guard writes what is left.
    pub(crate) fn start(&self, role: Role) -> Result<(Logging, Flush), String> {
        let (unless_said, out, is_terminal): (_, Box<dyn Write + Send>, _) = match role {
            Role::Output => ("info", Box::new(stdout()), stdout().is_terminal()),
            Role::Aside => ("warn", Box::new(stderr()), stderr().is_terminal()),
            Role::Staged => ("error", Box::new(stderr()), stderr().is_terminal()),
        };
        let said = self.log.as_deref().unwrap_or(unless_said);
        let filter = filter(said)?;
        let colour = self.log_format == Format::Text && is_terminal;
        let lost: fn(u64) -> String = match self.log_format {
            Format::Text => |lost| format!("{lost} log lines were lost: their reader is too slow"),
            Format::Json => |lost| {
                format!(
                    r#"{{"level":"WARN","message":"log lines were lost: their reader is too slow","lost":{lost}}}"#
                )
            },
        };
        let (sink, flush) = Sink::start(out, lost);
        let subscriber = fmt().with_env_filter(filter).with_writer(sink);
        let refilter: Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync> = match colour {
            true => {
                let subscriber = subscriber.with_filter_reloading();
                let handle = subscriber.reload_handle();
                subscriber.init();
                Arc::new(move |filter| handle.reload(filter))
            }
            false => {
                let subscriber = subscriber.with_ansi(false).event_format(Line(self.log_format));
                let subscriber = subscriber.with_filter_reloading();
                let handle = subscriber.reload_handle();
                subscriber.init();
                Arc::new(move |filter| handle.reload(filter))
            }
        };
        let filter = Arc::new(Mutex::new(said.to_owned()));
        Ok((Logging { format: self.log_format, refilter, filter }, flush))
    }
}

/// What comes before the filter that is given, and yields to it: where AWS's client finds no credentials, or an
/// upstream's certificate is not trusted, lines of the command's own say so.
const QUIET: &str = "aws_config=off,rustls_platform_verifier=off,";

/// What lines of onelane's own begin with.
const TARGETS: [&str; 11] = [
    "onelane",
    telemetry::EXCHANGE,
    telemetry::REQUEST,
    telemetry::LANE,
    telemetry::VERDICT,
    telemetry::LEASE,
    "onelane::traces",
    "onelane::sidecar",
    "onelane::emulator",
    "onelane::demo",
    "onelane::doctor",
];

fn filter(said: &str) -> Result<EnvFilter, String> {
    let advice = "write a level such as info, or target=level";
    if said.trim().is_empty() {
        return Err(format!("it is empty; {advice}, or off"));
    }
    let filter =
        EnvFilter::try_new(format!("{QUIET}{said}")).map_err(|error| format!("{error}; {advice}"))?;
    // Spans and their fields are for who knows what to write.
    if said.contains('[') {
        return Ok(filter);
    }
    match said.split(',').find_map(logs_nothing) {
        Some(why) => Err(format!("{why}; {advice}")),
        None => Ok(filter),
    }
}

/// Why a directive that can be read is none that anybody means: it would silence all that it does not name.
fn logs_nothing(directive: &str) -> Option<String> {
    let directive = directive.trim();
    if directive.is_empty() {
        return None;
    }
    let Some((target, _)) = directive.split_once('=') else {
        let no_level = directive.parse::<LevelFilter>().is_err();
        return no_level.then(|| {
            format!("'{directive}' is no level: those are off, error, warn, info, debug and trace")
        });
    };
    // Those of the commands for trying out are where in the source they stand.
    let is_known = |known: &&str| known.starts_with(target) || target.starts_with(&format!("{known}::"));
    let unknown = target.starts_with("onelane") && !TARGETS[1..].iter().any(is_known);
    unknown.then(|| format!("onelane has no target '{target}': it has {}", TARGETS.join(", ")))
}

/// A filter as it is written: a wrong one is refused where it stands, on the command line or in the file.
fn filter_text(said: &str) -> Result<String, String> {
    filter(said).map(|_| said.to_owned())
}

// === impl Logging ===

#[cfg(feature = "sidecar")]
impl Logging {
    /// Adds what `logs` has changed to what is read again, for a command whose log is its output.
    pub(crate) fn again(&self, logs: &Logs, reread: Reread) -> Result<Reread, String> {
        let said = logs.log.as_deref().unwrap_or("info").to_owned();
        let filter = filter(&said)?;
        let reread = if logs.log_format == self.format { reread } else { reread.cannot_change("log_format") };
        let (current, refilter) = (Arc::clone(&self.filter), Arc::clone(&self.refilter));
        if *current.lock().unwrap_or_else(PoisonError::into_inner) == said {
            return Ok(reread);
        }
        Ok(reread.changed("log", move || {
            // It fails only where the log has ended.
            if refilter(filter).is_ok() {
                *current.lock().unwrap_or_else(PoisonError::into_inner) = said;
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_log_nothing_by_mistake_is_refused() {
        for said in [
            "info",
            "WARN",
            "off",
            "3",
            "info,",
            "warn,onelane::emulator::serve=debug",
            "debug,hyper=info",
            "warn,onelane::exchange=info",
            "onelane=debug",
            "onelane::sidecar=trace",
            "info,onelane::request[request]=debug",
        ] {
            filter(said).expect(said);
        }
        for (said, what) in [
            ("warning", "'warning' is no level"),
            (" ", "it is empty"),
            ("debgu", "'debgu' is no level"),
            ("info,hyper", "'hyper' is no level"),
            ("warn,onelane::exchnge=info", "onelane has no target 'onelane::exchnge'"),
            ("info=loud", "write a level"),
        ] {
            let error = filter(said).map(|_| ()).expect_err(said);
            assert!(error.contains(what) && error.contains("or target=level"), "{error}");
        }
    }
}
