use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Config,
    session::{LARGEST_PER_SESSION, LEAST_LARGEST, OVERHEAD, SESSION_OF_SHARD},
};

/// The bounds that a shelf is kept in.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) max_age: Duration,
    /// The largest body, in bytes.
    pub(super) largest: usize,
    /// What a session may take, in bytes.
    pub(super) room: usize,
    /// How many playlists are kept over all sessions.
    pub(super) count: Arc<AtomicUsize>,
    /// What was confirmed before is not given, where it may be older than what players were given without a word here.
    pub(super) since: Option<Instant>,
}

// === impl Bounds ===

impl Bounds {
    /// How much room there is for each; `shard` is what a shard holds, in bytes.
    pub(super) fn of(config: &Config, shard: u64, count: Arc<AtomicUsize>) -> Self {
        let largest = (config.largest as u64).max(LEAST_LARGEST);
        let room = (shard as f64 * SESSION_OF_SHARD) as u64;
        let room = room.min(largest.saturating_mul(LARGEST_PER_SESSION));
        Self {
            max_age: config.max_age,
            largest: config.largest,
            room: usize::try_from(room).unwrap_or(usize::MAX).saturating_sub(OVERHEAD),
            count,
            since: None,
        }
    }
}
