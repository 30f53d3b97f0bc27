use std::{fmt, hash::Hash, sync::Arc};

use super::{
    Error, Limits, Ticket,
    headcount::Headcount,
    sync::{AtomicBool, AtomicUsize, DashMap, Entry, Ordering, Semaphore},
};

/// The lanes of all keys. A clone is another handle to the same lanes.
pub struct Lanes<K: Eq + Hash> {
    inner: Arc<Inner<K>>,
    limits: Limits,
}

/// The lanes' state, shared by every ticket.
pub(super) struct Inner<K: Eq + Hash> {
    /// A slot for each key that somebody is in line for, and for no other.
    slots: DashMap<K, Slot>,
    /// How many slots there are.
    live: Headcount,
    waiting: AtomicUsize,
    closed: AtomicBool,
}

/// One lane.
///
/// Invariant: for each slot, turns that are out, permits in `line` and permits on their way into it are one in
/// sum. The first to join gets the turn without a permit and puts one into `line` when it leaves; from
/// then on the semaphore hands that one permit from waiter to waiter, in the order in which they came.
struct Slot {
    /// Tickets and turns out. The slot goes when it reaches zero.
    users: u32,
    /// Made when a second one joins: a lane without a queue needs no allocation.
    line: Option<Arc<Semaphore>>,
}

/// How a ticket stands in its lane.
pub(super) enum Admission {
    /// The lane was empty: it is this one's turn.
    First,
    /// Others are before it; their number.
    Behind(u32, Arc<Semaphore>),
}

// === impl Lanes ===

impl<K: Eq + Hash + Clone> Lanes<K> {
    /// No lanes yet, and these limits for all to come.
    pub fn new(limits: Limits) -> Self {
        Self {
            inner: Arc::new(Inner {
                slots: DashMap::new(),
                live: Headcount::new(),
                waiting: AtomicUsize::new(0),
                closed: AtomicBool::new(false),
            }),
            limits,
        }
    }

    /// The same lanes with other limits, for every caller that comes through this handle. Tickets that are in
    /// line already stay there.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { inner: Arc::clone(&self.inner), limits }
    }

    /// Takes a place at the end of the line for `key`. Never waits.
    ///
    /// Turns come in the order of these calls.
    ///
    /// # Errors
    ///
    /// [`Full`](super::ErrorKind::Full) when the lane's depth or the number of all waiting tickets is at its
    /// limit, [`Closed`](super::ErrorKind::Closed) after [`close`](Self::close).
    pub fn join(&self, key: K) -> Result<Ticket<K>, Error> {
        let admission = self.inner.admit(&key, &self.limits)?;
        Ok(Ticket::new(Arc::clone(&self.inner), key, admission, self.limits.wait))
    }

    /// Refuses every caller that comes from now on and ends the wait of the tickets in line. Turns that are
    /// out run to their end.
    pub fn close(&self) {
        // The flag first: who locks a shard after the walk sees it, who came before is met by the walk.
        self.inner.closed.store(true, Ordering::SeqCst);
        let lines: Vec<_> = self.inner.slots.iter().filter_map(|slot| slot.value().line.clone()).collect();
        // Out of the shards' locks, since it wakes tasks: a waker may drop a ticket.
        for line in lines {
            line.close();
        }
    }
}

impl<K: Eq + Hash + Clone> Lanes<K> {
    /// The longest lanes, and how many wait in each; at most `n`, the longest first. It goes through all
    /// lanes, so it is meant for people to call, not for each request.
    pub fn longest(&self, n: usize) -> Vec<(K, u32)> {
        let waiting = self.inner.slots.iter().filter(|slot| slot.value().users > 1);
        let mut all: Vec<_> = waiting.map(|slot| (slot.key().clone(), slot.value().users - 1)).collect();
        all.sort_unstable_by_key(|(_, waiting)| std::cmp::Reverse(*waiting));
        all.truncate(n);
        all
    }

    /// How many wait behind the one whose turn it is, for this key.
    pub fn waiting_for(&self, key: &K) -> u32 {
        self.inner.slots.get(key).map_or(0, |slot| slot.value().users.saturating_sub(1))
    }
}

