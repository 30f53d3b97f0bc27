//! The upstream, and what comes back from it.

use super::World;
use crate::{
    queue::What,
    request::{NONE, Phase},
};

impl World<'_> {
    /// MediaTailor refuses whoever comes while it works for the session.
    pub(super) fn send(&mut self, at: u32) {
        let request = self.requests.get_mut(at);
        request.sent = self.now;
        let session = &mut self.sessions[request.session as usize];
        if session.flying > 0 || self.now < session.busy_until {
            if request.asked >= self.times.refresh {
                self.tally.conflicts += 1;
                self.tally.seconds[(self.now.min(self.ends) / 1_000_000) as usize].1 += 1;
            }
            let back = self.now + self.dice.between(self.times.refused);
            return self.next(at, Phase::Refusing, What::Refused, back);
        }
        session.flying += 1;
        let done = self.now + request.takes;
        self.next(at, Phase::Flying, What::Answer, done);
    }

    pub(super) fn answer(&mut self, at: u32) {
        let request = self.requests.get(at);
        let (instance, orphaned) = (request.instance, request.phase == Phase::Orphaned);
        let session = &mut self.sessions[request.session as usize];
        session.flying -= 1;
        if !self.times.busy.is_zero() {
            session.busy_until = self.now + self.dice.between(self.times.busy);
        }
        if orphaned {
            return self.requests.remove(at);
        }
        session.got_playlist(instance, self.now);
        self.instances[instance as usize].budget.deposit(self.now);
        if self.counts(at) {
            match self.now > request.asked + self.times.answer_within {
                true => self.tally.late += 1,
                false => {
                    self.tally.added += self.now.saturating_sub(request.ideal);
                    self.tally.took += self.now - request.asked;
                }
            }
        }
        self.keep(at);
    }

    pub(super) fn refused(&mut self, at: u32) {
        let counts = self.counts(at);
        let request = self.requests.get_mut(at);
        let last = self.sessions[request.session as usize].last_playlist(request.instance);
        let instance = &mut self.instances[request.instance as usize];
        instance.conflict(request.session, request.sent, last, self.now);
        let retry = &self.run.retry;
        let (least, longest) = (retry.least_pause.as_micros() as u64, retry.longest_pause.as_micros() as u64);
        let pause = (least << request.conflicts.min(20)).min(longest);
        let jitter = (pause as f64 * 0.5 * self.dice.part()) as u64;
        let pause = pause + jitter.min(longest - pause);
        let again = u32::from(request.conflicts) < retry.conflict
            && self.now + pause - request.first <= retry.within.as_micros() as u64
            && instance.budget.withdraw(self.now);
        if again {
            request.conflicts += 1;
            return self.next(at, Phase::Pausing, What::Send, self.now + pause);
        }
        if counts {
            self.tally.lost += 1;
        }
        self.keep(at);
    }

    /// Whether a request is of the time that is counted.
    pub(super) fn counts(&self, at: u32) -> bool {
        self.requests.get(at).asked >= self.times.refresh
    }

    /// The turn is kept for as long as the process has learned to.
    pub(super) fn keep(&mut self, at: u32) {
        let request = self.requests.get(at);
        let gap = self.instances[request.instance as usize].gap(request.session, self.now);
        match gap {
            0 => self.hand_on(at),
            _ => self.next(at, Phase::Keeping, What::HandOn, self.now + gap),
        }
    }

    /// A request that gets no answer in time, or for which there is no process.
    pub(super) fn end(&mut self, at: u32) {
        if self.counts(at) {
            self.tally.late += 1;
        }
        match self.requests.get(at).phase {
            Phase::Away => self.requests.remove(at),
            _ => self.hand_on(at),
        }
    }

    pub(super) fn hand_on(&mut self, at: u32) {
        let (session, instance, token) = {
            let request = self.requests.get(at);
            (request.session, request.instance, request.token)
        };
        let next = self.leave(at);
        self.requests.remove(at);
        let mut way = None;
        if token != 0 {
            let there = self.dice.between(self.times.lease) / 2;
            self.queue.push(self.now + there, What::Free, session, token);
            // On the same connection: the next is just behind.
            way = Some(there);
        }
        debug_assert!(next == NONE || self.requests.get(next).instance == instance);
        if next != NONE {
            self.head(next, way);
        }
    }
}
