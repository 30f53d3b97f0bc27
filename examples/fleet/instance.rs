use std::time::Duration;

use onelane::{
    session::{SessionId, SessionKey},
    upstream::{RetryConfig, Settle},
};
use tokio::time::Instant;

use crate::retries::Budget;

/// What one onelane has learned and may spend. Its lanes are in the [requests](crate::request::Requests).
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) alive: bool,
    pub(crate) budget: Budget,
    /// The library's own, told the virtual time.
    settle: Settle,
    born: Instant,
}

// === impl Instance ===

impl Instance {
    pub(crate) fn new(retry: &RetryConfig) -> Self {
        Self { alive: true, budget: Budget::new(retry), settle: Settle::default(), born: Instant::now() }
    }

    /// How long a session's turn is kept after its answer, in microseconds.
    pub(crate) fn gap(&self, session: u32, now: u64) -> u64 {
        self.settle.gap(&key(session), self.instant(now)).as_micros() as u64
    }

    /// A conflict of what was sent for a session at `sent`, `last` after the last playlist of it that this process saw: as
    /// `onelane::upstream::Lessons` has it, long after that it is somebody else and teaches nothing.
    pub(crate) fn conflict(&self, session: u32, sent: u64, last: Option<u64>, now: u64) {
        let most = self.settle.most().as_micros() as u64;
        if last.is_some_and(|last| sent.saturating_sub(last) <= most) {
            self.settle.conflict(&key(session), self.instant(sent), self.instant(now));
        }
    }

    fn instant(&self, at: u64) -> Instant {
        self.born + Duration::from_micros(at)
    }
}

/// All sessions are of one playback configuration.
fn key(session: u32) -> SessionKey {
    let id = format!("00000000-0000-4000-8000-{session:012x}");
    SessionKey::new(None, None, SessionId::parse(&id).expect("a UUID"))
}
