//! What becomes of requests, as traces of [OpenTelemetry](https://opentelemetry.io); feature `otlp`.
//!
//! A request is one span of the kind server, and its exchange with the upstream one of the kind client below
//! it, with what happened as events of these spans: [`names`] has all that they say. The spans are made of
//! what [`observe`](crate::observe) notes of a request, once nothing more can become of the request. Only
//! then it is decided whether they are kept: see [`Traces::new`].
//!
//! A request with a `traceparent` is part of that trace ([W3C Trace
//! Context](https://www.w3.org/TR/trace-context/)). The request that goes upstream has the exchange's own
//! `traceparent` in its place.
//!
//! ```
//! use onelane::{stack::{Config, Stack}, telemetry::traces::{Collector, Traces}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let collector: Collector = "http://127.0.0.1:4317".parse()?;
//! let (traces, exporting) = Traces::new(collector.exporter()?, 0.01);
//! let stack = Stack::new(Config::default()).tracing(Some(traces));
//! # let _ = stack;
//! // Serve, and at the end:
//! exporting.finish(std::time::Duration::from_secs(2)).await;
//! # Ok(())
//! # }
//! ```

mod caller;
mod collector;
mod export;
mod id;
pub mod names;
mod queue;
mod share;
mod spans;
mod trace;

use std::{fmt, sync::Arc};

use http::request::Parts;
use opentelemetry_sdk::trace::SpanExporter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::{
    collector::{BadCollector, Collector},
    export::Exporting,
};
pub(crate) use self::{id::TraceId, trace::Trace};
use self::{queue::Queue, share::Share, trace::Notes};
use crate::{
    observe::record::{Note, Noted},
    session::Extracted,
};

/// Begins traces, and passes those that are kept on to an exporter. A clone is the same.
#[derive(Clone)]
pub struct Traces(Arc<Shared>);

struct Shared {
    share: Share,
    queue: Queue,
}

// === impl Traces ===

impl Traces {
    /// The most spans that wait to be exported; spans beyond that are lost, and counted.
    pub const WAITING: usize = 4096;

    /// Makes traces, which a task of the runtime that this is called in gives to `exporter` in batches.
    ///
    /// `share`, between 0 and 1, is the part that is kept of requests that went well. Their trace's id
    /// decides, so that all that decide by the id decide alike. A request is always kept if its caller says
    /// in `traceparent` that it keeps its own trace, or if something failed for it: its player got a status
    /// of 500 or above, a last good playlist or an answer that was made here, or an attempt was answered with
    /// something other than a playlist, such as a conflict. Apart from these, a caller that says that it does
    /// not keep its own trace is taken at its word.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(exporter: impl SpanExporter + 'static, share: f64) -> (Self, Exporting) {
        let stop = CancellationToken::new();
        let (queue, taken) = Queue::new(Self::WAITING);
        let exporting = Exporting::start(exporter, queue.clone(), taken, stop);
        let shared = Shared { share: Share::new(share), queue };
        (Self(Arc::new(shared)), exporting)
    }

    /// Keeps another share of the requests that went well from now on.
    pub fn keep(&self, share: f64) {
        self.0.share.set(share);
    }

    /// Begins the trace of a request, which goes on as long as anybody has the note that this gives back:
    /// `note`, or a new one. Whoever the request goes to is told that it is part of it.
    pub(crate) fn begin(
        &self,
        at: Instant,
        note: Option<Note>,
        named: &Extracted,
        upstream: Option<&Arc<str>>,
        head: &mut Parts,
    ) -> Note {
        let noted = match note.and_then(Note::into_noted) {
            Some(recorded) => Notes::Recorded(recorded),
            None => Notes::Alone(Noted::alone(at, upstream.cloned(), named.kind, &head.uri)),
        };
        Note::traced(Trace::begin(self, noted, named.key().cloned(), head))
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces")
            .field("share", &self.0.share)
            .field("queue", &self.0.queue)
            .finish_non_exhaustive()
    }
}
