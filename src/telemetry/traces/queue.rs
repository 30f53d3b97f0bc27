use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use metrics::counter;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc::{self, error::TrySendError};
use tracing::warn;

use crate::telemetry::{Seldom, TRACES, metrics as names};

/// Where spans wait to be exported. Whoever puts them there never waits.
#[derive(Clone)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Spans that were taken in and are neither exported nor lost yet.
    open: AtomicUsize,
    /// Those that were lost since that was last said.
    lost: AtomicU64,
    seldom: Seldom,
}

/// Why spans were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// More came than the collector took.
    QueueFull,
    /// The collector did not take them.
    NotTaken,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(waiting: usize) -> (Self, mpsc::Receiver<SpanData>) {
        for reason in [Lost::QueueFull, Lost::NotTaken] {
            counter!(names::SPANS_LOST, "reason" => reason.as_str()).absolute(0);
        }
        counter!(names::SPANS_EXPORTED).absolute(0);
        let (spans, taken) = mpsc::channel(waiting);
        (Self { spans, counts: Arc::default() }, taken)
    }

    pub(super) fn push(&self, span: SpanData) {
        self.counts.open.fetch_add(1, Relaxed);
        match self.spans.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.lost(1, Lost::QueueFull, &"more come than the collector takes; lower --otlp-sample");
            }
            Err(TrySendError::Closed(_)) => self.lost(1, Lost::NotTaken, &"the export has ended"),
        }
    }

    pub(super) fn exported(&self, spans: usize) {
        self.counts.open.fetch_sub(spans, Relaxed);
        counter!(names::SPANS_EXPORTED).increment(spans as u64);
    }

    /// Counts them, and says so now and then.
    pub(super) fn lost(&self, spans: usize, reason: Lost, why: &dyn fmt::Display) {
        let counts = &*self.counts;
        counts.open.fetch_sub(spans, Relaxed);
        counter!(names::SPANS_LOST, "reason" => reason.as_str()).increment(spans as u64);
        counts.lost.fetch_add(spans as u64, Relaxed);
        if counts.seldom.due().is_some() {
            self.say(why);
        }
    }

    /// The end: what is left is lost.
    pub(super) fn give_up(&self, why: &dyn fmt::Display) {
        let open = self.counts.open.load(Relaxed);
        if open > 0 {
            self.lost(open, Lost::NotTaken, why);
        }
        self.say(why);
    }

    fn say(&self, why: &dyn fmt::Display) {
        let lost = self.counts.lost.swap(0, Relaxed);
        if lost > 0 {
            warn!(target: TRACES, lost, %why, "spans were lost");
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("open", &self.counts.open).finish_non_exhaustive()
    }
}

// === impl Lost ===

impl Lost {
    fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::NotTaken => "not_taken",
        }
    }
}
