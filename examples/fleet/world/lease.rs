//! The head of a lane, and its way to a lease.

use super::World;
use crate::{
    queue::What,
    request::{NONE, Phase},
};

impl World<'_> {
    /// A request is the first of its lane. `way` is how long an operation takes to the engine that was sent just before.
    pub(super) fn head(&mut self, at: u32, way: Option<u64>) {
        if self.now >= self.requests.get(at).asked + self.times.answer_within {
            return self.end(at);
        }
        if !self.run.way.leased() {
            return self.send(at);
        }
        let there = way.unwrap_or_else(|| self.dice.between(self.times.lease) / 2);
        if there * 2 > self.times.lease_within {
            self.tally.bypassed += 1;
            return self.next(at, Phase::Asking, What::Granted, self.now + self.times.lease_within);
        }
        self.next(at, Phase::Asking, What::Ask, self.now + there);
    }

    /// At the engine: granted if it is free, kept for this process, or of an earlier turn of it with nobody in line. Otherwise the
    /// process gets in line.
    pub(super) fn ask(&mut self, at: u32) {
        self.tally.commands += u64::from(self.now >= self.times.refresh);
        let back = self.dice.between(self.times.lease) / 2;
        let request = self.requests.get_mut(at);
        let session = &mut self.sessions[request.session as usize];
        let own = session.holds == request.instance && (session.holder == 0 || session.line.is_empty());
        if self.now < session.lease_ends && !own {
            if !session.line.contains(&request.instance) {
                session.line.push(request.instance);
            }
            let (first, most) = self.times.poll;
            let pause = (first << request.polls.min(20)).min(most);
            request.polls = request.polls.saturating_add(1);
            let again = self.now + back + (pause as f64 * (0.75 + self.dice.part() / 4.0)) as u64;
            let gives_up = request.asked + self.times.answer_within;
            return self.next(at, Phase::Polling, What::Poll, again.min(gives_up).max(self.now));
        }
        self.tokens += 1;
        request.token = self.tokens;
        session.line.retain(|instance| *instance != request.instance);
        // Renewed in time, as long as its process lives.
        (session.holder, session.lease_since, session.lease_ends) = (self.tokens, self.now, u64::MAX);
        session.holds = request.instance;
        self.next(at, Phase::Asking, What::Granted, self.now + back);
    }

    /// Asks again, or gives up.
    pub(super) fn poll(&mut self, at: u32) {
        self.head(at, None);
    }

    /// The lease is given up, if it is still this turn's, and kept for a moment for the process that is next, which is told.
    pub(super) fn free(&mut self, whom: u32, token: u32) {
        self.tally.commands += u64::from(self.now >= self.times.refresh);
        let session = &mut self.sessions[whom as usize];
        if session.holder != token {
            return;
        }
        (session.holder, session.lease_ends) = (0, self.now);
        while !session.line.is_empty() {
            let next = session.line.remove(0);
            let head = self.requests.head(session.first, next);
            if self.instances[next as usize].alive && head == NONE {
                // Nobody there wants it any more: it says so.
                continue;
            }
            (session.holds, session.lease_ends) = (next, self.now + self.times.reserved);
            if head != NONE && self.requests.get(head).phase == Phase::Polling {
                let [told, asks] = [(); 2].map(|()| self.dice.between(self.times.lease) / 2);
                self.next(head, Phase::Asking, What::Ask, self.now + told + asks);
            }
            return;
        }
    }
}
