use std::io::{BufWriter, IsTerminal as _, stdout};

use clap::ValueEnum;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

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
    /// Starts to log. Lines are written by a thread of their own and lost, not waited for, when whoever reads
    /// them falls far behind: a full pipe must not stop playback. Dropping the guard writes what is left.
    pub(crate) fn start(&self) -> Result<WorkerGuard, String> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| {
            format!("--log {:?}: {error}; write a level such as info, or target=level", self.log)
        })?;
        let colour = self.log_format == Format::Text && stdout().is_terminal();
        let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(BufWriter::new(stdout()));
        let subscriber = fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
        match self.log_format {
            Format::Text => subscriber.init(),
            Format::Json => subscriber.json().flatten_event(true).with_current_span(false).init(),
        }
        Ok(guard)
    }
}
