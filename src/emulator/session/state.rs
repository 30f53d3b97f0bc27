use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::client::Client;
use crate::emulator::{
    choices::{Conflict, Loser},
    fault::{aim::Whom, kind::Kind},
    pages::trace::{Target, Trace},
    play::timeline::Slot,
};

/// One viewer's session, and all that was seen of it.
#[derive(Debug)]
pub(in crate::emulator) struct Session {
    pub(in crate::emulator) id: Uuid,
    pub(in crate::emulator) terms: Terms,
    state: Mutex<State>,
}

/// What a session was created with. Fixed from then on, as documented.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::emulator) struct Terms {
    pub(in crate::emulator) account: Box<str>,
    pub(in crate::emulator) configuration: Box<str>,
    /// The query that its child links carry.
    pub(in crate::emulator) carried: Box<str>,
    /// Ads are the player's to stitch.
    pub(in crate::emulator) guided: bool,
    /// Beacons are the player's to fire.
    pub(in crate::emulator) client_side: bool,
    /// What the numbers of its playlists begin with, unless they are the timeline's.
    pub(in crate::emulator) begins: Option<Arc<Slot>>,
}

/// When a session is over. Times are milliseconds.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct Limits {
    /// Idle time; zero for no end.
    pub(in crate::emulator) idle: u64,
    /// 4xx that block it; zero for no block.
    pub(in crate::emulator) errors: u32,
    /// Time in which they count.
    pub(in crate::emulator) errors_within: u64,
}

/// Why a session takes no more requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Over {
    Expired,
    Blocked,
}

/// A request that is being worked on: what [`Session::land`] needs to know of [`Session::take_off`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) struct Flight {
    rule: Option<Conflict>,
    version: u64,
}

/// The counters of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::emulator) struct Counts {
    pub(in crate::emulator) requests: u64,
    pub(in crate::emulator) playlists: u64,
    pub(in crate::emulator) in_flight: u32,
    pub(in crate::emulator) max_in_flight: u32,
    pub(in crate::emulator) conflicts: u64,
    pub(in crate::emulator) abandoned: u64,
}

#[derive(Debug, Default)]
pub(in crate::emulator) struct State {
    pub(in crate::emulator) counts: Counts,
    pub(in crate::emulator) over: Option<Over>,
    pub(in crate::emulator) client: Client,
    pub(in crate::emulator) trace: Trace,
    /// When it was last heard of.
    pub(in crate::emulator) heard: u64,
    /// Exchanges that MediaTailor works on, those among them that are answered and settle.
    busy: u32,
    /// What an exchange writes when it wins: whoever meets another version than it began with has lost.
    version: u64,
    errors: u32,
    errors_since: u64,
    /// Whether a media playlist was asked for.
    played: bool,
    /// Breaks up to this number were found to have no ads.
    unfilled: u64,
}

// === impl Session ===

impl Session {
    pub(in crate::emulator) fn new(id: Uuid, terms: Terms, now: u64) -> Self {
        Self { id, terms, state: Mutex::new(State { heard: now, ..State::default() }) }
    }

