use std::collections::VecDeque;

use crate::emulator::fault::kind::Kind;

/// A session's last requests, in order of arrival.
#[derive(Debug, Default)]
pub(in crate::emulator) struct Trace {
    /// The number of the next.
    next: u64,
    entries: VecDeque<Entry>,
}

/// One request, kept small: there may be sixteen in each of 200,000 sessions.
#[derive(Debug)]
pub(in crate::emulator) struct Entry {
    pub(in crate::emulator) target: Target,
    /// When it arrived, in milliseconds since the start.
    pub(in crate::emulator) at: u64,
    /// How many of the session were in flight when it came.
    pub(in crate::emulator) with: u32,
    /// Nought while it is worked on.
    pub(in crate::emulator) status: u16,
    pub(in crate::emulator) left: bool,
    /// What befell it.
    pub(in crate::emulator) fault: Option<Kind>,
}

/// A path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator) enum Target {
    /// A media playlist of the session under the address that it was given, by its number: nearly all are.
    Own(u32),
    Other(Box<str>),
}

// === impl Trace ===

impl Trace {
    /// Adds a request; beyond `keep` the oldest goes.
    pub(in crate::emulator) fn push(&mut self, target: Target, with: u32, at: u64, keep: usize) -> u64 {
        let number = self.next;
        self.next += 1;
        while !self.entries.is_empty() && self.entries.len() >= keep {
            self.entries.pop_front();
        }
        if keep > 0 {
            self.entries.push_back(Entry { target, at, with, status: 0, left: false, fault: None });
        }
        number
    }

    pub(in crate::emulator) fn answered(&mut self, number: u64, status: u16) {
        if let Some(entry) = self.entry(number) {
            entry.status = status;
        }
    }

    pub(in crate::emulator) fn struck(&mut self, number: u64, fault: Kind) {
        if let Some(entry) = self.entry(number) {
            entry.fault = Some(fault);
        }
    }

    /// Marks a request as one whose player went away; says whether that was before its answer.
    ///
    /// A request that is no longer remembered counts as one that was not answered: the caller knows no better.
    pub(in crate::emulator) fn left(&mut self, number: u64) -> bool {
        let Some(entry) = self.entry(number) else {
            return true;
        };
        let too_early = entry.status == 0;
        entry.left = too_early;
        too_early
    }

    /// Each request with its number, oldest first.
    pub(in crate::emulator) fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let first = self.next - self.entries.len() as u64;
        (first..).zip(&self.entries)
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let back = self.next.checked_sub(number)?;
        let place = (self.entries.len() as u64).checked_sub(back)?;
        self.entries.get_mut(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_in_order_of_arrival() {
        let mut trace = Trace::default();
        for n in 0..5 {
            assert_eq!(trace.push(Target::Own(n), 0, n.into(), 3), u64::from(n));
        }
        trace.answered(4, 200);
        assert!(!trace.left(4), "it was answered");
        assert!(trace.left(3), "it was not");
        trace.answered(0, 200);
        let seen: Vec<_> = trace.entries().map(|(n, entry)| (n, entry.status, entry.left)).collect();
        assert_eq!(seen, [(2, 0, false), (3, 0, true), (4, 200, false)]);
    }

    #[test]
    fn may_remember_nothing() {
        let mut trace = Trace::default();
        assert_eq!((trace.push(Target::Own(0), 0, 0, 0), trace.push(Target::Own(0), 0, 0, 0)), (0, 1));
        assert_eq!(trace.entries().count(), 0);
    }
}
