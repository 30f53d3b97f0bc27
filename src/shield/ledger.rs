use std::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use dashmap::{DashMap, Entry};
use tokio::time::Instant;

use crate::lane::Headcount;

/// A bounded map of things that pass. Those that have passed are dropped by the call that touches the map
/// when that is due, so that it needs no task; and the map gives its memory back after a crowd.
#[derive(Debug)]
pub(super) struct Ledger<K: Eq + Hash, V> {
    entries: DashMap<K, V>,
    count: Headcount,
    capacity: usize,
    /// The time between two walks.
    every: Duration,
    born: Instant,
    /// When the next walk is due, in milliseconds since `born`.
    due: AtomicU64,
}

/// A thing that passes.
pub(super) trait Passing {
    /// Whether nobody will miss it.
    fn has_passed(&self, now: Instant) -> bool;
}

// === impl Ledger ===

impl<K: Eq + Hash + Clone, V: Passing> Ledger<K, V> {
    /// Holds at most `capacity` entries, and by chance as many more as threads add one at the same instant.
    /// The first call that touches it once `every` is over since the last walk walks over all entries and
    /// drops those that have passed.
    pub(super) fn new(capacity: usize, every: Duration) -> Self {
        Self {
            entries: DashMap::new(),
            count: Headcount::new(),
            capacity,
            every,
            born: Instant::now(),
            due: AtomicU64::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.now()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at an entry under a shared lock: `look` must not touch the ledger. Costs nothing while there are no
    /// entries.
    pub(super) fn look<T>(&self, key: &K, now: Instant, look: impl FnOnce(&V) -> T) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        self.sweep_if_due(now);
        self.entries.get(key).map(|value| look(&value))
    }

    /// What `look` makes of every entry, for those who look elsewhere as well, which they must not do in between.
    pub(super) fn all<T>(&self, now: Instant, look: impl Fn(&V) -> T) -> Vec<(K, T)> {
        self.sweep_if_due(now);
        self.entries.iter().map(|entry| (entry.key().clone(), look(entry.value()))).collect()
    }

    /// Changes an entry, if there is one, in a critical section of its own: `change` must not touch the ledger.
    pub(super) fn change<T>(&self, key: &K, change: impl FnOnce(&mut V) -> T) -> Option<T> {
        self.entries.get_mut(key).map(|mut value| change(&mut value))
    }

    /// Puts `new` in, or changes the entry that is there with it, in one critical section. `false` if there was
    /// no room.
    pub(super) fn put(&self, key: &K, now: Instant, new: V, change: impl FnOnce(&mut V, V)) -> bool {
        self.sweep_if_due(now);
        match self.entries.entry(key.clone()) {
            Entry::Occupied(mut occupied) => change(occupied.get_mut(), new),
            Entry::Vacant(_) if self.len() >= self.capacity => return false,
            Entry::Vacant(vacant) => {
                // Counted while nobody can remove it.
                let _entry = vacant.insert(new);
                self.count.came();
            }
        }
        true
    }

    /// Costs nothing while there are no entries, and no lock that excludes others while there is none of this key.
    pub(super) fn remove(&self, key: &K) -> Option<V> {
        if self.is_empty() || !self.entries.contains_key(key) {
            return None;
        }
        let (_, removed) = self.entries.remove(key)?;
        if self.count.went() {
            self.entries.shrink_to_fit();
        }
        Some(removed)
    }

    fn sweep_if_due(&self, now: Instant) {
        let now_ms = ms(now.saturating_duration_since(self.born));
        let due = self.due.load(Ordering::Relaxed);
        if now_ms < due {
            return;
        }
        let next = now_ms.saturating_add(ms(self.every).max(1));
        // One walks; the others need not wait for it.
        if self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let mut shrinks = false;
        self.entries.retain(|_, value| {
            let stays = !value.has_passed(now);
            shrinks |= !stays && self.count.went();
            stays
        });
        if shrinks {
            self.entries.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.entries.capacity()
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
