use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};
use uuid::Uuid;

use super::state::{Session, Terms};

/// All sessions that are remembered.
#[derive(Debug)]
pub(in crate::emulator) struct Sessions {
    map: DashMap<Uuid, Arc<Session>>,
    /// Ids by age, for the oldest to go first.
    ages: Mutex<VecDeque<Uuid>>,
    len: AtomicUsize,
    most: usize,
    created: AtomicU64,
    forgotten: AtomicU64,
}

/// How many busy sessions are passed over in the search for one to forget.
const TRIES: usize = 8;

// === impl Sessions ===

impl Sessions {
    pub(in crate::emulator) fn new(most: usize) -> Self {
        Self {
            map: DashMap::new(),
            ages: Mutex::default(),
            len: AtomicUsize::new(0),
            most: most.max(1),
            created: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        }
    }

    pub(in crate::emulator) fn get(&self, id: &Uuid) -> Option<Arc<Session>> {
        self.map.get(id).map(|session| Arc::clone(&session))
    }

    /// The session of an id, made if there is none.
    pub(in crate::emulator) fn get_or_create(&self, id: Uuid, terms: Terms, now: u64) -> Arc<Session> {
        if let Some(session) = self.get(&id) {
            return session;
        }
        let session = match self.map.entry(id) {
            Entry::Occupied(there) => return Arc::clone(there.get()),
            Entry::Vacant(free) => Arc::clone(&free.insert(Arc::new(Session::new(id, terms, now)))),
        };
        self.created.fetch_add(1, Ordering::Relaxed);
        let full = self.len.fetch_add(1, Ordering::Relaxed) >= self.most;
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        if full {
            self.forget_one(&mut ages);
        }
        ages.push_back(id);
        session
    }

    /// All of them, in no order.
    pub(in crate::emulator) fn all(&self) -> impl Iterator<Item = Arc<Session>> {
        self.map.iter().map(|session| Arc::clone(&session))
    }

    /// How many there are, were made, and were forgotten.
    pub(in crate::emulator) fn numbers(&self) -> (usize, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (self.len.load(Ordering::Relaxed), read(&self.created), read(&self.forgotten))
    }

    pub(in crate::emulator) fn reset_numbers(&self) {
        self.created.store(0, Ordering::Relaxed);
        self.forgotten.store(0, Ordering::Relaxed);
    }

    fn forget_one(&self, ages: &mut VecDeque<Uuid>) {
        for _ in 0..TRIES.min(ages.len()) {
            let Some(oldest) = ages.pop_front() else {
                return;
            };
            if self.map.remove_if(&oldest, |_, session| session.is_idle()).is_some() {
                self.len.fetch_sub(1, Ordering::Relaxed);
                self.forgotten.fetch_add(1, Ordering::Relaxed);
                return;
            }
            ages.push_back(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::choices::Conflict;

    #[test]
    fn forgets_the_oldest_that_is_idle() {
        let sessions = Sessions::new(2);
        let make = |n| sessions.get_or_create(Uuid::from_u128(n), Terms::default(), 0);
        let busy = make(1);
        let (_, flight) = busy.take_off(Some(Conflict::Reject));
        assert!(flight.is_some());
        make(2);
        make(3);
        let there = |n| sessions.get(&Uuid::from_u128(n)).is_some();
        assert_eq!([1, 2, 3].map(there), [true, false, true]);
        assert_eq!(sessions.numbers(), (2, 3, 1));
        assert_eq!(make(3).id, Uuid::from_u128(3));
        assert_eq!(sessions.numbers(), (2, 3, 1));
    }
}
