use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Response, request::Parts};
use tokio::time::Instant;

use super::{
    creation::Creation,
    multivariant::Multivariant,
    numbers::{Numbers, Offer},
    reason::NoResume,
};
use crate::{rescue::ALLOCATION, serialize::Body};

/// The most playlists of a session whose numbers are kept; the one that was not loaded for longest goes first.
const MOST: usize = 32;

/// The longest name of a playlist that is kept, in bytes. MediaTailor's are a number and `.m3u8`.
const LONGEST: usize = 64;

/// A session whose creation passed through here.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) creation: Creation,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    offer: Option<Offer>,
    multivariant: Option<Multivariant>,
    playlists: Vec<Seen>,
    stand_in: Option<StandIn>,
    attempted: Option<Instant>,
}

/// The session that stands behind a lost one's URLs.
#[derive(Debug, Clone)]
pub(super) struct StandIn {
    /// As URLs have it.
    pub(super) id: Arc<str>,
    /// How many sessions of this record there were before it.
    nth: u32,
}

/// A media playlist, as it was when it was last good.
#[derive(Debug)]
struct Seen {
    name: Box<str>,
    numbers: Numbers,
    at: Instant,
    /// Of which session it was, by [`StandIn::nth`].
    of: u32,
}

/// What came of [`Record::learn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    Known,
    /// A playlist that was not known: the record weighs more than before.
    New,
    /// It is the first one of a stand-in and does not continue what the session was given before.
    Broken,
}

/// Leave to resume a session, and what the new one must live up to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) offer: Offer,
    pub(super) numbers: Numbers,
}

// === impl Record ===

impl Record {
    pub(super) fn new(creation: Creation, offer: Option<Offer>) -> Self {
        Self { creation, state: Mutex::new(State { offer, ..State::default() }) }
    }

    /// The session to ask in place of this one, if that is lost.
    pub(super) fn stand_in(&self) -> Option<StandIn> {
        self.state().stand_in.clone()
    }

    /// Takes in what the session's multivariant playlist offers, and the playlist if it can be kept.
    pub(super) fn offers(&self, offer: Offer, multivariant: Option<Multivariant>) {
        let mut state = self.state();
        state.offer = Some(offer);
        // A `HEAD` brings none; what there was is as good as before.
        if multivariant.is_some() {
            state.multivariant = multivariant;
        }
    }

    /// The multivariant playlist that was given to the session, for whoever asks for it again.
    pub(super) fn multivariant<B>(&self, asked: &Parts) -> Option<Response<Body<B>>> {
        self.state().multivariant.as_ref()?.answer(asked)
    }

    /// Takes in a good media playlist of this name, `None` if it has no numbers that prove anything, which came of a
    /// session's stand-in or, without one, of itself.
    pub(super) fn learn(
        &self,
        name: &str,
        numbers: Option<Numbers>,
        of: Option<&StandIn>,
        now: Instant,
    ) -> Learned {
        let of = of.map_or(0, |stand_in| stand_in.nth);
        let mut state = self.state();
        let Some(seen) = state.playlists.iter_mut().find(|seen| *seen.name == *name) else {
            let Some(numbers) = numbers.filter(|_| name.len() <= LONGEST) else { return Learned::Known };
            state.see(Seen { name: name.into(), numbers, at: now, of });
            return Learned::New;
        };
        let Some(numbers) = numbers else {
            return if seen.of == of { Learned::Known } else { Learned::Broken };
        };
        if seen.of != of {
            // One that is not in use has been left behind by its window.
            let in_use = now.saturating_duration_since(seen.at) <= seen.numbers.overlap();
            let goes_on = if in_use { Numbers::is_continued_by } else { Numbers::is_followed_by };
            if !goes_on(&seen.numbers, &numbers) {
                return Learned::Broken;
            }
        } else if !seen.numbers.is_followed_by(&numbers)
            && now.saturating_duration_since(seen.at) <= seen.numbers.stale_for()
        {
            // A failure of the upstream, which players are not given. One that lasts is none: a stream that
            // is numbered anew.
            return Learned::Known;
        }
        (seen.numbers, seen.at, seen.of) = (numbers, now, of);
        Learned::Known
    }

    /// Whether a playlist was given to the session before its stand-in came, and none since: what proves nothing must
    /// not be given.
    pub(super) fn must_prove(&self, name: &str, of: &StandIn) -> bool {
        self.state().playlists.iter().any(|seen| *seen.name == *name && seen.of != of.nth)
    }

