use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
    time::Duration,
};

use http::{StatusCode, Uri};
use tokio::time::Instant;

use super::{
    Cause, Check, Config, Known,
    ledger::Ledger,
    mark::{Mark, Playlist},
};
use crate::session::SessionKey;

/// The sessions that are lost, blocked or just failed.
///
/// A session without a mark costs one atomic load while there are no marks, and a look-up under a shared lock while
/// there are. One with a mark is answered at once, but for one probe in half a target duration (in 30 s where
/// it is blocked); what stays gone is asked for less and less. Put it in an [`Arc`](std::sync::Arc) to share it. Nothing here waits.
///
/// In a [stack](crate::stack) one playlist that fails while its siblings do not is marked by itself.
pub(crate) struct Marks {
    pub(super) config: Config,
    sessions: Arc<Ledger<SessionKey, Mark>>,
    /// The playlists that fail while others of their session do not.
    pub(super) playlists: Arc<Ledger<(SessionKey, Playlist), Mark>>,
    hasher: RandomState,
}

// === impl Marks ===

impl Marks {
    /// No marks yet.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            sessions: Arc::new(Ledger::new(config.capacity, config.idle / 2)),
            playlists: Arc::new(Ledger::new(config.capacity, config.idle / 2)),
            hasher: RandomState::new(),
            config,
        }
    }

    /// The same marks under another configuration; [`Config::capacity`] stays what it was.
    #[must_use]
    pub(crate) fn reconfigured(&self, config: Config) -> Self {
        Self {
            sessions: Arc::clone(&self.sessions),
            playlists: Arc::clone(&self.playlists),
            hasher: self.hasher.clone(),
            config,
        }
    }

    /// What to do with a request of this session.
    ///
    /// Of all requests that ask, only one gets [`Check::Probe`] before the gap has passed again, and none
    /// does while the last probe is still out, for [`Config::lease`] at the most. Its end is told by
    /// [`mark`](Self::mark), [`good`](Self::good) or, where it says nothing of the session,
    /// [`over`](Self::over). A session that nobody asked for during [`Config::idle`] loses its mark.
    pub(crate) fn check(&self, session: &SessionKey, now: Instant) -> Check {
        self.check_by((&self.sessions, session), None, |mark| mark.look(now), now)
    }

    /// [`check`](Self::check) for one of the session's playlists.
    pub(crate) fn check_for(&self, session: &SessionKey, playlist: Playlist, now: Instant) -> Check {
        if self.known_for(session, playlist, now).is_none() {
            return Check::Pass;
        }
        self.check_by((&self.sessions, session), Some(playlist), |mark| mark.look_for(playlist, now), now)
    }

    /// What is known of a session, for a request that cannot be its probe because nothing here hears what
    /// comes of that request.
    pub(crate) fn known(&self, session: &SessionKey, now: Instant) -> Option<Known> {
        self.sessions.look(session, now, |mark| mark.known(now))
    }

    /// What is known of a session, where that says anything of this playlist.
    pub(crate) fn known_for(&self, session: &SessionKey, playlist: Playlist, now: Instant) -> Option<Known> {
        let known = |mark: &Mark| mark.concerns(playlist).then(|| mark.known(now));
        self.sessions.look(session, now, known).flatten()
    }

    /// The same, unless it is time for a probe.
    pub(crate) fn waits_for(&self, session: &SessionKey, playlist: Playlist, now: Instant) -> Option<Known> {
        let known = |mark: &Mark| mark.look_in_lane(playlist, now).filter(|_| mark.concerns(playlist));
        self.sessions.look(session, now, known).flatten()
    }

    /// The same for a request that went behind a probe: as long as its session is lost, be it time for another or not.
    pub(crate) fn waits_behind(
        &self,
        session: &SessionKey,
        playlist: Playlist,
        now: Instant,
    ) -> Option<Known> {
        self.sessions.look(session, now, |mark| mark.look_behind(playlist, now)).flatten()
    }

    /// A [probe](Check::Probe) is over, or was not sent after all: nobody need wait for word of it any more.
    pub(crate) fn over(&self, session: &SessionKey) {
        self.sessions.change(session, Mark::over);
    }

    /// Marks a session by what an exchange said of it, or renews its mark; the next probe is a gap away.
    ///
    /// A [`Failing`](Cause::Failing) exchange leaves a session that is lost or blocked what it is. `false` if
    /// there are already [as many marks](Config::capacity) as there may be: the session is then not shielded.
    pub(crate) fn mark(
        &self,
        session: &SessionKey,
        cause: Cause,
        status: Option<StatusCode>,
        target_duration: Option<Duration>,
        now: Instant,
    ) -> bool {
        self.put(session, Mark::new(cause, status, target_duration, now, &self.config), now)
    }

    /// Marks a session as lost by what was said of one of its playlists. `others_came` if others of it came just before, and that may be
    /// about one alone: it is in doubt then, until another of them says so. Whether it still is, is given.
    pub(crate) fn lose(
        &self,
        session: &SessionKey,
        (playlist, others_came): (Playlist, bool),
        status: Option<StatusCode>,
        target_duration: Option<Duration>,
        now: Instant,
    ) -> bool {
        let mark = Mark::new(Cause::Lost, status, target_duration, now, &self.config);
        let mark = mark.of(playlist, Duration::ZERO);
        self.put(session, if others_came { mark.in_doubt() } else { mark }, now);
        self.sessions.look(session, now, Mark::is_in_doubt).unwrap_or_default()
    }

    /// Marks a session after one of its playlists has failed, which took this long. A playlist that is known
    /// to fail by itself does not mark its session: it waits longer for its own next probe.
    pub(crate) fn fail(
        &self,
        session: &SessionKey,
        (playlist, took): (Playlist, Duration),
        status: Option<StatusCode>,
        target_duration: Option<Duration>,
        now: Instant,
    ) {
        let mark =
            || Mark::new(Cause::Failing, status, target_duration, now, &self.config).of(playlist, took);
        if !self.fails_again(session, playlist, mark) {
            self.put(session, mark(), now);
        }
    }

    /// The same after one that had no answer in all that time, in which nobody else was asked for: its siblings may go at once. One
    /// that was never given before is marked by itself, and its next try is free.
    pub(crate) fn hang(
        &self,
        session: &SessionKey,
        (playlist, took): (Playlist, Duration),
        is_new: bool,
        target_duration: Option<Duration>,
        now: Instant,
    ) {
        let status = Some(StatusCode::GATEWAY_TIMEOUT);
        let mark = || {
            let mark = Mark::new(Cause::Failing, status, target_duration, now, &self.config);
            mark.of(playlist, took).after_a_hang()
        };
        if self.fails_again(session, playlist, mark) {
            return;
        }
        match is_new {
            true => drop(self.playlists.put(&(session.clone(), playlist), now, mark(), |_, _| {})),
            false => drop(self.put(session, mark(), now)),
        }
    }

    /// Whether a playlist was known to fail by itself, which it has now done once more.
    fn fails_again(&self, session: &SessionKey, playlist: Playlist, mark: impl FnOnce() -> Mark) -> bool {
        let alone = || (session.clone(), playlist);
        let again = |known: &mut Mark| known.fail_again(mark(), &self.config);
        !self.playlists.is_empty() && self.playlists.change(&alone(), again).is_some()
    }

    /// Marks a playlist that is missing and was never given: by itself if others were given, and for its
    /// session if none was yet.
    pub(crate) fn miss(
        &self,
        session: &SessionKey,
        (playlist, is_alone): (Playlist, bool),
        status: Option<StatusCode>,
        target_duration: Option<Duration>,
        now: Instant,
    ) {
        let mark = Mark::new(Cause::Missing, status, target_duration, now, &self.config)
            .of(playlist, Duration::ZERO);
        match is_alone {
            true => {
                let alone = (session.clone(), playlist);
                self.playlists.put(&alone, now, mark, |mark, later| mark.renew(later, &self.config));
                self.sessions.change(session, |mark| mark.stays_lost(now, &self.config));
            }
            false => drop(self.put(session, mark, now)),
        }
    }

    /// Whether another playlist of a session is missing than this one.
    pub(crate) fn misses_another(&self, session: &SessionKey, playlist: Playlist, now: Instant) -> bool {
        self.sessions.look(session, now, |mark| !mark.concerns(playlist)).unwrap_or_default()
    }

    /// Takes the mark off a session; `true` if it had one.
    #[cfg(test)]
    fn clear(&self, session: &SessionKey) -> bool {
        self.sessions.remove(session).is_some()
    }

    /// Takes the marks off a session and its playlist that had a good answer. If it was another that failed,
    /// that one is marked by itself from now on.
    pub(crate) fn good(&self, session: &SessionKey, playlist: Playlist, now: Instant) {
        if !self.playlists.is_empty() {
            self.playlists.remove(&(session.clone(), playlist));
        }
        let mark = self.sessions.remove(session);
        if let Some((failed, mark)) = mark.and_then(|mark| mark.remainder(playlist, now)) {
            self.playlists.put(&(session.clone(), failed), now, mark, |_, _| {});
        }
    }

    /// How many sessions are marked.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether no session is marked.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is: neither a session nor a playlist by itself.
    pub(crate) fn has_none(&self) -> bool {
        self.is_empty() && self.playlists.is_empty()
    }

    /// What tells a playlist from others of its session.
    pub(crate) fn playlist(&self, uri: &Uri) -> Playlist {
        Playlist(self.hasher.hash_one(uri.path()))
    }

    pub(super) fn check_by<K: Eq + Hash + Clone>(
        &self,
        (marks, key): (&Ledger<K, Mark>, &K),
        asks_for: Option<Playlist>,
        look: impl Fn(&Mark) -> Option<Known>,
        now: Instant,
    ) -> Check {
        match marks.look(key, now, &look) {
            None => Check::Pass,
            Some(Some(known)) => Check::Answer(known),
            Some(None) => {
                marks.change(key, |mark| mark.check(look, asks_for, now, &self.config)).unwrap_or(Check::Pass)
            }
        }
    }

    fn put(&self, session: &SessionKey, mark: Mark, now: Instant) -> bool {
        self.sessions.put(session, now, mark, |mark, later| mark.renew(later, &self.config))
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks")
            .field("marks", &self.len())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;
    use crate::session::SessionId;

    fn session(n: usize) -> SessionKey {
        SessionKey::new(None, Some("Demo"), SessionId::parse(&format!("session-{n}")).expect("an id"))
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn mark(marks: &Marks, cause: Cause, target_duration: Option<Duration>) {
        assert!(marks.mark(&session(0), cause, None, target_duration, Instant::now()));
    }

    /// What is known of the session, or the other outcome.
    fn check(marks: &Marks) -> Result<Cause, Check> {
        match marks.check(&session(0), Instant::now()) {
            Check::Answer(known) => Ok(known.cause),
            other => Err(other),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_marked_session_is_answered_but_for_probes() {
        let marks = Marks::default();
        for (cause, target, gap) in [
            (Cause::Lost, Some(secs(10)), secs(5)),
            (Cause::Failing, Some(secs(4)), secs(2)),
            (Cause::Lost, None, secs(3)),
            (Cause::Failing, Some(secs(1)), secs(1)),
            (Cause::Failing, Some(Duration::MAX), secs(30)),
            (Cause::Blocked, Some(secs(6)), secs(30)),
            (Cause::Blocked, None, secs(30)),
        ] {
            assert_eq!(check(&marks), Err(Check::Pass));
            mark(&marks, cause, target);
            assert_eq!(check(&marks), Ok(cause));
            advance(gap - Duration::from_millis(1)).await;
            assert_eq!(check(&marks), Ok(cause), "{cause} {target:?}");
            advance(Duration::from_millis(1)).await;
            assert_eq!(check(&marks), Err(Check::Probe), "{cause} {target:?}");
            assert_eq!(check(&marks), Ok(cause), "one is enough");
            assert!(marks.clear(&session(0)) && marks.is_empty());
        }
        assert!(!marks.clear(&session(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn other_sessions_pass() {
        let marks = Marks::default();
        mark(&marks, Cause::Lost, None);
        assert_eq!(marks.check(&session(1), Instant::now()), Check::Pass);
        assert!(!marks.clear(&session(1)));
        assert_eq!(marks.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_says_what_is_known() {
        let marks = Marks::default();
        marks.mark(&session(0), Cause::Lost, Some(StatusCode::NOT_FOUND), Some(secs(6)), Instant::now());
        advance(secs(2)).await;
        let known = Known {
            cause: Cause::Lost,
            status: Some(StatusCode::NOT_FOUND),
            age: secs(2),
            next_probe: secs(1),
            is_confirmed: false,
            said_by: None,
            probed: None,
        };
        assert_eq!(marks.check(&session(0), Instant::now()), Check::Answer(known));
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_probe_takes_no_probe() {
        let marks = Marks::default();
        assert_eq!(marks.known(&session(0), Instant::now()), None);
        mark(&marks, Cause::Failing, Some(secs(6)));
        for _ in 0..2 {
            let known = marks.known(&session(0), Instant::now()).expect("a mark");
            assert_eq!(known.cause, Cause::Failing);
            advance(secs(3)).await;
        }
        assert_eq!(check(&marks), Err(Check::Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_moves_the_next_one_on() {
        let marks = Marks::default();
        mark(&marks, Cause::Failing, Some(secs(4)));
        advance(secs(2)).await;
        assert_eq!(check(&marks), Err(Check::Probe));
        advance(secs(5)).await;
        assert_eq!(check(&marks), Ok(Cause::Failing), "it may still come back");
        mark(&marks, Cause::Lost, None);
        advance(secs(2) - Duration::from_millis(1)).await;
        assert_eq!(check(&marks), Ok(Cause::Lost));
        advance(Duration::from_millis(1)).await;
        assert_eq!(check(&marks), Err(Check::Probe), "the target duration is still known");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_failed_last_lets_the_others_go_first() {
        let marks = Marks::default();
        let (bad, good) = (Playlist(1), Playlist(2));
        let check = |playlist| marks.check_for(&session(0), playlist, Instant::now());
        let fails = |took| marks.fail(&session(0), (bad, secs(took)), None, Some(secs(6)), Instant::now());
        fails(1);
        assert!(matches!(check(good), Check::Answer(_)));
        // The other asks seldom: then it is this one's turn all the same.
        advance(secs(3)).await;
        let Check::Answer(known) = check(bad) else { panic!("it lets others go first") };
        assert_eq!(known.next_probe, Duration::ZERO, "that of whoever asks next");
        advance(secs(3)).await;
        for _ in 0..3 {
            assert_eq!(check(bad), Check::Probe);
            advance(secs(10)).await;
            fails(1);
            advance(secs(3)).await;
            assert!(matches!(check(bad), Check::Answer(_)), "somebody else may come yet");
            advance(secs(3)).await;
        }
        assert_eq!(check(good), Check::Probe);
        marks.good(&session(0), good, Instant::now());
        assert_eq!(check(bad), Check::Pass);
        assert_eq!(marks.check_alone(&session(0), bad, Instant::now()), Check::Probe);
        assert_eq!(marks.check_alone(&session(0), good, Instant::now()), Check::Pass);
        // The others have half of the time at first, and three quarters in the end.
        for gap in [13, 23, 30, 30].map(secs) {
            fails(10);
            advance(gap - Duration::from_millis(1)).await;
            assert!(matches!(marks.check_alone(&session(0), bad, Instant::now()), Check::Answer(_)));
            advance(Duration::from_millis(1)).await;
            assert_eq!(marks.check_alone(&session(0), bad, Instant::now()), Check::Probe);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hang_that_took_longer_than_the_gap_is_followed_by_a_probe_at_once() {
        let marks = Marks::default();
        let (hung, sibling) = (Playlist(1), Playlist(2));
        let check = |playlist| marks.check_for(&session(0), playlist, Instant::now());
        let hangs = |took| marks.hang(&session(0), (hung, secs(took)), false, Some(secs(6)), Instant::now());
        for (took, waits) in [(2, 3), (3, 0), (10, 0)] {
            hangs(took);
            if waits > 0 {
                assert!(matches!(check(sibling), Check::Answer(_)));
            }
            advance(secs(waits)).await;
            assert_eq!(check(sibling), Check::Probe, "it took {took} s");
            assert!(matches!(check(hung), Check::Answer(_)), "one is enough");
            assert!(marks.clear(&session(0)));
        }
        // Who has no siblings waits; and what is known for sure has its gap.
        hangs(10);
        assert!(matches!(check(hung), Check::Answer(_)));
        advance(secs(3)).await;
        assert_eq!(check(hung), Check::Probe);
        marks.lose(&session(0), (hung, false), None, Some(secs(6)), Instant::now());
        hangs(10);
        assert!(matches!(check(hung), Check::Answer(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_over_is_waited_for_by_nobody() {
        let marks = Marks::default();
        mark(&marks, Cause::Lost, Some(secs(6)));
        for _ in 0..3 {
            advance(secs(3)).await;
            assert_eq!(check(&marks), Err(Check::Probe));
            marks.over(&session(0));
            assert_eq!(check(&marks), Ok(Cause::Lost), "but not at once either");
        }
        marks.over(&session(1));
        assert_eq!(marks.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_never_heard_of_does_not_stick_the_session() {
        let marks = Marks::default();
        mark(&marks, Cause::Lost, Some(secs(6)));
        advance(secs(3)).await;
        assert_eq!(check(&marks), Err(Check::Probe));
        advance(secs(10) - Duration::from_millis(1)).await;
        assert_eq!(check(&marks), Ok(Cause::Lost));
        advance(Duration::from_millis(1)).await;
        assert_eq!(check(&marks), Err(Check::Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_leaves_what_is_known_for_sure() {
        let marks = Marks::default();
        mark(&marks, Cause::Blocked, None);
        advance(secs(30)).await;
        assert_eq!(check(&marks), Err(Check::Probe));
        mark(&marks, Cause::Failing, Some(secs(6)));
        assert_eq!(check(&marks), Ok(Cause::Blocked));
        advance(secs(29)).await;
        assert_eq!(check(&marks), Ok(Cause::Blocked));
        advance(secs(1)).await;
        assert_eq!(check(&marks), Err(Check::Probe));
        mark(&marks, Cause::Lost, None);
        assert_eq!(check(&marks), Ok(Cause::Lost), "but another certainty counts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_that_nobody_asks_for_is_dropped() {
        let marks = Marks::default();
        mark(&marks, Cause::Lost, None);
        marks.mark(&session(1), Cause::Lost, None, None, Instant::now());
        // Whoever asks gets a probe, and so keeps the mark.
        for _ in 0..10 {
            advance(secs(30)).await;
            assert_eq!(check(&marks), Err(Check::Probe));
        }
        assert_eq!(marks.len(), 1);
        advance(secs(90)).await;
        assert_eq!(marks.check(&session(1), Instant::now()), Check::Pass);
        assert!(marks.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_no_more_marks_than_may_be() {
        let marks = Marks::new(Config::default().capacity(2));
        let mark = |n| marks.mark(&session(n), Cause::Lost, None, None, Instant::now());
        assert!(mark(0) && mark(1) && !mark(2) && mark(1));
        assert_eq!(marks.check(&session(2), Instant::now()), Check::Pass);
        marks.clear(&session(0));
        assert!(mark(2) && marks.len() == 2);
        advance(secs(91)).await;
        assert!(mark(3), "by now the others have passed");
        assert_eq!(marks.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_goes_back_after_a_crowd() {
        let marks = Marks::default();
        let crowd = || (0..100_000).map(session);
        crowd().for_each(|session| assert!(marks.mark(&session, Cause::Failing, None, None, Instant::now())));
        assert_eq!(marks.len(), 100_000);
        assert!(marks.sessions.room() >= 100_000);
        crowd().for_each(|session| assert!(marks.clear(&session)));
        assert!(marks.is_empty() && marks.sessions.room() < 4_096, "{}", marks.sessions.room());

        crowd().for_each(|session| assert!(marks.mark(&session, Cause::Failing, None, None, Instant::now())));
        advance(secs(100)).await;
        assert_eq!(marks.check(&session(0), Instant::now()), Check::Pass);
        assert!(marks.is_empty() && marks.sessions.room() < 4_096, "{}", marks.sessions.room());
    }

    #[tokio::test(start_paused = true)]
    async fn any_configuration_is_survived() {
        let extremes = [Duration::ZERO, Duration::MAX];
        for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (a, b) = (extremes[a], extremes[b]);
            let config = Config::default().gap(a).least_gap(b).blocked_gap(a).lease(b).idle(a);
            let marks = Marks::new(config);
            for cause in [Cause::Failing, Cause::Blocked, Cause::Lost, Cause::Failing] {
                mark(&marks, cause, Some(b));
                let _ = check(&marks);
                advance(secs(1)).await;
                let _ = check(&marks);
            }
        }
    }

    #[test]
    fn of_all_that_ask_at_once_one_probes() {
        let marks = Marks::default();
        let start = Instant::now();
        marks.mark(&session(0), Cause::Failing, None, None, start);
        let (probes, barrier) = (AtomicUsize::new(0), Barrier::new(4));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 1..=200 {
                        barrier.wait();
                        let now = start + secs(10 * round);
                        for _ in 0..10 {
                            if marks.check(&session(0), now) == Check::Probe {
                                probes.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(probes.into_inner(), 200);
    }

    /// What happens to a session.
    #[derive(Debug, Clone)]
    enum Event {
        Check,
        Mark(Cause, Option<u64>),
        Clear,
    }

    fn event() -> impl Strategy<Value = (u64, Event)> {
        let cause = prop_oneof![Just(Cause::Lost), Just(Cause::Blocked), Just(Cause::Failing)];
        let event = prop_oneof![
            20 => Just(Event::Check),
            3 => (cause, proptest::option::of(2_u64..20)).prop_map(|(cause, target)| Event::Mark(cause, target)),
            1 => Just(Event::Clear),
        ];
        (0_u64..2_500, event)
    }

    proptest! {
        /// Whatever happens, between two probes of one mark lies the least gap that was in force, and a session
        /// that is marked is never stuck for longer than gap and lease.
        #[test]
        fn never_two_probes_within_a_gap(events in proptest::collection::vec(event(), 1..200)) {
            let config = Config::default();
            let marks = Marks::new(config.clone());
            let mut now = Instant::now();
            let (mut marked, mut last_probe, mut last_word) = (false, None, now);
            for (after, event) in events {
                now += Duration::from_millis(after);
                match event {
                    Event::Mark(cause, target) => {
                        marks.mark(&session(0), cause, None, target.map(secs), now);
                        (marked, last_word) = (true, now);
                    }
                    Event::Clear => {
                        marks.clear(&session(0));
                        (marked, last_probe) = (false, None);
                    }
                    Event::Check => match marks.check(&session(0), now) {
                        Check::Pass => prop_assert!(!marked || now - last_word >= config.idle),
                        Check::Probe => {
                            prop_assert!(marked);
                            prop_assert!(now - last_word >= config.least_gap);
                            if let Some(last) = last_probe {
                                prop_assert!(now - last >= config.least_gap);
                            }
                            (last_probe, last_word) = (Some(now), now);
                        }
                        Check::Answer(known) => {
                            prop_assert!(marked);
                            prop_assert!(known.next_probe <= config.blocked_gap);
                            prop_assert!(now - last_word < config.blocked_gap + config.lease);
                        }
                    },
                }
            }
        }

        /// The same, to the point: one cause, one target duration, no word of any probe.
        #[test]
        fn probes_are_a_gap_apart(target in 2_u64..60, checks in proptest::collection::vec(0_u64..3_000, 1..200)) {
            let marks = Marks::new(Config::default().lease(Duration::ZERO));
            let mut now = Instant::now();
            let mut last = now;
            marks.mark(&session(0), Cause::Lost, None, Some(secs(target)), now);
            for after in checks {
                now += Duration::from_millis(after);
                let due = now - last >= secs(target) / 2;
                prop_assert_eq!(marks.check(&session(0), now) == Check::Probe, due);
                if due {
                    last = now;
                }
            }
        }
    }
}
