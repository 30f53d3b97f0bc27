use std::{sync::Arc, time::Duration};

use dashmap::{DashMap, Entry};
use tokio::sync::Notify;

/// The longest that a request is held back for word of those in flight.
pub(super) const MOST_WAIT: Duration = Duration::from_secs(1);

/// After this many outcomes the older ones count half.
const MEMORY: u32 = 64;

/// The requests in flight of sessions that were not good before, by playback configuration: each of them may
/// bring a 4xx, and nobody knows yet. Nothing is held of a configuration that has none.
#[derive(Debug, Default)]
pub(super) struct Doubts(DashMap<u64, Doubt>);

/// Those of one playback configuration.
#[derive(Debug, Default)]
struct Doubt {
    flying: u32,
    /// Who waits for word of them; the first to come is the first to be called.
    waiting: u32,
    line: Arc<Notify>,
    /// What came of the last ones.
    good: u32,
    bad: u32,
}

/// How many 4xx there may be, and were, in a minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) limit: u32,
    pub(super) spent: u32,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    /// A 4xx.
    Bad,
}

/// A request that waits for a place.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    doubts: &'a Doubts,
    scope: u64,
    line: Arc<Notify>,
}

// === impl Doubts ===

impl Doubts {
    /// Takes a place, unless there is no room or somebody else came first.
    pub(super) fn take(&self, scope: u64, room: Room) -> bool {
        let mut doubt = self.0.entry(scope).or_default();
        let takes = doubt.waiting == 0 && doubt.has_place(room);
        doubt.flying += u32::from(takes);
        takes
    }

    /// Gives a place back.
    pub(super) fn give_back(&self, scope: u64, outcome: Option<Outcome>) {
        self.change(scope, |doubt| {
            doubt.flying = doubt.flying.saturating_sub(1);
            outcome.into_iter().for_each(|outcome| doubt.hear(outcome));
        });
    }

    /// Stands in line.
    pub(super) fn wait(&self, scope: u64) -> Waiter<'_> {
        let mut doubt = self.0.entry(scope).or_default();
        doubt.waiting += 1;
        Waiter { doubts: self, scope, line: Arc::clone(&doubt.line) }
    }

    /// Calls the first in line if there is a place for it, or none for anybody.
    pub(super) fn call(&self, scope: u64, room: Room) {
        if let Some(doubt) = self.0.get(&scope)
            && doubt.waiting > 0
            && (room.is_none() || doubt.has_place(room))
        {
            doubt.line.notify_one();
        }
    }

    /// Changes what there is of a configuration, and drops it if that was the last.
    fn change<T>(&self, scope: u64, change: impl FnOnce(&mut Doubt) -> T) -> Option<T> {
        let Entry::Occupied(mut entry) = self.0.entry(scope) else { return None };
        let changed = change(entry.get_mut());
        if entry.get().is_over() {
            entry.remove();
        }
        Some(changed)
    }
}

// === impl Doubt ===

impl Doubt {
    /// Whether one more may be in flight: as many may as are expected to bring no more 4xx than there is room for.
    /// With one in flight at the least while there is any room, somebody always comes back and calls who waits.
    fn has_place(&self, room: Room) -> bool {
        let (flying, left) = (u64::from(self.flying) + 1, u64::from(room.left()));
        if room.is_half_spent() {
            return flying <= left;
        }
        // Of what is not known yet the worst is expected.
        let (bad, all) = (u64::from(self.bad) + 1, u64::from(self.good + self.bad) + 1);
        flying.saturating_mul(bad) <= left.saturating_mul(all)
    }

    fn hear(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Good => self.good += 1,
            Outcome::Bad => self.bad += 1,
        }
        if self.good + self.bad > MEMORY {
            (self.good, self.bad) = (self.good / 2, self.bad / 2);
        }
    }

    fn is_over(&self) -> bool {
        self.flying == 0 && self.waiting == 0
    }
}

// === impl Room ===

impl Room {
    pub(super) fn is_none(self) -> bool {
        self.left() == 0
    }

    fn left(self) -> u32 {
        self.limit.saturating_sub(self.spent)
    }

    fn is_half_spent(self) -> bool {
        self.spent >= self.limit.div_ceil(2)
    }
}

// === impl Waiter ===

