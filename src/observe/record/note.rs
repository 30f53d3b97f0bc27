use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Response, StatusCode, Uri};
use tokio::time::Instant;

use super::Attempt;
use crate::{remap::REASON, rescue::RESCUE, session::Kind, upstream::Verdict};

/// What is written down of one request. A clone is the same note.
#[derive(Debug, Clone)]
pub struct Note(Arc<Noted>);

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
        Self(Arc::new(Noted { since: Instant::now(), bytes, record: Mutex::new(record) }))
    }

    /// What there is by now.
    pub fn read(&self) -> Record {
        let mut record = self.record().clone();
        record.age = self.now();
        record
    }

    pub(crate) fn attached_to(&self, first: &Self) {
        let mut other = first.record();
        other.attached += 1;
        let number = other.number;
        drop(other);
        self.record().attached_to = Some(number);
    }

    /// The answer to attach to was a stream, which another has: it goes on by itself.
    pub(crate) fn detached(&self) {
        self.record().attached_to = None;
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
        self.0.bytes.fetch_add(attempt.bytes(), Ordering::Relaxed);
        // One is what most have.
        record.attempts.reserve_exact(1);
        record.attempts.push(attempt);
    }

    pub(crate) fn ended(&self, status: Option<StatusCode>, failed: Option<Verdict>) {
        let at = self.now();
        self.record().ending = Some(Ending { at, status, failed });
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
        self.0.since.elapsed()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Nothing in here can panic half-way.
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
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
