use std::{fmt, hash::RandomState, sync::Arc};

use quick_cache::{
    OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::{Config, record::Record};
use crate::session::SessionKey;

/// The part of a shard that is for sessions that were seen again, and the most that one of them may take.
const HOT: f64 = 0.5;

/// What a session is expected to take, in bytes. Off by much, it costs some memory for what the cache remembers of
/// sessions that it evicted.
const EXPECTED: u64 = 2 * 1024;

/// What the cache takes for a session besides what it keeps, in bytes: a slot, and up to twice as many slots are there
/// as are used.
const SLOT: usize = 192;

/// The sessions whose creation passed through here, within a byte budget; the one that has gone unrequested
/// the longest goes first.
pub struct Store {
    config: Config,
    sessions: Cache<SessionKey, Session, Weigh, RandomState>,
}

/// A session in the cache, which must know the weight without a lock.
#[derive(Clone)]
struct Session {
    weight: u64,
    record: Arc<Record>,
}

#[derive(Clone)]
struct Weigh;

// === impl Store ===

impl Store {
    pub(super) fn new(config: Config) -> Self {
        // The fewer shards, the larger the largest session that has room in one: it has a creation and a
        // multivariant playlist.
        let needed = (config.largest as u64).max(EXPECTED).saturating_mul(2 * 4);
        let shards = 1 << (config.bytes / needed).clamp(1, 64).ilog2();
        let expected = usize::try_from(config.bytes / EXPECTED).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(shards)
            .weight_capacity(config.bytes)
            .estimated_items_capacity(expected.max(32 * shards))
            .hot_allocation(HOT)
            .build()
            .expect("both capacities are set");
        let sessions = Cache::with_options(options, Weigh, RandomState::new(), DefaultLifecycle::default());
        Self { config, sessions }
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many sessions could be resumed.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How much memory they take, in bytes, as the budget counts.
    pub fn bytes(&self) -> u64 {
        self.sessions.weight()
    }

    pub(super) fn get(&self, key: &SessionKey) -> Option<Arc<Record>> {
        self.sessions.get(key).map(|session| session.record)
    }

    /// Keeps a session, or weighs it anew.
    pub(super) fn keep(&self, key: SessionKey, record: Arc<Record>) {
        let weight = (SLOT + key.heap() + record.weight()) as u64;
        self.sessions.insert(key, Session { weight, record });
    }

    pub(super) fn forget(&self, key: &SessionKey) {
        self.sessions.remove(key);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("sessions", &self.sessions())
            .field("bytes", &self.bytes())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

// === impl Weigh ===

impl Weighter<SessionKey, Session> for Weigh {
    fn weight(&self, _: &SessionKey, session: &Session) -> u64 {
        session.weight
    }
}
