use http::request::Parts;
use tokio::time::Instant;
use tower::{retry::backoff::ExponentialBackoff, util::rng::HasherRng};

use crate::session::{Extracted, Kind, MediaTailor, SessionKey};

/// How one request goes.
#[derive(Clone)]
pub(super) struct Course {
    pub(super) first: Instant,
    /// Made with the first pause: few requests have one.
    pub(super) pauses: Option<ExponentialBackoff<HasherRng>>,
    pub(super) named: (Option<SessionKey>, Kind),
    /// Whether it creates a session, in whatever protocol and by whatever method: sent twice, it may create two.
    pub(super) creates: bool,
    pub(super) again: u32,
    pub(super) directives_gone: bool,
}

/// Marks a request that was sent before.
#[derive(Clone, Copy)]
pub(super) struct Tried;

// === impl Course ===

impl Course {
    /// Of a request that is sent for the first time.
    pub(super) fn of(head: &Parts) -> Self {
        let extracted = Extracted::of(head, &MediaTailor::new());
        let creates = extracted.creation(&head.method).is_some();
        let named = (extracted.session.ok().flatten(), extracted.kind);
        Self { first: Instant::now(), pauses: None, named, creates, again: 0, directives_gone: false }
    }
}
