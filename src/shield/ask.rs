use std::{sync::Arc, time::Duration};

use http::{Method, Uri, request::Parts};
use tokio::time::Instant;

use super::{Behind, Cause, Check, Known, Playlist, Probe, Waited};
use crate::{
    rescue::{Accept, Standing},
    session::SessionKey,
    upstream::Lessons,
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
    /// It waits until somebody may find out more.
    Wait(Instant),
    /// It is answered by what is known.
    Answer(Known),
}

/// How long the playlist that said so waits for another to find out whether it still is.
const BURST: Duration = Duration::from_millis(250);

/// The longest that a request waits until somebody may find out: half of a target duration of two seconds.
const WAITS: Duration = Duration::from_secs(1);

/// What the marks say of a request's session or playlist, and whether that is enough to answer it.
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
    pub(crate) fn waits_for(&self, key: &SessionKey, head: &Parts, now: Instant) -> Option<Known> {
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
        match known.map(|known| (known, self.marks.check_for(key, playlist, now))) {
            // Of a burst one alone is the probe: its siblings must not be told of a loss that it is about to disprove.
            Some((_, Check::Answer(known)))
                if known.cause == Cause::Lost && known.probed.is_some_and(|probed| probed != playlist) =>
            {
                Ask::Behind
            }
            Some((_, Check::Answer(known))) => match self.waits(known, playlist, (key, head), now) {
                Some(wait) => Ask::Wait(now + wait),
                None => Ask::Answer(known),
            },
            Some((known, Check::Probe)) => {
                // One that came just before is unlikely to cost anything, unless many are lost.
                let is_given = || self.store.standing(key, &head.uri) == Some(Standing::Given);
                let gone = (self.quota.are_many_lost(key, now) || !is_given()).then_some(known);
                self.afford(Probe::of_session(self, key), key, gone, now)
            }
            None | Some((_, Check::Pass)) => {
                let alone = self.marks.known_alone(key, playlist, now);
                match self.marks.check_alone(key, playlist, now) {
                    Check::Probe => self.afford(Probe::of_playlist(self, key, playlist), key, alone, now),
                    // Where it is marked, there is nothing to give, and no harm in a try.
                    Check::Pass | Check::Answer(_) => Ask::Send,
                }
            }
        }
    }

    /// Whether its session is said to be lost to who asks for this playlist.
    pub(crate) fn is_lost_for(&self, key: &SessionKey, uri: &Uri, now: Instant) -> bool {
        let known = self.marks.known(key, now).filter(|known| known.cause == Cause::Lost);
        known.is_some_and(|known| !known.is_in_doubt_for(self.marks.playlist(uri)))
    }

    /// For how long a request of a session that is said to be lost waits for more to be known.
    fn waits(
        &self,
        known: Known,
        playlist: Playlist,
        (key, head): (&SessionKey, &Parts),
        now: Instant,
    ) -> Option<Duration> {
        if known.cause != Cause::Lost || head.extensions.get::<Waited>().is_some() {
            return None;
        }
        // It lets its siblings go first, which are about to come in the same burst.
        if known.next_probe.is_zero() {
            return Some(BURST);
        }
        // A player that turns to a playlist that it never had takes a 404 for the end of that as well.
        let turns = known.is_in_doubt_for(playlist) && !self.bridges(key, head, now);
        (turns && known.next_probe <= WAITS).then_some(known.next_probe)
    }

    /// A probe of what is gone is sent only if its configuration may have one more 4xx for that; the next may be a gap later.
    fn afford(&self, probe: Probe, key: &SessionKey, known: Option<Known>, now: Instant) -> Ask {
        let gone = known.filter(|known| known.cause != Cause::Failing);
        match gone.filter(|gone| self.quota.is_kept_from(key, gone.is_confirmed, now)) {
            Some(gone) => Ask::Answer(gone),
            None => Ask::Probe(probe),
        }
    }
}
