use std::sync::Arc;

use tokio::time::Instant;

use super::{
    ledger::{Ledger, Passing},
    window::MINUTE,
};
use crate::session::SessionKey;

/// Sessions that something was seen of in the last minute.
#[derive(Debug, Clone)]
pub(crate) struct Lately(Arc<Ledger<SessionKey, Since>>);

/// When it was last seen.
#[derive(Debug)]
struct Since(Instant);

// === impl Lately ===

impl Lately {
    /// None yet, and this many at the most; sessions beyond that are not remembered.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Ledger::new(capacity, MINUTE / 2)))
    }

    pub(crate) fn remember(&self, session: &SessionKey, now: Instant) {
        self.0.put(session, now, Since(now), |since, later| *since = later);
    }

    /// It has ended.
    pub(crate) fn forget(&self, session: &SessionKey) {
        self.0.remove(session);
    }

    /// Whether it was seen no longer than a minute ago.
    pub(crate) fn has(&self, session: &SessionKey, now: Instant) -> bool {
        self.0.look(session, now, |since| !since.has_passed(now)).unwrap_or_default()
    }
}

// === impl Since ===

impl Passing for Since {
    fn has_passed(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.0) > MINUTE
    }
}