impl<K: Eq + Hash> Lanes<K> {
    /// How many lanes there are: keys that somebody waits for, or whose turn is out.
    pub fn len(&self) -> usize {
        self.inner.live.now()
    }

    /// Whether every lane is idle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tickets wait for their turn, over all keys.
    pub fn waiting(&self) -> usize {
        self.inner.waiting.load(Ordering::Relaxed)
    }
}

impl<K: Eq + Hash> Clone for Lanes<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), limits: self.limits.clone() }
    }
}

impl<K: Eq + Hash> fmt::Debug for Lanes<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("lanes", &self.len())
            .field("waiting", &self.waiting())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

// === impl Inner ===

impl<K: Eq + Hash + Clone> Inner<K> {
    /// Admission, depth and the creation of the lane, in one critical section that never awaits.
    fn admit(&self, key: &K, limits: &Limits) -> Result<Admission, Error> {
        match self.slots.entry(key.clone()) {
            _ if self.closed.load(Ordering::SeqCst) => Err(Error::CLOSED),
            Entry::Vacant(vacant) => {
                vacant.insert(Slot { users: 1, line: None });
                self.live.came();
                Ok(Admission::First)
            }
            Entry::Occupied(mut occupied) => {
                let slot = occupied.get_mut();
                if slot.users >= limits.depth {
                    return Err(Error::LANE_FULL);
                }
                if !self.start_waiting(limits.waiting) {
                    return Err(Error::ALL_FULL);
                }
                let ahead = slot.users;
                slot.users += 1;
                let line = slot.line.get_or_insert_with(|| Arc::new(Semaphore::new(0)));
                Ok(Admission::Behind(ahead, Arc::clone(line)))
            }
        }
    }
}

impl<K: Eq + Hash> Inner<K> {
    /// Counts one more who waits, unless that is one too many. Never counts beyond the limit for a moment, which
    /// would refuse somebody else for nothing.
    fn start_waiting(&self, most: usize) -> bool {
        let more = |waiting| (waiting < most).then(|| waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn stop_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gives a place up and removes the lane with its last one, in one critical section. `first` is the one
    /// that got the turn without a permit.
    ///
    /// Runs in drops: it must not panic.
    pub(super) fn leave(&self, key: &K, first: bool) {
        let mut heirs = None;
        let removed = self.slots.remove_if_mut(key, |_, slot| {
            slot.users = slot.users.saturating_sub(1);
            if first {
                heirs.clone_from(&slot.line);
            }
            slot.users == 0
        });
        if removed.is_some() {
            if self.live.went() {
                self.slots.shrink_to_fit();
            }
        } else if let Some(heirs) = heirs {
            // Out of the critical section, since it wakes a task. If all who wait leave before it, the permit
            // ends up in a semaphore that nobody knows any more.
            heirs.add_permits(1);
        }
    }
}

#[cfg(all(test, not(onelane_shuttle)))]
mod tests {
    use super::{super::headcount::WORTH_SHRINKING, *};

    #[test]
    fn other_limits_are_for_the_same_lanes() {
        let one = Lanes::new(Limits::default().depth(1));
        let _turn = one.join(1).expect("a place");
        assert!(one.join(1).is_err());
        let two = one.with_limits(Limits::default().depth(2));
        let waits = two.join(1).expect("a second place");
        assert_eq!((waits.ahead(), one.waiting()), (1, 1));
        assert_eq!((one.waiting_for(&1), one.waiting_for(&2)), (1, 0));
        assert!(two.join(1).is_err());
    }

    #[test]
    fn memory_goes_back_after_a_crowd() {
        let lanes = Lanes::new(Limits::default());
        let crowd: Vec<_> = (0..100_000).map(|key| lanes.join(key).expect("a place")).collect();
        assert_eq!(lanes.len(), 100_000);
        let crowded = lanes.inner.slots.capacity();
        drop(crowd);
        assert!(lanes.is_empty());
        let idle = lanes.inner.slots.capacity();
        assert!(crowded >= 100_000 && idle < 4 * WORTH_SHRINKING, "{crowded}, then {idle}");
    }
}
