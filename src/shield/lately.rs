use std::sync::Arc;

use tokio::time::Instant;

use super::{
    ledger::{Ledger, Passing},
    window::MINUTE,
};
use crate::session::SessionKey;

/// Sessions that something was seen of in the last minute, and what.
#[derive(Debug)]
pub(crate) struct Lately<T = ()>(Arc<Ledger<SessionKey, Since<T>>>);

/// When it was last seen.
#[derive(Debug)]
struct Since<T>(Instant, T);

// === impl Lately ===

impl Lately {
    pub(crate) fn remember(&self, session: &SessionKey, now: Instant) {
        self.keep(session, (), now);
    }
}

impl<T> Lately<T> {
    /// None yet, and this many at the most; sessions beyond that are not remembered.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Ledger::new(capacity, MINUTE / 2)))
    }

    pub(crate) fn keep(&self, session: &SessionKey, what: T, now: Instant) {
        self.0.put(session, now, Since(now, what), |since, later| *since = later);
    }

    /// What was seen of it, which is not kept any longer.
    pub(crate) fn take(&self, session: &SessionKey) -> Option<T> {
        if self.0.is_empty() { None } else { self.0.remove(session).map(|Since(_, what)| what) }
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

impl<T> Clone for Lately<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Passing for Since<T> {
    fn has_passed(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.0) > MINUTE
    }
}
