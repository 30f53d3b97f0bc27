use std::{
    hash::RandomState,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use quick_cache::{
    OptionsBuilder,
    sync::{Cache, DefaultLifecycle},
};
use tokio::time::Instant;

use super::{
    Config,
    session::{LARGEST_PER_SESSION, LEAST_LARGEST, SESSION_OF_SHARD, Session, Weigh},
};
use crate::session::SessionKey;

/// What a session is expected to take, in bytes: three playlists of a live stream. Off by much, it costs some
/// memory for what the cache remembers of sessions that it evicted.
const EXPECTED: u64 = 64 * 1024;

/// The memory of all stores that were made of one another: it is there for as long as one of them is on.
pub(super) struct Pool {
    pub(super) sessions: Cache<SessionKey, Session, Weigh, RandomState>,
    /// How many playlists are kept over all sessions.
    pub(super) count: Arc<AtomicUsize>,
    born: Instant,
}

/// Where those that are off find it, once one of them is switched on.
#[derive(Clone, Default)]
pub(super) struct Home(Arc<Mutex<Weak<Pool>>>);

// === impl Pool ===

impl Pool {
    fn new(config: &Config) -> Self {
        let largest = (config.largest as u64).max(LEAST_LARGEST);
        // The fewer shards, the larger the largest session that has room in one.
        let needed = (largest.saturating_mul(LARGEST_PER_SESSION) as f64 / SESSION_OF_SHARD) as u64;
        let shards = 1 << (config.bytes / needed).clamp(1, 64).ilog2();
        let options = OptionsBuilder::new()
            .shards(shards)
            .weight_capacity(config.bytes)
            .estimated_items_capacity(
                usize::try_from(config.bytes / EXPECTED).unwrap_or(usize::MAX).max(32 * shards),
            )
            .hot_allocation(SESSION_OF_SHARD)
            .build()
            .expect("both capacities are set");
        let sessions = Cache::with_options(options, Weigh, RandomState::new(), DefaultLifecycle::default());
        Self { sessions, count: Arc::default(), born: Instant::now() }
    }

    pub(super) fn playlists(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Drops the sessions of which nothing can be given any more.
    pub(super) fn expire(&self, now: Instant) {
        let now = self.ms(now);
        self.sessions.retain(|_, session| session.shared.good_until.load(Ordering::Relaxed) >= now);
    }

    /// A time as sessions have it; none is never.
    pub(super) fn until(&self, until: Option<Instant>) -> u64 {
        until.map_or(u64::MAX, |until| self.ms(until))
    }

    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

// === impl Home ===

impl Home {
    /// The memory, if there is one.
    pub(super) fn pool(&self) -> Option<Arc<Pool>> {
        self.pool_of().upgrade()
    }

    /// The memory, within this configuration's budget from now on.
    pub(super) fn pool_for(&self, config: &Config) -> Arc<Pool> {
        let mut pool = self.pool_of();
        if let Some(pool) = pool.upgrade() {
            pool.sessions.set_capacity(config.bytes);
            return pool;
        }
        let new = Arc::new(Pool::new(config));
        *pool = Arc::downgrade(&new);
        new
    }

    fn pool_of(&self) -> MutexGuard<'_, Weak<Pool>> {
        // It is replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
