use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Config,
    ledger::Ledger,
    window::{MINUTE, Window},
};

/// The windows of one scope.
pub(super) struct Counts<K: Eq + std::hash::Hash> {
    pub(super) windows: Arc<Ledger<K, Window>>,
    pub(super) limit: u32,
    near: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Low,
    Near,
    Spent,
}

// === impl Counts ===

impl<K: Eq + std::hash::Hash + Clone> Counts<K> {
    pub(super) fn new(config: &Config, limit: u32) -> Self {
        Self::over(&Arc::new(Ledger::new(config.capacity, MINUTE / 2)), config, limit)
    }

    pub(super) fn over(windows: &Arc<Ledger<K, Window>>, config: &Config, limit: u32) -> Self {
        let limit = limit.max(1);
        // A cast of what is no number is 0, and then nothing would ever be enough.
        let part = if config.warn_at.is_nan() { 1.0 } else { config.warn_at.clamp(0.0, 1.0) };
        let near = ((f64::from(limit) * part).ceil() as u32).clamp(1, limit);
        Self { windows: Arc::clone(windows), limit, near }
    }

    /// `false` if there was no room to count it.
    pub(super) fn spend(&self, key: &K, now: Instant) -> bool {
        self.windows.put(key, now, Window::new(now), |window, _| window.add(now))
    }

    pub(super) fn count(&self, key: &K, now: Instant) -> u32 {
        self.windows.look(key, now, |window| window.count(now)).unwrap_or_default()
    }

    pub(super) fn level(&self, count: u32) -> Level {
        match count {
            count if count >= self.limit => Level::Spent,
            count if count >= self.near => Level::Near,
            _ => Level::Low,
        }
    }
}
