use std::sync::Arc;

use http::{Uri, request::Parts};
use tokio::time::Instant;

use super::{Judgement, Lessons, Verdict};
use crate::{
    rescue::{Accept, Standing},
    session::SessionKey,
    shield::{Cause, Check, Known, Playlist, Probe},
};

/// How a request of a playlist goes on by what is known of its session.
#[derive(Debug)]
pub(crate) enum Ask {
    /// It is sent.
    Send,
    /// It is sent, and carries this to whoever hears what comes of it.
    Probe(Probe),
    /// It is answered by what is known.
    Answer(Known),
}

/// What is known of a session, asked before an exchange and when its answer is there.
impl Lessons {
    /// What is known of a request's session, where that is answer enough. Of one that just failed it is only where there
    /// is a last good playlist to give: another may have its try.
    pub(crate) fn known(&self, key: &SessionKey, head: &Parts, now: Instant) -> Option<Known> {
        self.marks
            .known(key, now)
            .filter(|known| known.cause != Cause::Failing || self.bridges(key, head, now))
    }

    /// The same of a playlist, which may fail by itself. Where its failures take long, its siblings wait for each of them: then what is
    /// known is enough whatever there is to give.
    pub(crate) fn known_for(&self, key: &SessionKey, head: &Parts, now: Instant) -> Option<Known> {
        if self.marks.has_none() {
            return None;
        }
        let alone = || self.waits_alone(key, head, self.marks.playlist(&head.uri), now);
        self.known(key, head, now).or_else(alone)
    }

    fn waits_alone(&self, key: &SessionKey, head: &Parts, playlist: Playlist, now: Instant) -> Option<Known> {
        let (known, is_costly) = self.marks.waits_alone(key, playlist, now)?;
        // Who never had it may have its try.
        let is_given = self.store.standing(key, &head.uri) == Some(Standing::Given);
        let waits = is_given && (is_costly || self.bridges(key, head, now));
        waits.then_some(known)
    }

    fn bridges(&self, key: &SessionKey, head: &Parts, now: Instant) -> bool {
        self.store.rescue(key, &head.uri, Accept::of(&head.headers), now).is_ok()
    }

    /// How a request of a playlist goes on. Who is not answered by what is known of the session is sent anyway, and finds out
    /// nothing that the others wait for.
    pub(crate) fn ask(self: &Arc<Self>, key: &SessionKey, head: &Parts, now: Instant) -> Ask {
        if self.marks.has_none() {
            return Ask::Send;
        }
        let playlist = self.marks.playlist(&head.uri);
        let known = self.known(key, head, now);
        let is_failing = known.is_none_or(|known| known.cause == Cause::Failing);
        if let Some(known) = self.waits_alone(key, head, playlist, now).filter(|_| is_failing) {
            return Ask::Answer(known);
        }
        match known.map(|_| self.marks.check_for(key, playlist, now)) {
            Some(Check::Answer(known)) => Ask::Answer(known),
            Some(Check::Probe) => Ask::Probe(Probe::of_session(self, key)),
            None | Some(Check::Pass) => match self.marks.check_alone(key, playlist, now) {
                Check::Probe => Ask::Probe(Probe::of_playlist(self, key, playlist)),
                // Where it is marked, there is nothing to give, and no harm in a try.
                Check::Pass | Check::Answer(_) => Ask::Send,
            },
        }
    }

    /// The upstream has made a session for a player.
    pub(crate) fn made(&self, key: &SessionKey) {
        self.created.remember(key, Instant::now());
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

    /// Whether a request is hardly one that spends a 4xx: something good is kept of its session, and its playlist was given when it was
    /// last asked for.
    pub(crate) fn is_good(&self, key: &SessionKey, uri: &Uri) -> bool {
        matches!(self.store.standing(key, uri), Some(Standing::Given | Standing::NeverHad))
    }

    /// Whether a session of which nothing is kept is hardly one of those that spend their configuration's quota: it had no 4xx and
    /// was just made through here, was just served or, where no playlists are kept, is anybody's. When many sessions are lost at
    /// once, those that are made in their place must not pay for them, nor those of which nothing is kept.
    pub(crate) fn was_good(&self, key: &SessionKey, now: Instant) -> bool {
        (self.store.is_off() || self.is_new(key, now) || self.was_served(key, now))
            && !self.quota.has_spent(key, now)
    }

    /// What an answer means that would be another of a session of which nothing else is known. A rendition that was never there takes
    /// no sibling with it that was just good, or that nobody has asked for yet.
    pub(super) fn among_others(
        &self,
        key: &SessionKey,
        uri: &Uri,
        judgement: &Judgement,
    ) -> Option<Judgement> {
        let missing = judgement.verdict == Verdict::SessionLost
            && match self.store.standing(key, uri) {
                Some(standing) => standing == Standing::NeverHad,
                None => self.is_new(key, Instant::now()),
            };
        missing.then(|| Judgement { verdict: Verdict::NotFound, ..judgement.clone() })
    }
}
