use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Extensions, HeaderMap, HeaderName, Response, StatusCode};
use tokio::time::Instant;

use super::{
    Attempt, Noted,
    jots::{Answered, Ended, LONGEST_NAME},
    tried::Tried,
};
use crate::{
    remap::REASON,
    rescue::RESCUE,
    session::Kind,
    telemetry::{Trace, TraceId},
    upstream::Verdict,
};

/// What is written down of one request. A clone is the same note.
#[derive(Debug, Clone)]
pub struct Note(Held);

#[derive(Debug, Clone)]
enum Held {
    Recorded(Arc<Noted>),
    /// The spans are made of this once nobody has it any more. The recorder has only what is noted.
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "without the feature there is no trace"))]
    Traced(Arc<Trace>),
}

/// What a [`Note`] says by now. All times count from the request's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its number among all requests that were recorded.
    pub number: u64,
    /// When the request came.
    pub began: SystemTime,
    /// How long ago that was.
    pub age: Duration,
    /// What its upstream is called, where there are several.
    pub upstream: Option<Arc<str>>,
    /// What was asked for.
    pub kind: Kind,
    /// The last part of its path.
    pub playlist: Box<str>,
    /// When its turn came and it was sent; `None` while it waits, and for one that was never sent.
    pub sent: Option<Duration>,
    /// The answers of the upstream, in order.
    pub attempts: Vec<Attempt>,
    /// How many more attempts there were than are listed.
    pub attempts_left_out: u32,
    /// How its exchange ended; `None` while the exchange runs, and where there was none.
    pub ending: Option<Ending>,
    /// The number of the request whose exchange it joined, if it did; it was then not sent itself.
    pub attached_to: Option<u64>,
    /// How many requests joined its exchange.
    pub attached: u32,
    /// The known state of its session, if the request was answered here because of that.
    pub shielded: Option<Verdict>,
    /// What its player got; `None` while it waits, and if it went away.
    pub answer: Option<Answer>,
    /// When the player went away without an answer.
    pub left: Option<Duration>,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending {
    /// When.
    pub at: Duration,
    /// The status that the upstream gave.
    pub status: Option<StatusCode>,
    /// What went wrong; `None` where all went well.
    pub failed: Option<Verdict>,
    /// Whether no player was left for the answer.
    pub abandoned: bool,
}

/// What a player got.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// When its head was there.
    pub at: Duration,
    /// Its status.
    pub status: StatusCode,
    /// What it bridged, a verdict or `slow`, if it was the last good playlist.
    pub rescue: Option<Box<str>>,
    /// Why it was made here, if it was.
    pub reason: Option<Verdict>,
}

// === impl Note ===

impl Note {
    /// One that a recorder has.
    pub(super) fn recorded(noted: Arc<Noted>) -> Self {
        Self(Held::Recorded(noted))
    }

    /// One with a trace, which goes on for as long as this is held.
    #[cfg(feature = "otlp")]
    pub(crate) fn traced(trace: Arc<Trace>) -> Self {
        Self(Held::Traced(trace))
    }

    /// The trace that a request is part of, if there is one, by its extensions.
    pub(crate) fn trace_of(extensions: &Extensions) -> Option<TraceId> {
        // A build without traces need not look.
        cfg!(feature = "otlp").then(|| extensions.get::<Self>()?.trace_id()).flatten()
    }

    /// The trace that the request is part of, if there is one.
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        self.trace().map(|trace| trace.id())
    }

    /// What the note says by now.
    pub fn read(&self) -> Record {
        self.noted().read()
    }

    pub(crate) fn attached_to(&self, first: &Self) {
        let mut other = first.noted().jots();
        other.attached += 1;
        let number = other.number;
        drop(other);
        self.noted().jots().attached_to = Some(number);
        if let (Some(trace), Some(first)) = (self.trace(), first.trace()) {
            trace.attached_to(first);
        }
    }

    /// The answer to attach to was a stream, which another has: it goes on by itself.
    pub(crate) fn detached(&self) {
        self.noted().jots().attached_to = None;
        if let Some(trace) = self.trace() {
            trace.detached();
        }
    }

    /// It needs no turn, and is sent at once.
    pub(crate) fn passes(&self, now: Instant) {
        self.sent(now);
        if let Some(trace) = self.trace() {
            trace.passes();
        }
    }

    /// It is refused before it could wait for a turn.
    #[cfg(feature = "sidecar")]
    pub(crate) fn kept_out(&self) {
        if let Some(trace) = self.trace() {
            trace.passes();
        }
    }

    pub(crate) fn sent(&self, now: Instant) {
        self.noted().jots().sent = Some(now);
    }

    /// The pause is the one until the next attempt.
    pub(crate) fn attempted<B, E>(&self, came: &Result<Response<B>, E>, pause: Option<Duration>) {
        let (noted, tried) = (self.noted(), Tried::of(came, pause));
        let more = noted.jots().tried(tried);
        if more > 0 {
            noted.takes(more);
        }
    }

    /// The last attempt that is noted means something else, seen beside what is known of the session.
    pub(crate) fn meant(&self, verdict: Verdict) {
        self.noted().jots().meant(verdict);
    }

    /// The only attempt, unless those that were made are noted.
    pub(crate) fn attempted_once<B, E>(&self, came: &Result<Response<B>, E>) {
        let was_tried = self.noted().jots().was_tried();
        if !was_tried {
            self.attempted(came, None);
        }
    }

    pub(crate) fn ended(
        &self,
        at: Instant,
        status: Option<StatusCode>,
        failed: Option<Verdict>,
        abandoned: bool,
    ) {
        self.noted().jots().ending = Some(Ended { at, status, failed, abandoned });
    }

    pub(crate) fn shielded(&self, verdict: Verdict) {
        self.noted().jots().shielded = Some(verdict);
    }

    pub(crate) fn answered(&self, at: Instant, status: StatusCode, headers: &HeaderMap) {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let rescue = text(RESCUE).filter(|reason| reason.len() <= LONGEST_NAME).map(Into::into);
        let reason = text(REASON).and_then(|reason| reason.parse().ok());
        self.noted().jots().answer = Some(Answered { at, status, rescue, reason });
    }

    pub(crate) fn left(&self, now: Instant) {
        self.noted().jots().left = Some(now);
    }

    /// What a recorder has of it.
    #[cfg(feature = "otlp")]
    pub(crate) fn into_noted(self) -> Option<Arc<Noted>> {
        match self.0 {
            Held::Recorded(noted) => Some(noted),
            Held::Traced(_) => None,
        }
    }

    fn noted(&self) -> &Noted {
        match &self.0 {
            Held::Recorded(noted) => noted,
            Held::Traced(trace) => trace.noted(),
        }
    }

    fn trace(&self) -> Option<&Arc<Trace>> {
        match &self.0 {
            Held::Recorded(_) => None,
            Held::Traced(trace) => Some(trace),
        }
    }
}