impl Waiter<'_> {
    /// Waits until it is called.
    pub(super) async fn called(&self) {
        self.line.notified().await;
    }

    /// Takes a place if there is one.
    pub(super) fn take(&self, room: Room) -> bool {
        self.take_if(|doubt| doubt.has_place(room))
    }

    /// Takes a place though there is none, unless that is asking for one more 4xx.
    pub(super) fn take_nevertheless(&self) -> bool {
        self.take_if(|doubt| doubt.bad == 0 || doubt.bad < doubt.good)
    }

    fn take_if(&self, may: impl FnOnce(&Doubt) -> bool) -> bool {
        let taken = self.doubts.change(self.scope, |doubt| {
            let takes = may(doubt);
            doubt.flying += u32::from(takes);
            takes
        });
        taken.unwrap_or_default()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.doubts.change(self.scope, |doubt| doubt.waiting = doubt.waiting.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_test::{assert_pending, assert_ready, task::spawn};

    use super::*;

    const ROOM: Room = Room { limit: 10, spent: 0 };

    #[test]
    fn no_more_fly_than_may_be_bad() {
        let doubts = Doubts::default();
        assert_eq!((0..20).filter(|_| doubts.take(1, ROOM)).count(), 10);
        assert!(doubts.take(2, ROOM), "another configuration's are its own");
        // The fewer are bad the more may fly, until half of the limit is spent.
        (0..9).for_each(|_| doubts.give_back(1, Some(Outcome::Good)));
        assert_eq!((0..200).filter(|_| doubts.take(1, ROOM)).count(), 99);
        assert!(!doubts.take(1, Room { spent: 5, ..ROOM }));
        (0..100).for_each(|_| doubts.give_back(1, Some(Outcome::Bad)));
        doubts.give_back(2, None);
        assert!(doubts.0.is_empty(), "nothing is kept of what is over");
        assert_eq!((0..20).filter(|_| doubts.take(1, Room { spent: 6, ..ROOM })).count(), 4);
    }

    #[test]
    fn who_came_first_is_called_first() {
        let (doubts, room) = (Doubts::default(), Room { limit: 1, spent: 0 });
        assert!(doubts.take(1, room));
        let [first, second] = [(); 2].map(|()| doubts.wait(1));
        let (mut first_called, mut second_called) = (spawn(first.called()), spawn(second.called()));
        assert_pending!(first_called.poll());
        assert_pending!(second_called.poll());
        doubts.call(1, room);
        assert_pending!(first_called.poll(), "there is no place yet");
        doubts.give_back(1, None);
        assert!(!doubts.take(1, room), "others were first");
        doubts.call(1, room);
        assert_pending!(second_called.poll());
        // Who leaves once it was called leaves its call to the next.
        drop(first_called);
        drop(first);
        assert_ready!(second_called.poll());
        assert!(second.take(room) && !second.take(room));
        drop(second_called);
        drop(second);
        doubts.give_back(1, Some(Outcome::Bad));
        assert!(doubts.0.is_empty());
    }

    #[test]
    fn who_has_waited_long_is_let_through_unless_others_went_wrong() {
        let (doubts, room) = (Doubts::default(), Room { limit: 9, spent: 0 });
        (0..9).for_each(|_| assert!(doubts.take(1, room)));
        let waiter = doubts.wait(1);
        assert!(!waiter.take(room) && waiter.take_nevertheless());
        doubts.give_back(1, Some(Outcome::Bad));
        assert!(!waiter.take_nevertheless());
        (0..2).for_each(|_| doubts.give_back(1, Some(Outcome::Good)));
        assert!(waiter.take_nevertheless());
    }

    proptest! {
        /// Of a configuration that is dead never more 4xx come than it may have, in whatever order they come back.
        #[test]
        fn a_dead_configuration_stays_below_its_limit(
            limit in 1_u32..50,
            steps in proptest::collection::vec(any::<bool>(), 1..500),
        ) {
            let (doubts, mut room, mut flying) = (Doubts::default(), Room { limit, spent: 0 }, 0_u32);
            for asks in steps {
                if asks && !room.is_none() {
                    flying += u32::from(doubts.take(1, room));
                } else if flying > 0 {
                    flying -= 1;
                    room.spent += 1;
                    doubts.give_back(1, Some(Outcome::Bad));
                }
                prop_assert!(room.spent + flying <= limit);
                if flying == 0 && !room.is_none() {
                    prop_assert!(doubts.take(1, room), "one at the least may always fly");
                    flying += 1;
                }
            }
        }
    }
}
