use tokio::time::{Instant, timeout};

use super::{
    Quota,
    doubt::{MOST_WAIT, Outcome, Room},
};
use crate::session::SessionKey;

/// What [`Quota::reserve`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// [Give it back](Quota::release).
    Taken,
    /// As many are in flight as may bring a 4xx: [wait](Quota::wait) for word of them.
    Later,
    /// The limit is reached.
    None,
}

// === impl Quota ===

/// The places among those in flight of sessions that were not good before.
impl Quota {
    /// Takes one. As long as all of them bring a 4xx there are never more than there is [room](Self::room) for; the
    /// fewer do, the more may be in flight, until half of the limit is spent.
    pub(super) fn reserve(&self, session: &SessionKey, now: Instant) -> Place {
        let scope = session.scope_id();
        let room = self.room(scope, now);
        if room.is_none() {
            Place::None
        } else if self.doubts.take(scope, room) {
            Place::Taken
        } else {
            Place::Later
        }
    }

    /// Waits for a place that was to be had [later](Place::Later); `false` if there is none. Where nothing
    /// else is known of those in flight than that they take long, it is given after a second: rather a 4xx
    /// too many than a viewer who does not get to see anything.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken no place, and the next in line is let through in its stead.
    pub(super) async fn wait(&self, session: &SessionKey) -> bool {
        let scope = session.scope_id();
        let waiter = self.doubts.wait(scope);
        // What was given back before this one stood in line has called nobody.
        self.doubts.call(scope, self.room(scope, Instant::now()));
        let called = timeout(MOST_WAIT, async {
            loop {
                waiter.called().await;
                let room = self.room(scope, Instant::now());
                let taken = waiter.take(room);
                if taken || room.is_none() {
                    return taken;
                }
            }
        });
        let taken = match called.await {
            Ok(taken) => taken,
            Err(_) => {
                self.spent(scope, Instant::now()) < self.configurations.limit && waiter.take_nevertheless()
            }
        };
        drop(waiter);
        self.doubts.call(scope, self.room(scope, Instant::now()));
        taken
    }

    /// Gives a place back that was [taken](Place::Taken), and says what came of it.
    pub(super) fn release(&self, session: &SessionKey, outcome: Option<Outcome>, now: Instant) {
        let scope = session.scope_id();
        self.doubts.give_back(scope, outcome);
        self.doubts.call(scope, self.room(scope, now));
    }

    /// What those may spend that were not good before.
    fn room(&self, scope: u64, now: Instant) -> Room {
        let all = Room { limit: self.configurations.limit, spent: self.spent(scope, now) };
        if all.is_none() { self.room_of_newcomers(scope, now) } else { all }
    }

    /// When many sessions are lost at once that have played here, they have spent all before anybody else is asked for. Whoever is
    /// new here may as well be one of those that take their place, and was made through another instance: a quarter of the limit is
    /// theirs then, with no more in flight than it leaves.
    ///
    /// Many are a twentieth of the limit: where each is lost on several instances, few of them spend all. They have to be more than
    /// the strangers that had a 4xx, who are otherwise what spends it.
    fn room_of_newcomers(&self, scope: u64, now: Instant) -> Room {
        let (lost, newcomers) = (self.lost.count(&scope, now), self.newcomers.count(&scope, now));
        let are_lost = self.are_many(lost) && lost > newcomers;
        let part = if are_lost { self.configurations.limit / 4 } else { 0 };
        // As one of which half is spent, so that nobody flies on trust.
        Room { limit: 2 * part, spent: part.saturating_add(newcomers) }
    }

    /// Whether many of its configuration's sessions were lost in the last minute: then each is one of them.
    pub(super) fn are_many_lost(&self, session: &SessionKey, now: Instant) -> bool {
        self.are_many(self.lost.count(&session.scope_id(), now))
    }

    fn are_many(&self, lost: u32) -> bool {
        lost >= self.configurations.limit.div_ceil(20)
    }
}
