//! How the command logs.

mod line;
mod sink;

use std::io::{IsTerminal as _, Write, stderr, stdout};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt};

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
    /// Without it info, and warn in the demo.
    #[arg(long, env = "ONELANE_LOG", value_name = "FILTER", global = true)]
    log: Option<String>,
}

/// What a command's log is to those who read its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is the output.
    #[cfg_attr(not(any(feature = "sidecar", feature = "emulator")), expect(dead_code))]
    Output,
    /// It would drown the output: to standard error, and only what went wrong.
    #[cfg_attr(not(all(feature = "sidecar", feature = "emulator")), expect(dead_code))]
    Aside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

// === impl Logs ===

impl Logs {
    /// Starts to log. Dropping the guard writes what is left.
    pub(crate) fn start(&self, role: Role) -> Result<Flush, String> {
        let (unless_said, out, is_terminal): (_, Box<dyn Write + Send>, _) = match role {
            Role::Output => ("info", Box::new(stdout()), stdout().is_terminal()),
            Role::Aside => ("warn", Box::new(stderr()), stderr().is_terminal()),
        };
        let filter = self.log.as_deref().unwrap_or(unless_said);
        let filter = EnvFilter::try_new(filter).map_err(|error| {
            format!("--log {filter:?}: {error}; write a level such as info, or target=level")
        })?;
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
        match colour {
            true => subscriber.init(),
            false => subscriber.with_ansi(false).event_format(Line(self.log_format)).init(),
        }
        Ok(flush)
    }
}
