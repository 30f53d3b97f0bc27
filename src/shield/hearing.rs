use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use super::doubt::Outcome;
use crate::{
    session::{Kind, SessionKey},
    upstream::Lessons,
};

/// Hears what comes of a request of a session of which nothing is kept, or of one that creates a session, and of tracking.
#[derive(Debug)]
pub(super) struct Hearing {
    lessons: Arc<Lessons>,
    key: SessionKey,
    kind: Kind,
    /// Whether it has a place among those in flight that may bring a 4xx.
    has_place: bool,
    outcome: Option<Outcome>,
}

// === impl Hearing ===

impl Hearing {
    pub(super) fn new(lessons: &Arc<Lessons>, key: SessionKey, kind: Kind, has_place: bool) -> Self {
        Self { lessons: Arc::clone(lessons), key, kind, has_place, outcome: None }
    }

    /// A conflict is none of the session's faults, and what broke down says nothing of it.
    pub(super) fn hear(&mut self, status: StatusCode) {
        self.outcome = match status {
            StatusCode::CONFLICT => None,
            status if status.is_client_error() => Some(Outcome::Bad),
            status if status.is_server_error() => None,
            _ => Some(Outcome::Good),
        };
        match (self.outcome, self.kind) {
            (Some(Outcome::Good), Kind::Tracking) => self.lessons.seen.tracked(&self.key, Instant::now()),
            (Some(Outcome::Good), _) => self.lessons.seen.served(&self.key, Instant::now()),
            _ => {}
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        if self.has_place {
            self.lessons.quota_of(self.kind).release(&self.key, self.outcome, Instant::now());
        }
    }
}
