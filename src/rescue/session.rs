use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64};

use quick_cache::Weighter;

use super::shelf::Shelf;
use crate::session::SessionKey;

/// A session may take as much memory as this many of the largest playlists.
pub(super) const LARGEST_PER_SESSION: u64 = 4;

/// The least size, in bytes, that each of these counts as.
pub(super) const LEAST_LARGEST: u64 = 16 * 1024;

/// The part of a shard that a session may take. Also the part that is for sessions that were seen again: the
/// rest is for new ones, which have to stay until their player polls again.
pub(super) const SESSION_OF_SHARD: f64 = 0.5;

/// What the cache takes for a session besides what it keeps, in bytes: a slot of some 80, and up to twice as many
/// slots are there as are used.
const SLOT: usize = 192;

/// What a session takes without its playlists, in bytes.
pub(super) const OVERHEAD: usize = SLOT + size_of::<Shared>() + super::ALLOCATION;

/// A session's shelf in the cache. The cache must know the weight without a lock.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) weight: u64,
    pub(super) shared: Arc<Shared>,
}

/// What all handles of a session share.
#[derive(Default)]
pub(super) struct Shared {
    /// Locked before the cache's shard where both are.
    state: Mutex<State>,
    /// When the last playlist will be too old, in milliseconds since the store was made.
    pub(super) good_until: AtomicU64,
}

/// What is kept of it, and whether it still is.
#[derive(Default)]
pub(super) struct State {
    pub(super) shelf: Shelf,
    /// The weight that the cache knows.
    pub(super) weight: u64,
    /// It is no longer in the cache, and must not get there again.
    pub(super) forgotten: bool,
}

/// Tells the cache what a session weighs.
#[derive(Clone)]
pub(super) struct Weigh;

// === impl Shared ===

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way, and a poisoned lock must not stick a session.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Weigh ===

impl Weighter<SessionKey, Session> for Weigh {
    fn weight(&self, _: &SessionKey, session: &Session) -> u64 {
        session.weight
    }
}
