//! How the command logs.

mod sink;

use std::io::{IsTerminal as _, stdout};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt};

use self::sink::{Flush, Sink};

/// How the command logs, to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Lines for people, or one JSON object a line
    #[arg(long, env = "ONELANE_LOG_FORMAT", value_name = "FORMAT", default_value = "text", global = true)]
    log_format: Format,

    /// What is logged: error, warn, info or debug, or directives like onelane::exchange=warn
    #[arg(long, env = "ONELANE_LOG", value_name = "FILTER", default_value = "info", global = true)]
    log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

// === impl Logs ===

impl Logs {
    /// Starts to log. Dropping the guard writes what is left.
    pub(crate) fn start(&self) -> Result<Flush, String> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| {
            format!("--log {:?}: {error}; write a level such as info, or target=level", self.log)
        })?;
        let colour = self.log_format == Format::Text && stdout().is_terminal();
        let (sink, flush) = Sink::start(stdout());
        let subscriber = fmt().with_env_filter(filter).with_writer(sink).with_ansi(colour);
        match self.log_format {
            Format::Text => subscriber.init(),
            Format::Json => subscriber.json().flatten_event(true).with_current_span(false).init(),
        }
        Ok(flush)
    }
}
