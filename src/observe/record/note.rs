use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{Extensions, HeaderMap, Response, StatusCode, Uri};
use tokio::time::Instant;

use super::Attempt;
use crate::{
    remap::REASON,
    rescue::RESCUE,
    session::Kind,
    telemetry::{Trace, TraceId},
    upstream::Verdict,
};

/// What is written down of one request. A clone is the same note.
#[derive(Debug, Clone)]
pub struct Note {
    noted: Arc<Noted>,
    /// Of what it becomes the spans, once nobody has it any more. The recorder's has none.
    trace: Option<Arc<Trace>>,
}

/// What there is to read of a [`Note`] by now. All times count from the request's beginning.
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
    /// How many more attempts there were than those.
    pub attempts_left_out: u32,
    /// How its exchange ended; `None` while that runs, and where there was none.
    pub ending: Option<Ending>,
    /// It joined the exchange of the request of this number, and was not sent itself.
    pub attached_to: Option<u64>,
    /// How many joined the exchange of this one.
    pub attached: u32,
    /// Answered here for what was known of the session.
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
    /// With this status of the upstream.
    pub status: Option<StatusCode>,
    /// `None` where all went well with it.
    pub failed: Option<Verdict>,
    /// No player was left for the answer.
    pub abandoned: bool,
}

/// What a player got.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// When its head was there.
    pub at: Duration,
    /// With this status.
    pub status: StatusCode,
    /// It was the last good playlist: what that bridged, a verdict or `slow`.
    pub rescue: Option<Box<str>>,
    /// It was made here, for this reason.
    pub reason: Option<Verdict>,
}

#[derive(Debug)]
struct Noted {
    since: Instant,
    /// What all notes of the recorder take.
    bytes: Arc<AtomicUsize>,
    record: Mutex<Record>,
}

/// The longest name of a playlist that is kept, in bytes.
const LONGEST_NAME: usize = 64;

/// The most attempts of one exchange that are kept.
const MOST_ATTEMPTS: usize = 8;

// === impl Note ===

impl Note {
    pub(super) fn new(
        number: u64,
        upstream: Option<Arc<str>>,
        kind: Kind,
        uri: &Uri,
        bytes: Arc<AtomicUsize>,
    ) -> Self {
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        // What stands in a tracking URL may be a secret.
        let name = if kind == Kind::Tracking { "" } else { name };
        let record = Record {
            number,
            began: SystemTime::now(),
            age: Duration::ZERO,
            upstream,
            kind,
            playlist: name.get(..name.len().min(LONGEST_NAME)).unwrap_or_default().into(),
            sent: None,
            attempts: Vec::new(),
            attempts_left_out: 0,
            ending: None,
            attached_to: None,
            attached: 0,
            shielded: None,
            answer: None,
            left: None,
        };
        bytes.fetch_add(record.bytes(), Ordering::Relaxed);
        let noted = Noted { since: Instant::now(), bytes, record: Mutex::new(record) };
        Self { noted: Arc::new(noted), trace: None }
    }

    /// One that is in no recorder.
    #[cfg(feature = "otlp")]
    pub(crate) fn alone(upstream: Option<Arc<str>>, kind: Kind, uri: &Uri, bytes: Arc<AtomicUsize>) -> Self {
        Self::new(0, upstream, kind, uri, bytes)
    }

    /// The same, with a trace that goes on for as long as this is held.
    #[cfg(feature = "otlp")]
    pub(crate) fn traced(self, trace: Arc<Trace>) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// The trace that a request is part of, if there is one, by its extensions.
    pub(crate) fn trace_of(extensions: &Extensions) -> Option<TraceId> {
        // A build without traces need not look.
        cfg!(feature = "otlp").then(|| extensions.get::<Self>()?.trace_id()).flatten()
    }

    /// The trace that the request is part of, if there is one.
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        self.trace.as_deref().map(Trace::id)
    }

    /// What there is by now.
    pub fn read(&self) -> Record {
        let mut record = self.record().clone();
        record.age = self.now();
        record
    }

    /// The same, without a copy of it.
    #[cfg(feature = "otlp")]
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.record())
    }

    pub(crate) fn attached_to(&self, first: &Self) {
        let mut other = first.record();
        other.attached += 1;
        let number = other.number;
        drop(other);
        self.record().attached_to = Some(number);
        if let (Some(trace), Some(first)) = (&self.trace, &first.trace) {
            trace.attached_to(first);
        }
    }

    /// The answer to attach to was a stream, which another has: it goes on by itself.
    pub(crate) fn detached(&self) {
        self.record().attached_to = None;
        if let Some(trace) = &self.trace {
            trace.detached();
        }
    }

    /// It needs no turn, and is sent at once.
    pub(crate) fn passes(&self) {
        self.sent();
        if let Some(trace) = &self.trace {
            trace.passes();
        }
    }

    /// It is refused before it could wait for a turn.
    #[cfg(feature = "sidecar")]
    pub(crate) fn kept_out(&self) {
        if let Some(trace) = &self.trace {
            trace.passes();
        }
    }

    pub(crate) fn sent(&self) {
        let now = self.now();
        self.record().sent = Some(now);
    }

    /// The pause is the one until the next attempt.
    pub(crate) fn attempted<B, E>(&self, came: &Result<Response<B>, E>, pause: Option<Duration>) {
        let attempt = Attempt::of(self.now(), came, pause);
        let mut record = self.record();
        if record.attempts.len() == MOST_ATTEMPTS {
            record.attempts_left_out += 1;
            return;
        }
        self.noted.bytes.fetch_add(attempt.bytes(), Ordering::Relaxed);
        // One is what most have.
        record.attempts.reserve_exact(1);
        record.attempts.push(attempt);
    }

    /// The only attempt, unless those that were made are noted.
    pub(crate) fn attempted_once<B, E>(&self, came: &Result<Response<B>, E>) {
        if self.record().attempts.is_empty() {
            self.attempted(came, None);
        }
    }

    pub(crate) fn ended(&self, status: Option<StatusCode>, failed: Option<Verdict>, abandoned: bool) {
        let at = self.now();
        self.record().ending = Some(Ending { at, status, failed, abandoned });
    }

    pub(crate) fn shielded(&self, verdict: Verdict) {
        self.record().shielded = Some(verdict);
    }

    pub(crate) fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let rescue = text(RESCUE).filter(|reason| reason.len() <= LONGEST_NAME).map(Into::into);
        let reason = text(REASON).and_then(|reason| reason.parse().ok());
        let answer = Answer { at: self.now(), status, rescue, reason };
        self.record().answer = Some(answer);
    }

    pub(crate) fn left(&self) {
        let now = self.now();
        self.record().left = Some(now);
    }

    fn now(&self) -> Duration {
        self.noted.since.elapsed()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Nothing in here can panic half-way.
        self.noted.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Record ===

impl Record {
    /// What it takes in the recorder, attempts and all, in bytes.
    fn bytes(&self) -> usize {
        let attempts: usize = self.attempts.iter().map(Attempt::bytes).sum();
        size_of::<Noted>() + 2 * size_of::<usize>() + self.playlist.len() + attempts
    }
}

// === impl Noted ===

impl Drop for Noted {
    fn drop(&mut self) {
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.bytes.fetch_sub(record.bytes(), Ordering::Relaxed);
    }
}
