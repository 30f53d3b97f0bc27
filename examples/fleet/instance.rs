use std::time::Duration;

use onelane::upstream::{RetryConfig, Settle};
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

/// All sessions are of one playback configuration.
const SCOPE: u64 = 0;

// === impl Instance ===

impl Instance {
    pub(crate) fn new(retry: &RetryConfig) -> Self {
        Self { alive: true, budget: Budget::new(retry), settle: Settle::default(), born: Instant::now() }
    }

    /// How long a turn is kept after its answer, in microseconds.
    pub(crate) fn gap(&self, now: u64) -> u64 {
        self.settle.gap(SCOPE, self.instant(now)).as_micros() as u64
    }

    /// A conflict of what was sent at `sent`, `last` after the last playlist of the session that this process saw: as
    /// `onelane::upstream::Lessons` has it, long after that it is somebody else and teaches nothing.
    pub(crate) fn conflict(&self, sent: u64, last: Option<u64>, now: u64) {
        let most = self.settle.most().as_micros() as u64;
        if last.is_some_and(|last| sent.saturating_sub(last) <= most) {
            self.settle.conflict(SCOPE, self.instant(sent), self.instant(now));
        }
    }

    fn instant(&self, at: u64) -> Instant {
        self.born + Duration::from_micros(at)
    }
}
