use std::sync::Arc;

use http::{Method, Uri, request::Parts};
use tokio::time::Instant;

use super::{Judgement, Lessons, Verdict};
use crate::{
    rescue::{Accept, Standing, Variants},
    session::{Kind, SessionKey},
    shield::{Behind, Cause, Check, Known, Playlist, Probe, Quota},
};

/// How a request of a playlist goes on by what is known of its session.
#[derive(Debug)]
pub(crate) enum Ask {
    /// It is sent.
    Send,
    /// It is sent, and carries this to whoever hears what comes of it.
    Probe(Probe),
    /// It goes into the lane behind a probe, and is answered by what is known if that brings no better news.
    Behind,
    /// It is answered by what is known.
    Answer(Known),
}

/// What is known of a session, asked before an exchange and when its answer is there.
impl Lessons {
    /// What is known of a request's session, where that is enough to answer. For a session that just failed
    /// it is enough only where there is a last good playlist to give; otherwise the request may have its try.
    /// What is known of one of its playlists alone is never enough.
    pub(crate) fn known(&self, key: &SessionKey, head: &Parts, now: Instant) -> Option<Known> {
        let known = self.marks.known(key, now).filter(|known| known.cause != Cause::Missing);
        known.filter(|known| self.is_enough(known, key, head, now))
    }

    fn is_enough(&self, known: &Known, key: &SessionKey, head: &Parts, now: Instant) -> bool {
        known.cause != Cause::Failing || self.bridges(key, head, now)
    }

    /// The same for a playlist, which may fail by itself, unless it is time for a probe: nothing else may let one out, as where no
    /// [`Shield`](crate::shield::Shield) is around.
    pub(super) fn waits_for(&self, key: &SessionKey, head: &Parts, now: Instant) -> Option<Known> {
        if self.marks.has_none() {
            return None;
        }
        let playlist = self.marks.playlist(&head.uri);
        let behind = head.extensions.get::<Behind>();
        let lost = behind.and_then(|_| self.marks.waits_behind(key, playlist, now));
        let known = lost.or_else(|| self.marks.waits_for(key, playlist, now));
        let known = known.filter(|known| self.is_enough(known, key, head, now));
        known.or_else(|| self.waits_alone(key, head, playlist, now))
    }

    /// What is known of the session, where that says something of this playlist and is enough to answer.
    fn known_of(&self, key: &SessionKey, head: &Parts, playlist: Playlist, now: Instant) -> Option<Known> {
        let known = self.marks.known_for(key, playlist, now);
        known.filter(|known| self.is_enough(known, key, head, now))
    }

    /// Where a playlist's failures take long, its siblings wait for each of them: then what is known is enough, whether or
    /// not there is a playlist to give.
    fn waits_alone(&self, key: &SessionKey, head: &Parts, playlist: Playlist, now: Instant) -> Option<Known> {
        let (known, is_slow) = self.marks.waits_alone(key, playlist, now)?;
        // A player that never had it may have its try, unless all that is known is that it is missing, or its siblings wait for
        // each try.
        let is_given = || self.store.standing(key, &head.uri) == Some(Standing::Given);
        let counts = known.status.is_some_and(|status| status.is_client_error());
        let waits = known.cause == Cause::Missing
            || is_slow
            || is_given() && (counts || self.bridges(key, head, now));
        waits.then_some(known)
    }

    fn bridges(&self, key: &SessionKey, head: &Parts, now: Instant) -> bool {
        self.store.bridges(key, &head.uri, Accept::of(&head.headers), now)
    }

    /// How a request of a playlist goes on. A request that what is known of the session does not answer is
    /// sent anyway, and finds out nothing that the others wait for.
    pub(crate) fn ask(self: &Arc<Self>, key: &SessionKey, head: &Parts, now: Instant) -> Ask {
        if self.marks.has_none() {
            return Ask::Send;
        }
        let playlist = self.marks.playlist(&head.uri);
        let known = self.known_of(key, head, playlist, now);
        // Nothing that others wait for is found out by another method.
        if head.method != Method::GET {
            let known = known.or_else(|| self.waits_alone(key, head, playlist, now));
            return known.map_or(Ask::Send, Ask::Answer);
        }
        let is_failing = known.is_none_or(|known| known.cause == Cause::Failing);
        if let Some(known) = self.waits_alone(key, head, playlist, now).filter(|_| is_failing) {
            return Ask::Answer(known);
        }
        match known.map(|_| self.marks.check_for(key, playlist, now)) {
            // Of a burst one alone is the probe: its siblings must not be told of a loss that it is about to disprove.
            Some(Check::Answer(known))
                if known.cause == Cause::Lost && known.probed.is_some_and(|probed| probed != playlist) =>
            {
                Ask::Behind
            }
            Some(Check::Answer(known)) => Ask::Answer(known),
            Some(Check::Probe) => Ask::Probe(Probe::of_session(self, key)),
            None | Some(Check::Pass) => match self.marks.check_alone(key, playlist, now) {
                Check::Probe => Ask::Probe(Probe::of_playlist(self, key, playlist)),
                // Where it is marked, there is nothing to give, and no harm in a try.
                Check::Pass | Check::Answer(_) => Ask::Send,
            },
        }
    }

    /// The upstream has made a session for a player, with these variants.
    pub(crate) fn made(&self, key: &SessionKey, variants: Variants) {
        let now = Instant::now();
        self.created.remember(key, now);
        if variants.is_choice() && !self.store.is_off() {
            self.offered.keep(key, variants, now);
        }
    }

    /// Whether the upstream has made a session less than a minute ago: it is there, whatever one of its playlists says.
    pub(crate) fn is_new(&self, key: &SessionKey, now: Instant) -> bool {
        self.created.has(key, now)
    }

    /// The upstream has answered a request of a session, and not with a 4xx.
    pub(crate) fn served(&self, key: &SessionKey, now: Instant) {
        self.served.remember(key, now);
    }

    /// Whether that was less than a minute ago.
    pub(crate) fn was_served(&self, key: &SessionKey, now: Instant) -> bool {
        self.served.has(key, now)
    }

    /// Its tracking was answered, and not with a 4xx.
    pub(crate) fn tracked(&self, key: &SessionKey, now: Instant) {
        self.tracked.remember(key, now);
    }

    /// Whether that was less than a minute ago.
    pub(crate) fn was_tracked(&self, key: &SessionKey, now: Instant) -> bool {
        self.tracked.has(key, now)
    }

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
        (self.store.is_off() || self.is_new(key, now) || self.was_served(key, now))
            && !self.quota.has_spent(key, now)
    }

    /// Whether a session is no newcomer: it has played here, or was made through here, or is known to be lost.
    pub(crate) fn has_played(&self, key: &SessionKey, now: Instant) -> bool {
        let lately = [&self.created, &self.served, &self.given];
        self.store.confirmed(key).is_some()
            || lately.into_iter().any(|lately| lately.has(key, now))
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
                None => self.is_new(key, now) || self.quota.is_shared() && !self.has_played(key, now),
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