    pub(in crate::emulator) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::emulator) fn whom(&self) -> Whom<'_> {
        let Terms { account, configuration, .. } = &self.terms;
        Whom { account, configuration, session: Some(self.id) }
    }

    /// Whether it could be forgotten without anyone waiting for it.
    pub(in crate::emulator) fn is_idle(&self) -> bool {
        let state = self.state();
        state.busy == 0 && state.counts.in_flight == 0
    }

    /// Notes a request, with its number in order of arrival, and whether the session still lives.
    pub(in crate::emulator) fn arrive(
        &self,
        target: &str,
        remember: usize,
        limits: &Limits,
        now: u64,
    ) -> (u64, Option<Over>) {
        let target = self.target_of(target);
        let mut state = self.state();
        if limits.idle > 0 && now.saturating_sub(state.heard) > limits.idle && state.over.is_none() {
            state.over = Some(Over::Expired);
        }
        state.heard = now;
        state.counts.requests += 1;
        let with = state.counts.in_flight;
        let number = state.trace.push(target, with, now, remember);
        (number, state.over)
    }

    /// Begins an exchange, unless the rule refuses it at once. Also says how many are in flight with it, which
    /// counts a refused one. Without a rule it takes no part: nobody conflicts with it, and it counts for nobody.
    pub(in crate::emulator) fn take_off(&self, rule: Option<Conflict>) -> (u32, Option<Flight>) {
        let Some(rule) = rule else {
            return (0, Some(Flight { rule, version: 0 }));
        };
        let mut state = self.state();
        state.counts.playlists += 1;
        let with_it = state.counts.in_flight + 1;
        state.counts.max_in_flight = state.counts.max_in_flight.max(with_it);
        if rule == Conflict::Reject && state.busy > 0 {
            state.counts.conflicts += 1;
            return (with_it, None);
        }
        state.counts.in_flight += 1;
        state.busy += 1;
        (with_it, Some(Flight { rule: Some(rule), version: state.version }))
    }

    /// Ends the work of an exchange, and says whether it won. One that settles keeps the session busy until
    /// [`Session::settle`]; any other frees it in the same step, so that whoever has its answer meets a free session.
    ///
    /// With [`Loser::Random`], `heads` decides whether the exchange gives way to those that are in flight with it.
    pub(in crate::emulator) fn land(&self, flight: Flight, settles: bool, loser: Loser, heads: bool) -> bool {
        let Some(rule) = flight.rule else {
            return true;
        };
        let mut state = self.state();
        state.counts.in_flight -= 1;
        state.busy -= u32::from(!settles);
        let beaten = state.version != flight.version;
        let gives_way = loser == Loser::Random && heads && state.counts.in_flight > 0;
        if rule == Conflict::Optimistic && (beaten || gives_way) {
            state.counts.conflicts += 1;
            return false;
        }
        state.version += 1;
        true
    }

    /// Ends an exchange before its work was done: it writes nothing, and frees the session at once.
    pub(in crate::emulator) fn cancel(&self, flight: Flight) {
        if flight.rule.is_some() {
            let mut state = self.state();
            state.counts.in_flight -= 1;
            state.busy -= 1;
        }
    }

    /// Frees the session of an exchange that has landed and settled.
    pub(in crate::emulator) fn settle(&self, flight: Flight, won: bool) {
        if flight.rule.is_none() {
            return;
        }
        let mut state = self.state();
        state.busy -= 1;
        // Whoever began while it settled meets what it wrote last.
        state.version += u64::from(won);
    }

    /// Whether this is the session's first media playlist.
    pub(in crate::emulator) fn is_first_media(&self) -> bool {
        !std::mem::replace(&mut self.state().played, true)
    }

    /// Whether the ad server is asked in vain, as for each session's first sight of a break that is not filled.
    pub(in crate::emulator) fn is_first_to_lack(&self, number: u64) -> bool {
        let known = &mut self.state().unfilled;
        let first = number >= *known;
        *known = (*known).max(number + 1);
        first
    }

    /// Notes how a request ended, and blocks the session after too many errors.
    pub(in crate::emulator) fn answered(&self, number: u64, status: StatusCode, limits: &Limits, now: u64) {
        let mut state = self.state();
        state.trace.answered(number, status.as_u16());
        if limits.errors == 0 || !status.is_client_error() || state.over.is_some() {
            return;
        }
        if now.saturating_sub(state.errors_since) > limits.errors_within {
            (state.errors, state.errors_since) = (0, now);
        }
        state.errors += 1;
        if state.errors >= limits.errors {
            state.over = Some(Over::Blocked);
        }
    }

    /// Notes that a fault befell a request.
    pub(in crate::emulator) fn struck(&self, number: u64, fault: Kind) {
        self.state().trace.struck(number, fault);
    }

    /// Ends it now; says whether it was alive.
    pub(in crate::emulator) fn expire(&self) -> bool {
        let over = &mut self.state().over;
        let alive = over.is_none();
        over.get_or_insert(Over::Expired);
        alive
    }

    /// Notes that a player went away. Says whether it did so before its answer was made.
    pub(in crate::emulator) fn left(&self, number: u64) -> bool {
        let mut state = self.state();
        let too_early = state.trace.left(number);
        state.counts.abandoned += u64::from(too_early);
        too_early
    }

    /// Notes who asks.
    pub(in crate::emulator) fn heard_from(&self, headers: &HeaderMap, host: Option<&str>) {
        self.state().client.note(headers, host);
    }

    /// The text of a remembered target.
    pub(in crate::emulator) fn text_of(&self, target: &Target) -> String {
        let Terms { account, configuration, .. } = &self.terms;
        match target {
            Target::Own(number) => {
                format!("/v1/manifest/{account}/{configuration}/{}/{number}.m3u8", self.id)
            }
            Target::Other(text) => text.to_string(),
        }
    }

    fn target_of(&self, text: &str) -> Target {
        let mut buffer = Uuid::encode_buffer();
        let id: &str = self.id.hyphenated().encode_lower(&mut buffer);
        let number = || {
            let mut rest = text.strip_prefix("/v1/manifest")?;
            for folder in [&*self.terms.account, &*self.terms.configuration, id] {
                rest = rest.strip_prefix('/')?.strip_prefix(folder)?;
            }
            rest.strip_prefix('/')?.strip_suffix(".m3u8")
        };
        // Only what is written back the same: a number with a nought before it is not.
        match number().and_then(|text| Some((text, text.parse::<u32>().ok()?))) {
            Some((text, number)) if number.to_string() == text => Target::Own(number),
            _ => Target::Other(text.into()),
        }
    }

    /// Counters to nought, and life anew. What is in flight stays.
    pub(in crate::emulator) fn reset(&self, now: u64) {
        let mut state = self.state();
        let in_flight = state.counts.in_flight;
        state.counts = Counts { in_flight, max_in_flight: in_flight, ..Counts::default() };
        state.over = None;
        state.trace = Trace::default();
        state.errors = 0;
        state.heard = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(Uuid::nil(), Terms::default(), 0)
    }

    fn conflicts(session: &Session) -> u64 {
        session.state().counts.conflicts
    }

    fn take_off(session: &Session, rule: Conflict) -> Flight {
        session.take_off(Some(rule)).1.expect("nothing refuses it at once")
    }

    #[test]
    fn rejects_the_second_while_the_first_is_busy() {
        let session = session();
        let first = take_off(&session, Conflict::Reject);
        assert_eq!(session.take_off(Some(Conflict::Reject)), (2, None));
        assert!(session.land(first, false, Loser::Last, false));
        let second = take_off(&session, Conflict::Reject);
        assert!(session.land(second, true, Loser::Last, false));
        // Answered, and still busy: it settles.
        assert_eq!(session.take_off(Some(Conflict::Reject)), (1, None));
        session.settle(second, true);
        take_off(&session, Conflict::Reject);
        assert_eq!((conflicts(&session), session.state().counts.max_in_flight), (2, 2));
    }

    #[test]
    fn the_last_to_end_loses_when_both_run() {
        let session = session();
        let first = take_off(&session, Conflict::Optimistic);
        let second = take_off(&session, Conflict::Optimistic);
        assert!(session.land(second, false, Loser::Last, false), "it ends first");
        // Begins after the winner and overlaps the loser alone.
        let third = take_off(&session, Conflict::Optimistic);
        assert!(!session.land(first, false, Loser::Last, false), "it ends last");
        assert!(session.land(third, false, Loser::Last, false), "a loser writes nothing");
        assert_eq!(conflicts(&session), 1);
    }

    #[test]
    fn a_random_loser_gives_way_once() {
        let session = session();
        let first = take_off(&session, Conflict::Optimistic);
        let second = take_off(&session, Conflict::Optimistic);
        assert!(!session.land(first, false, Loser::Random, true), "it gives way");
        assert!(session.land(second, false, Loser::Random, true), "nobody is left to give way to");
        assert_eq!(conflicts(&session), 1);
    }

    #[test]
    fn whoever_begins_while_another_settles_loses() {
        let session = session();
        let first = take_off(&session, Conflict::Optimistic);
        assert!(session.land(first, true, Loser::Last, false));
        let second = take_off(&session, Conflict::Optimistic);
        session.settle(first, true);
        assert!(!session.land(second, false, Loser::Last, false), "it met the settling");
    }

    #[test]
    fn without_a_rule_nothing_conflicts_and_all_is_counted() {
        let session = session();
        let first = take_off(&session, Conflict::None);
        let second = take_off(&session, Conflict::None);
        for flight in [first, second] {
            assert!(session.land(flight, false, Loser::Last, false));
        }
        assert_eq!((conflicts(&session), session.state().counts.max_in_flight), (0, 2));
        assert!(session.is_idle());
    }

    #[test]
    fn a_break_is_found_to_have_no_ads_once() {
        let session = session();
        let first = [1, 1, 3, 1, 3].map(|number| session.is_first_to_lack(number));
        assert_eq!(first, [true, false, true, false, false]);
    }

    #[test]
    fn targets_are_remembered_as_they_came() {
        let terms = Terms { account: "9f3c".into(), configuration: "News".into(), ..Terms::default() };
        let session = Session::new(Uuid::from_u128(7), terms, 0);
        let own = format!("/v1/manifest/9f3c/News/{}/3.m3u8", session.id);
        assert_eq!(session.target_of(&own), Target::Own(3));
        for text in [own.clone(), own.replace("/3", "/03"), own.replace("News", "Old"), own + "?_HLS_msn=7"] {
            assert_eq!(session.text_of(&session.target_of(&text)), text);
        }
    }

    #[test]
    fn idle_sessions_expire_and_noisy_ones_are_blocked() {
        let limits = Limits { idle: 1000, errors: 2, errors_within: 500 };
        let quiet = session();
        assert_eq!(quiet.arrive("/a", 4, &limits, 1000).1, None);
        assert_eq!(quiet.arrive("/a", 4, &limits, 2001).1, Some(Over::Expired));
        assert_eq!(quiet.arrive("/a", 4, &limits, 2002).1, Some(Over::Expired));

        let noisy = session();
        noisy.answered(0, StatusCode::CONFLICT, &limits, 100);
        // Too long after the first: counting begins anew.
        noisy.answered(1, StatusCode::CONFLICT, &limits, 700);
        assert_eq!(noisy.arrive("/a", 4, &limits, 700).1, None);
        noisy.answered(2, StatusCode::NOT_FOUND, &limits, 800);
        assert_eq!(noisy.arrive("/a", 4, &limits, 800).1, Some(Over::Blocked));
        noisy.reset(800);
        assert_eq!(noisy.arrive("/a", 4, &limits, 800).1, None);
        assert!(noisy.expire() && !noisy.expire(), "alive once");
        assert_eq!(noisy.arrive("/a", 4, &limits, 800).1, Some(Over::Expired));
    }
}
