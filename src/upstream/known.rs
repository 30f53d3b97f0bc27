use http::{Method, Uri};
use tokio::time::Instant;

use super::{Judgement, Lessons, Verdict};
use crate::{
    rescue::Standing,
    session::{Kind, SessionKey},
    shield::{Cause, Quota},
};

/// What is known of a session besides its marks, asked before an exchange and when its answer is there.
impl Lessons {
    /// What counts the 4xx of such requests.
    pub(crate) fn quota_of(&self, kind: Kind) -> &Quota {
        if kind == Kind::Tracking { &self.tracking } else { &self.quota }
    }

    /// Whether a request is unlikely to spend a 4xx: something good is kept of its session, and the upstream
    /// gave its playlist when it was last asked for it.
    pub(crate) fn is_good(&self, key: &SessionKey, uri: &Uri) -> bool {
        matches!(self.store.standing(key, uri), Some(Standing::Given | Standing::NeverHad))
    }

    /// Whether a session without a kept playlist is unlikely to spend its configuration's quota: it had no
    /// 4xx but conflicts, and it was just made through here or was just served. Where no playlists are kept at all,
    /// having had no 4xx is enough. When many sessions are lost at once, neither the sessions that replace them nor
    /// sessions without a kept playlist must pay for them.
    pub(crate) fn was_good(&self, key: &SessionKey, now: Instant) -> bool {
        (self.store.is_off() || self.seen.is_new(key, now) || self.seen.was_served(key, now))
            && !self.quota.has_spent(key, now)
    }

    /// Whether a session is no newcomer: it has played here, or was made through here, or is known to be lost.
    pub(crate) fn has_played(&self, key: &SessionKey, now: Instant) -> bool {
        self.store.confirmed(key).is_some()
            || self.seen.has_played(key, now)
            || self.marks.known(key, now).is_some_and(|known| known.cause == Cause::Lost)
    }

    /// What a lost session's answer means where siblings of its playlist contradict it, or may:
    /// [`NotFound`](Verdict::NotFound). A rendition that was never there must not end its siblings that were
    /// just good, or that nobody has asked for yet; but a second one that is missing before any was good does.
    /// And a playlist that is missing for another method than `GET` may be there for that.
    pub(super) fn among_others(
        &self,
        key: &SessionKey,
        (method, uri): (&Method, &Uri),
        judgement: &Judgement,
    ) -> Option<Judgement> {
        let now = Instant::now();
        let is_missing = || {
            let is_new = match self.store.standing(key, uri) {
                Some(standing) => standing == Standing::NeverHad,
                // One that this instance knows nothing of may play through another.
                None => self.seen.is_new(key, now) || self.quota.is_shared() && !self.has_played(key, now),
            };
            let playlist = self.marks.playlist(uri);
            // What was taken for its session's loss, until a sibling was given, is known to be missing as well.
            self.marks.is_missing(key, playlist, now)
                || is_new
                    && (self.is_alone(key, playlist, now) || !self.marks.misses_another(key, playlist, now))
        };
        let missing = judgement.verdict == Verdict::SessionLost && (method != Method::GET || is_missing());
        missing.then(|| Judgement { verdict: Verdict::NotFound, ..judgement.clone() })
    }
}
