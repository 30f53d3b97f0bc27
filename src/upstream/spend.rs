use tokio::time::Instant;

use super::{Lessons, Verdict};
use crate::{
    session::{Creates, Kind, SessionKey},
    shield::{Allowance, Scope},
    telemetry,
};

/// What is counted of every attempt, whatever comes of its exchange.
impl Lessons {
    /// An attempt that began at `sent` met a conflict, and not for want of a lease.
    ///
    /// Long after the session's last answer it is not for want of a gap: somebody else loads its playlists.
    /// Where nothing is kept, that cannot be told.
    pub(super) fn conflict(&self, key: &SessionKey, sent: Instant, now: Instant) {
        let since = self.store.confirmed(key).map(|last| sent.saturating_duration_since(last));
        if self.store.is_off() || since.is_some_and(|since| since <= self.settle.most()) {
            self.settle.conflict(key, sent, now);
        }
    }

    /// An attempt was answered with a 4xx, of a session or of a request that creates one of a stream. A conflict is one of a
    /// session that is there.
    pub(super) fn spend(
        &self,
        (session, stream): (Option<&SessionKey>, Option<&Creates>),
        kind: Kind,
        verdict: Verdict,
        now: Instant,
    ) {
        let Some(key) = session.or(stream.map(|Creates(key)| key)) else { return };
        match verdict {
            Verdict::Conflict if kind != Kind::Tracking => self.quota.conflict(key, now),
            Verdict::Conflict => self.tracking.conflict(key, now),
            _ if kind == Kind::Tracking => {
                self.quota.track(key, now);
                self.tracking.spend(key, now);
                if self.tracking.allows(key, now) == Allowance::Spent(Scope::Configuration) {
                    telemetry::tracking_is_spent(key, &self.told_of_tracking);
                }
            }
            _ => {
                // Before it is counted: the first in a minute is what tells.
                if session.is_some() && !self.quota.has_spent(key, now) {
                    match self.has_played(key, now) {
                        false => self.quota.count_newcomer(key, now),
                        true if verdict == Verdict::SessionLost => self.quota.count_lost(key, now),
                        true => {}
                    }
                }
                self.quota.spend(key, now);
            }
        }
        let (scope, spent) = match self.quota.allows_with_conflicts(key, now) {
            Allowance::Allow => return,
            Allowance::NearLimit(scope) => (scope, false),
            Allowance::Spent(scope) => (scope, true),
        };
        // One session's storm is an everyday matter; that of a configuration may block all its viewers.
        if scope == Scope::Configuration {
            telemetry::quota(key, spent, &self.told);
        }
    }
}