    /// Asks for leave to resume the session for the sake of a playlist.
    ///
    /// # Errors
    ///
    /// [`NoResume::TooSoon`] within `every` of the last leave. None of them takes anything from later attempts.
    pub(super) fn attempt(&self, name: &str, every: Duration, now: Instant) -> Result<Attempt, NoResume> {
        let mut state = self.state();
        let seen = state.playlists.iter().find(|seen| *seen.name == *name);
        let (Some(offer), Some(seen)) = (state.offer, seen) else { return Err(NoResume::Unproven) };
        if now.saturating_duration_since(seen.at) > seen.numbers.span() {
            return Err(NoResume::MovedOn);
        }
        if state.attempted.is_some_and(|last| state.goes_on_without(seen, last)) {
            return Err(NoResume::Alone);
        }
        let attempt = Attempt { offer, numbers: seen.numbers };
        if state.attempted.is_some_and(|last| now.saturating_duration_since(last) < every) {
            return Err(NoResume::TooSoon);
        }
        state.attempted = Some(now);
        Ok(attempt)
    }

    /// From now on another session stands behind this one's URLs; it has proven so with these numbers.
    pub(super) fn resume(&self, id: &str, name: &str, numbers: Numbers, now: Instant) {
        let mut state = self.state();
        let nth = state.stand_in.as_ref().map_or(0, |before| before.nth).wrapping_add(1);
        state.stand_in = Some(StandIn { id: id.into(), nth });
        if let Some(seen) = state.playlists.iter_mut().find(|seen| *seen.name == *name) {
            (seen.numbers, seen.at, seen.of) = (numbers, now, nth);
        }
    }

    /// What it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let state = self.state();
        let names: usize = state.playlists.iter().map(|seen| seen.name.len() + ALLOCATION).sum();
        let stand_in = state.stand_in.as_ref().map_or(0, |stand_in| stand_in.id.len() + ALLOCATION);
        let playlists = state.playlists.capacity() * size_of::<Seen>();
        let multivariant = state.multivariant.as_ref().map_or(0, Multivariant::weight);
        size_of::<Self>()
            + self.creation.weight()
            + multivariant
            + names
            + playlists
            + stand_in
            + 2 * ALLOCATION
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way, and a poisoned lock must not stick a session.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Whether the session has had other playlists since then, and not this one.
    fn goes_on_without(&self, gone: &Seen, since: Instant) -> bool {
        gone.at <= since && self.playlists.iter().any(|seen| seen.at > since)
    }

    fn see(&mut self, seen: Seen) {
        if self.playlists.len() < MOST {
            return self.playlists.push(seen);
        }
        if let Some(oldest) = self.playlists.iter_mut().min_by_key(|seen| seen.at) {
            *oldest = seen;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Parts};
    use tokio::time::advance;

    use super::*;
    use crate::upstream::playlist::{Limits, Summary, read};

    const EVERY: Duration = Duration::from_secs(60);

    fn record() -> Record {
        let (head, ()): (Parts, ()) =
            Request::get("/v1/master/a/c/i.m3u8").body(()).expect("a request").into_parts();
        let creation = Creation::of(&head, b"", 4096).expect("it is small");
        Record::new(creation, None)
    }

    fn summary(text: &str) -> Summary {
        read([text.as_bytes()], None, &Limits::default()).expect("a playlist")
    }

    fn numbers(first: u64) -> Option<Numbers> {
        let segments = "#EXTINF:2,\na.ts\n".repeat(6);
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}");
        Numbers::of(&summary(&text))
    }

