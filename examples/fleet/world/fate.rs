//! What leaves, and what becomes of processes.

use super::{RECONNECT, World};
use crate::{
    instance::Instance,
    queue::What,
    request::{NONE, Phase, Request},
};

impl World<'_> {
    /// Takes a request out of its session's line; gives the next of its lane.
    pub(super) fn leave(&mut self, at: u32) -> u32 {
        let (whom, instance, after) = {
            let request = self.requests.get(at);
            (request.session as usize, request.instance, request.next)
        };
        let (mut before, mut one) = (NONE, self.sessions[whom].first);
        while one != at {
            (before, one) = (one, self.requests.get(one).next);
        }
        match before {
            NONE => self.sessions[whom].first = after,
            _ => self.requests.get_mut(before).next = after,
        }
        self.requests.head(after, instance)
    }

    /// Killed: what it had sent goes on at MediaTailor, its leases last to their end, and its players ask again.
    pub(super) fn die(&mut self, instance: u8) {
        self.instances[instance as usize].alive = false;
        for at in self.requests.at(instance) {
            self.leave(at);
            let request = self.requests.get_mut(at);
            let again = Request {
                next: NONE,
                stamp: 0,
                token: 0,
                conflicts: 0,
                polls: 0,
                phase: Phase::Away,
                ..request.clone()
            };
            let session = &mut self.sessions[request.session as usize];
            if request.token != 0 && session.holder == request.token {
                // A killed process renews no more; it did so every third of the time.
                let renewed = (self.now - session.lease_since) % (self.times.lease_ttl / 3).max(1);
                session.lease_ends = self.now - renewed + self.times.lease_ttl;
            }
            let flies = request.phase == Phase::Flying;
            let answered = request.phase == Phase::Keeping;
            match flies {
                true => request.phase = Phase::Orphaned,
                false => self.requests.remove(at),
            }
            if !answered {
                let again = self.requests.add(again);
                self.next(again, Phase::Away, What::Arrive, self.now + RECONNECT);
            }
        }
    }

    /// The new process knows nothing of what the old one learned. The old one has drained by then.
    pub(super) fn begin(&mut self, instance: u8) {
        self.instances[instance as usize] = Instance::new(&self.run.retry);
    }
}
