use std::{cmp::Reverse, collections::BinaryHeap};

/// Something that happens to a request, a session, a process or a balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    /// When, in microseconds since the beginning.
    pub(crate) at: u64,
    /// Breaks ties: what was said first happens first, so that a run can be repeated.
    order: u64,
    /// To whom.
    pub(crate) whom: u32,
    /// Which of the things that may happen to it: one that was overtaken has another stamp by then.
    pub(crate) stamp: u32,
    pub(crate) what: What,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// A session's player loads all its playlists.
    Refresh,
    /// A request comes to a balancer.
    Arrive,
    /// A request's `SET NX PX` is at the engine.
    Ask,
    /// A request knows that it has the lease, or that the engine is too slow to wait for.
    Granted,
    /// A request without a lease asks again.
    Poll,
    /// A request is on its way to MediaTailor, for the first time or again.
    Send,
    /// MediaTailor has answered with a playlist.
    Answer,
    /// A 409 is back.
    Refused,
    /// The turn goes on to the next in its lane.
    HandOn,
    /// A session's lease is deleted in the engine; the stamp is its token.
    Free,
    /// A process is killed.
    Die,
    /// A process has begun anew.
    Begin,
    /// A balancer sends nothing more to the process in the stamp.
    Shun,
    /// A balancer sends to the process in the stamp.
    Welcome,
}

/// Events in the order of their time: a wheel of milliseconds, since all but the next few thousand need no order yet.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The slot whose events are in `near`.
    current: u64,
    near: BinaryHeap<Reverse<Event>>,
    wheel: Vec<Vec<Event>>,
    /// What is beyond the wheel's round.
    far: BinaryHeap<Reverse<Event>>,
    order: u64,
    len: usize,
}

/// A slot has 2^10 µs.
const SLOT: u32 = 10;

/// 16.8 s a round.
const SLOTS: u64 = 1 << 14;

// === impl Queue ===

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            current: 0,
            near: BinaryHeap::new(),
            wheel: vec![Vec::new(); SLOTS as usize],
            far: BinaryHeap::new(),
            order: 0,
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, at: u64, what: What, whom: u32, stamp: u32) {
        self.order += 1;
        self.len += 1;
        let event = Event { at, order: self.order, whom, stamp, what };
        let slot = at >> SLOT;
        if slot <= self.current {
            self.near.push(Reverse(event));
        } else if slot - self.current < SLOTS {
            self.wheel[(slot % SLOTS) as usize].push(event);
        } else {
            self.far.push(Reverse(event));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if self.len == 0 {
            return None;
        }
        while self.near.is_empty() {
            self.current += 1;
            // Taken with its memory: in each slot of the wheel it would come to a multiple of what is needed at a time.
            let slot = std::mem::take(&mut self.wheel[(self.current % SLOTS) as usize]);
            self.near.extend(slot.into_iter().map(Reverse));
            while self.far.peek().is_some_and(|Reverse(event)| event.at >> SLOT <= self.current) {
                self.near.extend(self.far.pop());
            }
        }
        self.len -= 1;
        self.near.pop().map(|Reverse(event)| event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_their_time_and_then_of_their_telling() {
        let mut queue = Queue::new();
        let times = [5, 40_000_000, 5, 90_000_000, 1_000_000, 0, 17_000_000, 1_000_000];
        for (n, at) in times.into_iter().enumerate() {
            queue.push(at, What::Refresh, n as u32, 0);
        }
        let first = queue.pop().expect("the first");
        assert_eq!((first.at, first.whom), (0, 5));
        queue.push(3, What::Refresh, 99, 0);
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|event| (event.at, event.whom)).collect();
        let expected = [
            (3, 99),
            (5, 0),
            (5, 2),
            (1_000_000, 4),
            (1_000_000, 7),
            (17_000_000, 6),
            (40_000_000, 1),
            (90_000_000, 3),
        ];
        assert_eq!(rest, expected);
    }
}