    fn offer() -> Offer {
        Offer::of(&summary("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n"))
            .expect("a multivariant playlist")
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_needs_proof_and_a_minute_since_the_last() {
        let record = record();
        let attempt = || record.attempt("0.m3u8", EVERY, Instant::now()).map(|attempt| attempt.numbers);
        assert_eq!(attempt(), Err(NoResume::Unproven));
        assert_eq!(record.learn("0.m3u8", numbers(7), None, Instant::now()), Learned::New);
        assert_eq!(attempt(), Err(NoResume::Unproven), "what it offered is not known");
        record.offers(offer(), None);
        assert_eq!(record.attempt("1.m3u8", EVERY, Instant::now()).err(), Some(NoResume::Unproven));
        assert_eq!(attempt(), Ok(numbers(7).expect("live")), "asking in vain costs no attempt");
        advance(EVERY - Duration::from_millis(1)).await;
        record.learn("0.m3u8", numbers(37), None, Instant::now());
        assert_eq!(attempt(), Err(NoResume::TooSoon));
        advance(Duration::from_millis(1)).await;
        assert!(attempt().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_attempt_that_cannot_prove_anything() {
        let record = record();
        record.offers(offer(), None);
        let attempt = |name| record.attempt(name, EVERY, Instant::now()).err();
        record.learn("0.m3u8", numbers(7), None, Instant::now());
        record.learn("1.m3u8", numbers(7), None, Instant::now());
        advance(Duration::from_secs(12) + Duration::from_millis(1)).await;
        assert_eq!(attempt("0.m3u8"), Some(NoResume::MovedOn), "its six segments are over");
        record.learn("0.m3u8", numbers(14), None, Instant::now());
        record.learn("1.m3u8", numbers(14), None, Instant::now());
        let every = Duration::from_secs(5);
        assert!(record.attempt("0.m3u8", every, Instant::now()).is_ok());
        advance(every).await;
        record.learn("1.m3u8", numbers(16), None, Instant::now());
        let again = record.attempt("0.m3u8", every, Instant::now()).err();
        assert_eq!(again, Some(NoResume::Alone), "the other plays");
        assert!(record.attempt("1.m3u8", every, Instant::now()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn lower_numbers_of_the_same_session_are_not_what_a_new_one_must_meet() {
        let record = record();
        record.offers(offer(), None);
        for first in [7, 3, 8, 2] {
            record.learn("0.m3u8", numbers(first), None, Instant::now());
        }
        let attempt = record.attempt("0.m3u8", EVERY, Instant::now()).expect("leave");
        assert_eq!(Some(attempt.numbers), numbers(8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_numbered_anew_goes_on_from_there() {
        let record = record();
        record.offers(offer(), None);
        record.learn("0.m3u8", numbers(700), None, Instant::now());
        let known = || record.state().playlists[0].numbers;
        for first in 1..=4 {
            advance(Duration::from_secs(2)).await;
            record.learn("0.m3u8", numbers(first), None, Instant::now());
            let expected = if first < 4 { numbers(700) } else { numbers(4) };
            assert_eq!(Some(known()), expected, "{first}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_playlist_proves_itself_once_with_each_stand_in() {
        let record = record();
        for name in ["0.m3u8", "1.m3u8", "2.m3u8", "3.m3u8"] {
            record.learn(name, numbers(100), None, Instant::now());
        }
        record.resume("new", "0.m3u8", numbers(101).expect("live"), Instant::now());
        let stand_in = record.stand_in().expect("there is one");
        assert_eq!(&*stand_in.id, "new");
        let learn = |name, numbers| record.learn(name, numbers, Some(&stand_in), Instant::now());
        assert!(!record.must_prove("0.m3u8", &stand_in) && record.must_prove("1.m3u8", &stand_in));
        assert!(!record.must_prove("9.m3u8", &stand_in), "no player has seen it");

        assert_eq!(learn("1.m3u8", numbers(99)), Learned::Broken);
        assert_eq!(learn("1.m3u8", numbers(106)), Learned::Broken, "a gap in one that is in use");
        assert_eq!(learn("1.m3u8", None), Learned::Broken);
        assert_eq!(learn("1.m3u8", numbers(101)), Learned::Known);
        assert_eq!(learn("1.m3u8", numbers(110)), Learned::Known, "it has proven itself");
        assert_eq!(learn("9.m3u8", numbers(0)), Learned::New);
        advance(Duration::from_secs(60)).await;
        assert_eq!(learn("2.m3u8", numbers(130)), Learned::Known, "its window has moved on");
        assert_eq!(learn("3.m3u8", numbers(99)), Learned::Broken, "but never back");

        record.resume("newer", "0.m3u8", numbers(140).expect("live"), Instant::now());
        let stand_in = record.stand_in().expect("there is one");
        assert!(record.must_prove("1.m3u8", &stand_in));
    }

    #[tokio::test(start_paused = true)]
    async fn no_session_keeps_more_than_so_many_playlists() {
        let record = record();
        record.learn("first", numbers(1), None, Instant::now());
        record.learn(&"x".repeat(LONGEST + 1), numbers(1), None, Instant::now());
        let before = record.weight();
        for n in 0..1_000 {
            advance(Duration::from_millis(1)).await;
            record.learn(&format!("{n}.m3u8"), numbers(n), None, Instant::now());
        }
        assert_eq!(record.state().playlists.len(), MOST);
        assert!(record.weight() > before && record.weight() < before + MOST * 200);
        let kept = |name: &str| record.state().playlists.iter().any(|seen| *seen.name == *name);
        assert!(kept("999.m3u8") && kept("968.m3u8") && !kept("first"));
    }
}
