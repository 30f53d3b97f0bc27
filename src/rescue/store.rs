use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use http::{HeaderMap, Uri};
use quick_cache::sync::GuardResult;
use tokio::time::Instant;

use super::{
    Accept, Config, Good, Learned, NoRescue, Rescue,
    bounds::Bounds,
    pool::{Home, Pool},
    session::{OVERHEAD, Session, Shared},
    shelf::Shelf,
    url::Url,
    variants::Variants,
};
use crate::{session::SessionKey, upstream::playlist::Summary};

/// The last good playlists of all sessions, within a byte budget.
///
/// One store serves everything that learns and everything that rescues: put it in an [`Arc`]. It is a cache
/// by session, so that a session that is lost is forgotten in one step; what has gone unrequested the longest
/// goes first. Nothing here waits.
pub struct Store {
    config: Config,
    /// `None` where nothing is kept.
    kept: Option<(Arc<Pool>, Bounds)>,
    home: Home,
}

// === impl Store ===

impl Store {
    /// An empty store.
    pub fn new(config: Config) -> Self {
        Self::at(Home::default(), config, None)
    }

    /// The same store under another configuration. Where there is less room than before, what has gone
    /// unrequested the longest goes at once. All stores that were made of one another in this way share one
    /// memory, within the budget of the last one.
    ///
    /// `None` makes a store that is [off](Self::off), and drops everything unless another store still keeps
    /// it. A store that is switched on later shares the memory again, but gives nothing from before: the
    /// players were given something newer meanwhile.
    #[must_use]
    pub fn reconfigured(&self, config: Option<Config>) -> Self {
        match (config, &self.kept) {
            (None, _) => Self::off_at(self.home.clone()),
            (Some(config), None) => Self::at(self.home.clone(), config, Some(Instant::now())),
            (Some(config), Some((_, bounds))) => Self::at(self.home.clone(), config, bounds.since),
        }
    }

    /// A store that takes nothing in and so has nothing to give: no rescues, and no memory for them.
    pub fn off() -> Self {
        Self::off_at(Home::default())
    }

    fn off_at(home: Home) -> Self {
        Self { config: Config::default().bytes(0), kept: None, home }
    }

    fn at(home: Home, config: Config, since: Option<Instant>) -> Self {
        let pool = home.pool_for(&config);
        let bounds = Bounds::of(&config, pool.sessions.shard_capacity(), Arc::clone(&pool.count));
        Self { kept: Some((pool, Bounds { since, ..bounds })), config, home }
    }

    /// Whether it keeps nothing; see [`off`](Self::off).
    pub fn is_off(&self) -> bool {
        self.kept.is_none()
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes in what the upstream answered to a `GET` for `uri` with 200. The path and query of `uri` tell
    /// playlists apart, delivery directives included; `CMCD` (CTA-5004), by which players report on
    /// themselves, does not count.
    ///
    /// A playlist of a lower media sequence than before is not taken, unless what is kept is too old to be given or the
    /// numbering has begun anew, as the [module](super) tells.
    pub fn learn(&self, session: &SessionKey, uri: &Uri, good: &Good<'_>, now: Instant) -> Learned {
        let Some((pool, bounds)) = &self.kept else { return Learned::NotKept };
        let url = Url::of(uri);
        loop {
            let (known, place) = match pool.sessions.get_value_or_guard(session, None) {
                GuardResult::Value(known) => (Some(known.shared), None),
                GuardResult::Guard(place) => (None, Some(place)),
                // Not without a time-out.
                GuardResult::Timeout => return Learned::NotKept,
            };
            let shared = known.unwrap_or_default();
            let mut state = shared.state();
            if state.forgotten {
                // It was in the cache a moment ago. The next look finds another, or none.
                continue;
            }
            let learned = state.shelf.learn(&url, good, now, bounds);
            let good_until = pool.until(state.shelf.good_until(bounds.max_age));
            shared.good_until.store(good_until, Ordering::Relaxed);
            let weight = (OVERHEAD + session.heap() + state.shelf.weight()) as u64;
            let kept = Session { weight, shared: Arc::clone(&shared) };
            match place {
                // Not kept at all: it is forgotten at once.
                Some(_) if state.shelf.is_empty() => {}
                // Into the room that was made for it, so that it does not count as seen twice.
                Some(place) => drop(place.insert(kept)),
                // An insert, since it alone makes room for what has grown.
                None if weight != state.weight => pool.sessions.insert(session.clone(), kept),
                None => {}
            }
            state.weight = weight;
            return learned;
        }
    }

    /// Takes in a 304 with these headers to a request for `uri`: what is kept with its `ETag` or, where it
    /// has none, its `Last-Modified` counts as fresh as if it had come again (RFC 9111 section 4.3.4).
    /// `false` if nothing is kept with that: the player has something else.
    pub(crate) fn confirm(&self, session: &SessionKey, uri: &Uri, headers: &HeaderMap, now: Instant) -> bool {
        let Some((pool, bounds)) = &self.kept else { return false };
        let Some(Session { shared, .. }) = pool.sessions.get(session) else { return false };
        let mut state = shared.state();
        let confirmed = state.shelf.confirm(&Url::of(uri), headers, now);
        shared.good_until.store(pool.until(state.shelf.good_until(bounds.max_age)), Ordering::Relaxed);
        confirmed
    }

    /// Gives the last good playlist of `uri` to a player that takes what `accept` says.
    ///
    /// That is the playlist of this very URL, or of one that differs in delivery directives alone, if the
    /// playlist satisfies those of `uri`. Where its player `may_leave`, a variant that fails by itself is none.
    ///
    /// # Errors
    ///
    /// [`NoRescue`] says which rule forbids it.
    pub(crate) fn rescue(
        &self,
        session: &SessionKey,
        uri: &Uri,
        accept: Accept,
        may_leave: bool,
        now: Instant,
    ) -> Result<Rescue, NoRescue> {
        let (pool, bounds) = self.kept.as_ref().ok_or(NoRescue::Unknown)?;
        let session = pool.sessions.get(session).ok_or(NoRescue::Unknown)?;
        session.shared.state().shelf.rescue(&Url::of(uri), accept, may_leave, now, bounds)
    }

    /// Whether a failure is no reason to make its player wait: it gets the last good playlist, or is to choose another variant.
    pub(crate) fn bridges(&self, session: &SessionKey, uri: &Uri, accept: Accept, now: Instant) -> bool {
        self.rescue(session, uri, accept, false, now).is_ok()
    }

    /// Notes that a playlist has failed that was sent for at `sent`, if something is kept of its session.
    pub(crate) fn fail(&self, session: &SessionKey, uri: &Uri, sent: Instant, now: Instant) {
        if let Some(session) = self.look(session) {
            session.state().shelf.fail(&Url::of(uri), sent, now);
        }
    }

    /// Notes that one that fails was asked for once more, and is not there yet.
    pub(crate) fn still_fails(&self, session: &SessionKey, uri: &Uri, now: Instant) {
        if let Some(session) = self.look(session) {
            session.state().shelf.still_fails(&Url::of(uri), now);
        }
    }

    /// Drops all that is kept of a session, which is lost. What is learned of it later counts as new.
    pub(crate) fn forget(&self, session: &SessionKey) {
        let Some(pool) = self.pool() else { return };
        // Again, if it was evicted and made anew in between.
        while let Some(Session { shared, .. }) = pool.sessions.peek(session) {
            let mut state = shared.state();
            state.forgotten = true;
            pool.sessions.remove_if(session, |kept| Arc::ptr_eq(&kept.shared, &shared));
            state.shelf = Shelf::default();
        }
    }

    /// Drops the sessions that have nothing left to give. The budget holds without it: call it from time to
    /// time if idle sessions should cost no memory. It walks over all sessions.
    pub fn expire(&self, now: Instant) {
        if let Some(pool) = self.pool() {
            pool.expire(now);
        }
    }

    /// If `good` is the very playlist that is kept of `uri`: what was [read](Good::summary) of it, and since
    /// when it has been the same, for [`Good::unchanged`]. Reading it again would cost twenty times as much
    /// as comparing it.
    pub(crate) fn same(
        &self,
        session: &SessionKey,
        uri: &Uri,
        good: &Good<'_>,
    ) -> Option<(Summary, Instant)> {
        self.look(session)?.state().shelf.same(&Url::of(uri), good)
    }

    /// Drops what is kept of a playlist: its player was given something else, which is not.
    pub(crate) fn outdate(&self, session: &SessionKey, uri: &Uri) {
        if let Some(session) = self.look(session) {
            session.state().shelf.outdate(&Url::of(uri));
        }
    }

    /// Notes which of a session's playlists are variants, if something is kept of it.
    pub(crate) fn offer(&self, session: &SessionKey, variants: Variants) {
        if let Some(session) = self.look(session) {
            session.state().shelf.offer(variants);
        }
    }

    /// Notes that the upstream gives a playlist, as far as that goes.
    pub(crate) fn allow(&self, session: &SessionKey, uri: &Uri) {
        if let Some(session) = self.look(session) {
            session.state().shelf.allow(&Url::of(uri));
        }
    }

    /// Notes that the upstream does not give a playlist that it gave before.
    pub(crate) fn deny(&self, session: &SessionKey, uri: &Uri) {
        if let Some(session) = self.look(session) {
            session.state().shelf.deny(uri.path());
        }
    }

    /// How many sessions have something kept.
    pub fn sessions(&self) -> usize {
        self.pool().map_or(0, |pool| pool.sessions.len())
    }

    /// How many playlists are kept; one that is kept in two content codings counts twice.
    pub fn playlists(&self) -> usize {
        self.pool().map_or(0, |pool| pool.playlists())
    }

    /// How much memory they take, in bytes, as the budget counts.
    pub fn bytes(&self) -> u64 {
        self.pool().map_or(0, |pool| pool.sessions.weight())
    }

    pub(super) fn look(&self, session: &SessionKey) -> Option<Arc<Shared>> {
        let (pool, _) = self.kept.as_ref()?;
        pool.sessions.peek(session).map(|session| session.shared)
    }

    /// What is kept here or, where nothing is, by others.
    fn pool(&self) -> Option<Arc<Pool>> {
        self.kept.as_ref().map_or_else(|| self.home.pool(), |(pool, _)| Some(Arc::clone(pool)))
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("sessions", &self.sessions())
            .field("playlists", &self.playlists())
            .field("bytes", &self.bytes())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, thread, time::Duration};

    use bytes::Bytes;
    use http::{HeaderValue, Method, StatusCode, header};
    use tokio::time::advance;

    use super::*;
    use crate::{rescue::Standing, session::SessionId};

    const URL: &str = "/v1/manifest/acct/Demo/s/0.m3u8";

    /// A store, a session, and answers in few words.
    struct Scene {
        store: Store,
        session: SessionKey,
    }

    impl Scene {
        fn new(config: Config) -> Self {
            Self { store: Store::new(config), session: session(0) }
        }

        fn learn(&self, url: &str, answer: &Answer) -> Learned {
            self.store.learn(&self.session, &uri(url), &answer.good(), Instant::now())
        }

        fn rescue(&self, url: &str) -> Result<Bytes, NoRescue> {
            self.rescue_for(url, "gzip").map(|rescue| rescue.into_response(&Method::GET).into_body())
        }

        fn rescue_for(&self, url: &str, accept: &'static str) -> Result<Rescue, NoRescue> {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            self.store.rescue(&self.session, &uri(url), Accept::of(&headers), true, Instant::now())
        }
    }

    /// What an upstream says.
    #[derive(Clone)]
    struct Answer {
        headers: HeaderMap,
        body: VecDeque<Bytes>,
        sequence: Option<u64>,
        segments: u64,
        ended: bool,
    }

    impl Answer {
        fn of(body: impl Into<Bytes>) -> Self {
            let body = VecDeque::from([body.into()]);
            Self { headers: HeaderMap::new(), body, sequence: None, segments: 0, ended: false }
        }

        /// A live playlist of three segments.
        fn live(sequence: u64) -> Self {
            Self { sequence: Some(sequence), segments: 3, ..Self::of(format!("live at {sequence}")) }
        }

        fn gzip(mut self) -> Self {
            self.body.push_back(Bytes::from_static(b" in gzip"));
            self.with("content-encoding", "gzip")
        }

        fn with(mut self, name: &'static str, value: &'static str) -> Self {
            self.headers.insert(name, HeaderValue::from_static(value));
            self
        }

        fn ended(self) -> Self {
            Self { ended: true, ..self }
        }

        fn bytes(&self) -> Bytes {
            self.good().copy()
        }

        fn good(&self) -> Good<'_> {
            Good::new(&self.headers, &self.body)
                .media_sequence(self.sequence)
                .last_sequence(self.sequence.map(|first| first + self.segments - 1))
                .target_duration(self.sequence.map(|_| Duration::from_secs(6)))
                .ended(self.ended)
        }
    }

    fn session(n: usize) -> SessionKey {
        SessionKey::new(None, Some("Demo"), SessionId::parse(&format!("session-{n}")).expect("an id"))
    }

    fn uri(url: &str) -> Uri {
        url.parse().expect("a URI")
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_playlist_is_given_byte_for_byte() {
        let scene = Scene::new(Config::default());
        assert_eq!(scene.rescue(URL), Err(NoRescue::Unknown));
        let first = Answer::live(7);
        assert_eq!(scene.learn(URL, &first), Learned::New);
        assert_eq!(scene.rescue(URL), Ok(first.bytes()));
        let second = Answer::live(8);
        assert_eq!(scene.learn(URL, &second), Learned::Changed);
        assert_eq!(scene.rescue(URL), Ok(second.bytes()));
        assert_eq!(scene.rescue("/v1/manifest/acct/Demo/s/1.m3u8"), Err(NoRescue::Unknown));
        assert_eq!(scene.rescue(&format!("{URL}?a=1")), Err(NoRescue::Unknown));
        assert_eq!(scene.rescue(&format!("http://other.example{URL}")), Ok(second.bytes()));
        assert_eq!((scene.store.sessions(), scene.store.playlists()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_changes_with_every_request_does_not_fill_the_store() {
        let scene = Scene::new(Config::default());
        let other = "/v1/manifest/acct/Demo/s/1.m3u8";
        for nth in 0..20 {
            scene.learn(&format!("{URL}?_={nth}"), &Answer::live(7 + nth));
            // One that is had by two players with a token each.
            scene.learn(&format!("{other}?token={}", nth % 2), &Answer::live(7 + nth));
            advance(secs(6)).await;
        }
        assert_eq!(scene.store.playlists(), 5 + 2);
        assert!(scene.rescue(&format!("{other}?token=0")).is_ok());
        for nth in 0..20 {
            scene.learn(&format!("{URL}?vod={nth}"), &Answer::live(0).ended());
        }
        advance(secs(60)).await;
        scene.learn(&format!("{URL}?vod=0"), &Answer::live(0).ended());
        assert_eq!(scene.store.playlists(), 5 + 2 + 20, "what has ended is asked for once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_playlist_stands_with_its_session_whatever_its_query() {
        let scene = Scene::new(Config::default());
        let standing = |url: &str| scene.store.standing(&scene.session, &uri(url));
        let (queried, other) = (format!("{URL}?a=1"), "/v1/manifest/acct/Demo/s/1.m3u8");
        assert_eq!(standing(URL), None);
        scene.learn(&queried, &Answer::live(7));
        scene.learn(URL, &Answer::live(7));
        assert_eq!((standing(URL), standing(other)), (Some(Standing::Given), Some(Standing::NeverHad)));
        scene.store.deny(&scene.session, &uri(URL));
        assert_eq!((standing(URL), standing(&queried)), (Some(Standing::Denied), Some(Standing::Denied)));
        assert_eq!(standing(other), Some(Standing::NeverHad));
        scene.learn(&format!("{URL}?a=2"), &Answer::live(8));
        assert_eq!((standing(URL), standing(&queried)), (Some(Standing::Given), Some(Standing::Given)));
        scene.store.forget(&scene.session);
        assert_eq!(standing(URL), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_given_with_its_head_and_age() {
        let scene = Scene::new(Config::default());
        let answer = Answer::live(7)
            .with("content-type", "application/vnd.apple.mpegurl")
            .with("content-length", "999")
            .with("date", "Thu, 01 Jan 2026 00:00:00 GMT")
            .with("age", "2");
        scene.learn(URL, &answer);
        advance(secs(4)).await;
        assert_eq!(scene.learn(URL, &answer), Learned::Unchanged);
        advance(secs(5) + Duration::from_millis(900)).await;

        let rescue = scene.rescue_for(URL, "identity").expect("a rescue");
        assert_eq!(rescue.age(), secs(7) + Duration::from_millis(900));
        let get = rescue.clone().into_response(&Method::GET);
        assert_eq!((get.status(), get.body()), (StatusCode::OK, &answer.bytes()));
        assert_eq!(get.headers()[header::CONTENT_TYPE], "application/vnd.apple.mpegurl");
        assert_eq!(get.headers()[header::CONTENT_LENGTH], answer.bytes().len().to_string().as_str());
        assert_eq!(get.headers()[header::AGE], "7");
        assert!(!get.headers().contains_key(header::DATE));

        let head = rescue.into_response(&Method::HEAD);
        assert_eq!((head.headers(), head.body().len()), (get.headers(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_given_until_it_is_too_old() {
        let scene = Scene::new(Config::default().max_age(secs(60)));
        let answer = Answer::live(7);
        scene.learn(URL, &answer);
        advance(secs(60)).await;
        assert_eq!(scene.rescue(URL), Ok(answer.bytes()));
        advance(Duration::from_millis(1)).await;
        assert_eq!(scene.rescue(URL), Err(NoRescue::TooOld));
        // The same again makes it fresh.
        assert_eq!(scene.learn(URL, &answer), Learned::Unchanged);
        advance(secs(60)).await;
        assert_eq!(scene.rescue(URL), Ok(answer.bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_does_not_age() {
        let scene = Scene::new(Config::default());
        let answer = Answer::live(0).ended();
        scene.learn(URL, &answer);
        advance(secs(86_400)).await;
        assert_eq!(scene.rescue(URL), Ok(answer.bytes()));
        assert_eq!(
            scene.rescue(&format!("{URL}?_HLS_msn=99")),
            Ok(answer.bytes()),
            "directives do not count"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_media_sequence_never_goes_back() {
        let scene = Scene::new(Config::default());
        let answer = Answer::live(8);
        scene.learn(URL, &answer);
        assert_eq!(scene.learn(URL, &Answer::live(7)), Learned::Older);
        assert_eq!(scene.rescue(URL), Ok(answer.bytes()));
        advance(secs(59)).await;
        assert_eq!(
            scene.learn(URL, &Answer::live(7)),
            Learned::Older,
            "one that is refused confirms nothing"
        );
        advance(secs(2)).await;
        assert_eq!(
            scene.learn(URL, &Answer::live(0)),
            Learned::Changed,
            "by now the upstream has begun anew"
        );
        assert_eq!(scene.rescue(URL), Ok(Answer::live(0).bytes()));
        assert_eq!(scene.learn(URL, &Answer::live(1)), Learned::Changed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_numbering_that_begins_anew_is_told_from_a_stale_answer() {
        // Of windows of 3 and of 10 segments of 6 s: what the upstream says, each a while after the one before.
        use Learned::{Changed, Older, Renumbered, Unchanged};
        for (what, segments, highest, answers) in [
            ("a restart", 3, 700, &[(3, 0, Older), (3, 0, Older), (3, 1, Renumbered), (3, 1, Unchanged)][..]),
            ("and with a slow player", 3, 700, &[(6, 0, Older), (6, 1, Renumbered), (6, 2, Changed)]),
            ("too soon to tell", 3, 700, &[(3, 0, Older), (1, 0, Older), (3, 1, Older), (3, 1, Renumbered)]),
            ("one that stands still", 3, 700, &[(6, 9, Older), (20, 9, Older), (20, 9, Older)]),
            ("one that goes back", 3, 700, &[(6, 9, Older), (6, 8, Older), (6, 7, Older)]),
            ("now and then", 3, 700, &[(6, 8, Older), (6, 701, Changed), (6, 9, Older), (3, 702, Changed)]),
            ("just behind, it catches up", 3, 12, &[(6, 10, Older), (6, 11, Older), (6, 12, Unchanged)]),
            (
                "behind by less than the window",
                10,
                30,
                &[(6, 23, Older), (6, 24, Older), (6, 25, Older), (6, 26, Renumbered)],
            ),
        ] {
            let scene = Scene::new(Config::default());
            let answer = |sequence| Answer { segments, ..Answer::live(sequence) };
            scene.learn(URL, &answer(highest));
            for (nth, (after, sequence, learned)) in answers.iter().enumerate() {
                advance(secs(*after)).await;
                assert_eq!(scene.learn(URL, &answer(*sequence)), *learned, "{what}: {nth}");
                let given = if *learned == Older { None } else { Some(answer(*sequence).bytes()) };
                assert!(given.is_none_or(|given| scene.rescue(URL) == Ok(given)), "{what}: {nth}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_numbering_begins_anew_for_the_whole_session() {
        let scene = Scene::new(Config::default());
        let (audio, reload) = (URL.replace("0.m3u8", "1.m3u8"), format!("{URL}?_HLS_msn=703"));
        let master = "/v1/master/acct/Demo/index.m3u8?aws.sessionId=s";
        for (url, sequence) in [(URL, 700), (&reload, 701), (&audio, 700)] {
            scene.learn(url, &Answer::live(sequence));
        }
        scene.learn(master, &Answer::of("master"));
        for (sequence, learned) in [(0, Learned::Older), (1, Learned::Renumbered)] {
            advance(secs(6)).await;
            assert_eq!(scene.learn(URL, &Answer::live(sequence)), learned);
        }
        assert_eq!(scene.rescue(&audio), Err(NoRescue::Unknown), "it is of the numbering before");
        assert_eq!(scene.rescue(&reload), Err(NoRescue::Blocking), "701 is gone");
        assert_eq!(scene.learn(&audio, &Answer::live(1)), Learned::New, "at once");
        assert_eq!(scene.rescue(master), Ok(Bytes::from_static(b"master")));
        assert_eq!(scene.learn(URL, &Answer::live(0)), Learned::Older, "no lower than what was given since");

        // One that goes on meanwhile has a numbering of its own.
        scene.learn(URL, &Answer::live(50));
        for (sequence, learned) in [(0, Learned::Older), (1, Learned::Renumbered)] {
            advance(secs(6)).await;
            scene.learn(&audio, &Answer::live(9 + sequence));
            assert_eq!(scene.learn(URL, &Answer::live(sequence)), learned);
        }
        assert_eq!(scene.rescue(&audio), Ok(Answer::live(10).bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_content_coding_never_goes_behind_another() {
        let scene = Scene::new(Config::default());
        scene.learn(URL, &Answer::live(7));
        assert_eq!(scene.learn(URL, &Answer::live(7).gzip()), Learned::New);
        assert_eq!(scene.store.playlists(), 2);
        let body = |accept| {
            scene.rescue_for(URL, accept).map(|rescue| rescue.into_response(&Method::GET).into_body())
        };
        assert_eq!(body("gzip;q=0"), Ok(Answer::live(7).bytes()));
        assert_eq!(body("gzip, identity;q=0"), Ok(Answer::live(7).gzip().bytes()));
        assert_eq!(body("br, identity;q=0"), Err(NoRescue::NotAccepted));

        assert_eq!(scene.learn(URL, &Answer::live(8).gzip()), Learned::Changed);
        assert!(body("identity").is_err(), "7 is behind 8");
        assert_eq!(body("gzip"), Ok(Answer::live(8).gzip().bytes()));
        assert_eq!(scene.learn(URL, &Answer::live(7)), Learned::Older);
        assert_eq!(scene.store.playlists(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocking_reload_is_given_only_what_satisfies_it() {
        let scene = Scene::new(Config::default());
        let plain = Answer::live(7);
        scene.learn(URL, &plain);
        let asked = |directives: &str| scene.rescue(&format!("{URL}?{directives}"));
        // Its last segment is the ninth.
        assert_eq!(asked("_HLS_msn=9"), Ok(plain.bytes()));
        assert_eq!(asked("_HLS_msn=10"), Err(NoRescue::Blocking));
        assert_eq!(asked("_HLS_msn=8&_HLS_part=3"), Ok(plain.bytes()));
        assert_eq!(asked("_HLS_msn=9&_HLS_part=0"), Err(NoRescue::Blocking));
        assert_eq!(asked("_HLS_part=0"), Err(NoRescue::Blocking));
        assert_eq!(asked("_HLS_msn=x"), Err(NoRescue::Blocking));
        assert_eq!(asked("_HLS_skip=YES"), Ok(plain.bytes()), "a server may always answer in full");
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocking_reload_moves_the_plain_url_on() {
        let scene = Scene::new(Config::default());
        let reload = format!("{URL}?_HLS_msn=10");
        scene.learn(URL, &Answer::live(7));
        assert_eq!(scene.learn(&reload, &Answer::live(8)), Learned::New);
        assert_eq!(scene.rescue(&reload), Ok(Answer::live(8).bytes()));
        assert_eq!(scene.rescue(URL), Ok(Answer::live(8).bytes()), "the player was given 8");
        assert_eq!(scene.learn(URL, &Answer::live(7)), Learned::Older);
        scene.learn(URL, &Answer::live(9));
        assert_eq!(
            scene.rescue(&reload),
            Ok(Answer::live(9).bytes()),
            "8 is behind 9, which satisfies as well"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_plain_request_gets_what_the_last_reload_got_in_full() {
        let scene = Scene::new(Config::default());
        scene.learn(URL, &Answer::live(7));
        for sequence in 8..20 {
            advance(Duration::from_secs(2)).await;
            scene.learn(&format!("{URL}?_HLS_msn={}", sequence + 2), &Answer::live(sequence));
            assert_eq!(scene.rescue(URL), Ok(Answer::live(sequence).bytes()));
        }
        let (other, asked) = (format!("{URL}?_HLS_msn=22&a=1"), format!("{URL}?_HLS_msn=22"));
        scene.learn(&other, &Answer::live(20));
        assert_eq!(scene.rescue(&asked), Err(NoRescue::Blocking), "the query is another");
        // Of what is not kept the player has something newer.
        scene.learn(&asked, &Answer::live(19));
        scene.store.outdate(&scene.session, &uri(&format!("{URL}?_HLS_msn=23")));
        assert_eq!(scene.rescue(&asked), Err(NoRescue::Unknown));
        scene.learn(&asked, &Answer::live(20));
        // What may be a delta is of use to nobody else.
        scene.learn(&format!("{URL}?_HLS_msn=23&_HLS_skip=YES"), &Answer::live(21));
        assert!(scene.rescue(URL).is_err() && scene.rescue(&asked).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_playlist_is_cut_only_beside_a_longer_one_that_can_be_given() {
        let growing =
            |segments| Answer { sequence: Some(0), segments, ..Answer::of(format!("{segments} segments")) };
        let scene = Scene::new(Config::default());
        scene.learn(URL, &growing(10));
        assert_eq!(scene.learn(URL, &growing(6)), Learned::Older);
        assert_eq!(scene.rescue(URL), Ok(growing(10).bytes()));
        assert_eq!(scene.learn(URL, &growing(11)), Learned::Changed);
        // A reload that is answered too early has nothing better to be given.
        let reload = format!("{URL}?_HLS_msn=11");
        assert_eq!(scene.learn(&reload, &growing(10)), Learned::New);
        // What others have in another coding, or was perhaps a delta, is of no use to this one.
        let skips = format!("{URL}?_HLS_msn=30&_HLS_skip=YES");
        scene.learn(&skips, &growing(30));
        assert_eq!(scene.rescue(URL), Err(NoRescue::Behind), "30 were given");
        assert_eq!(scene.learn(URL, &growing(29)), Learned::Changed);
        let other = URL.replace("0.m3u8", "1.m3u8");
        scene.learn(&other, &growing(10).gzip());
        assert_eq!(scene.learn(&other, &growing(9)), Learned::New);
        // Nor is what is over a measure of what begins.
        let third = URL.replace("0.m3u8", "2.m3u8");
        scene.learn(&third, &Answer { ended: true, ..growing(10) });
        assert_eq!(scene.learn(&third, &growing(1)), Learned::New);
    }

    #[tokio::test(start_paused = true)]
    async fn a_plain_request_gets_nothing_older_than_the_reloads_before_it() {
        let scene = Scene::new(Config::default());
        scene.learn(&format!("{URL}?_HLS_msn=12"), &Answer::live(10));
        assert_eq!(scene.learn(URL, &Answer::live(9)), Learned::Older);
        assert_eq!(scene.rescue(URL), Ok(Answer::live(10).bytes()));
        // What has ended and goes on all the same has not.
        let ended = Answer { ended: true, ..Answer::live(11) };
        scene.learn(&format!("{URL}?_HLS_msn=13"), &ended);
        assert_eq!(scene.rescue(URL), Ok(ended.bytes()));
        scene.learn(URL, &Answer::live(11));
        advance(Duration::from_secs(61)).await;
        assert!(scene.rescue(URL).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_begins_anew_is_taken_in_three_target_durations() {
        let growing =
            |segments| Answer { sequence: Some(0), segments, ..Answer::of(format!("{segments} segments")) };
        let scene = Scene::new(Config::default());
        let other = URL.replace("0.m3u8", "1.m3u8");
        scene.learn(&other, &growing(100));
        // Whether or not it was asked for plainly.
        scene.learn(&format!("{URL}?_HLS_msn=99"), &growing(100));
        let begun = Instant::now();
        let taken = loop {
            advance(Duration::from_secs(3)).await;
            let segments = 1 + begun.elapsed().as_secs() / 6;
            match scene.learn(URL, &growing(segments)) {
                Learned::Older => assert_eq!(scene.rescue(URL), Ok(growing(100).bytes())),
                learned => break (learned, begun.elapsed().as_secs()),
            }
        };
        assert!(taken.0 == Learned::New && (18..=24).contains(&taken.1), "{taken:?}");
        assert!(scene.rescue(URL).is_ok());
        assert_eq!(scene.rescue(&other), Ok(growing(100).bytes()), "that is another's numbering");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_player_says_of_itself_makes_no_other_playlist() {
        let scene = Scene::new(Config::default());
        let with = |cmcd: u32| format!("{URL}?a=1&CMCD=bl%3D{cmcd}");
        scene.learn(&with(7), &Answer::live(7));
        assert_eq!(scene.rescue(&with(8)), Ok(Answer::live(7).bytes()));
        scene.learn(&with(8), &Answer::live(8));
        assert_eq!(scene.learn(&with(9), &Answer::live(7)), Learned::Older);
        assert_eq!((scene.rescue(&with(9)), scene.store.playlists()), (Ok(Answer::live(8).bytes()), 1));
        assert!(scene.rescue(URL).is_err(), "the rest of the query counts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_multivariant_playlist_is_kept_as_well() {
        let scene = Scene::new(Config::default());
        let url = "/v1/master/acct/Demo/index.m3u8?aws.sessionId=s";
        assert_eq!(scene.learn(url, &Answer::of("one")), Learned::New);
        assert_eq!(scene.learn(url, &Answer::of("other")), Learned::Changed);
        assert_eq!(scene.rescue(url), Ok(Bytes::from_static(b"other")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_very_same_need_not_be_read_again() {
        use crate::upstream::playlist::{Limits, read};
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n";
        let summary = read([text.as_bytes()], None, &Limits::default()).expect("a playlist");
        let scene = Scene::new(Config::default());
        let answer = Answer { sequence: Some(0), segments: 1, ..Answer::of(text) };
        let same = |answer: &Answer| scene.store.same(&scene.session, &uri(URL), &answer.good());
        assert_eq!(same(&answer), None);
        let good = answer.good().summary(Some(summary));
        scene.store.learn(&scene.session, &uri(URL), &good, Instant::now());
        let (read, since) = same(&answer).expect("the very same");
        assert_eq!(read, summary);
        let unchanged = good.unchanged(Some(since));
        assert_eq!(
            scene.store.learn(&scene.session, &uri(URL), &unchanged, Instant::now()),
            Learned::Unchanged
        );
        advance(secs(1)).await;
        let changed = Answer { sequence: Some(1), segments: 1, ..Answer::of("#EXTM3U\n") };
        scene.learn(URL, &changed);
        let stale = scene.store.learn(&scene.session, &uri(URL), &unchanged, Instant::now());
        assert_eq!(stale, Learned::Older, "what has changed since is compared");
        scene.store.forget(&scene.session);
        scene.store.learn(&scene.session, &uri(URL), &good, Instant::now());
        assert_eq!(same(&Answer::of("#EXTM3U\n")), None);
        assert_eq!(same(&answer.clone().with("content-encoding", "gzip")), None);
        scene.store.forget(&scene.session);
        assert_eq!(same(&answer), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_lost_is_forgotten() {
        let scene = Scene::new(Config::default());
        let other = Scene { store: scene.store, session: session(1) };
        other.learn(URL, &Answer::live(7));
        let scene = Scene { store: other.store, session: session(0) };
        scene.learn(URL, &Answer::live(7));
        scene.learn("/1.m3u8", &Answer::live(0).ended());
        scene.store.forget(&scene.session);
        assert_eq!(scene.rescue(URL), Err(NoRescue::Unknown));
        assert_eq!(scene.rescue("/1.m3u8"), Err(NoRescue::Unknown));
        assert_eq!((scene.store.sessions(), scene.store.playlists()), (1, 1));
        assert_eq!(scene.learn(URL, &Answer::live(3)), Learned::New);
        assert_eq!(scene.rescue(URL), Ok(Answer::live(3).bytes()));
        scene.store.forget(&session(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_kept_takes_what_was_with_it() {
        let scene = Scene::new(Config::default().largest(100));
        for misfit in [
            Answer { sequence: Some(8), segments: 3, ..Answer::of(vec![b'#'; 101]) },
            Answer { sequence: Some(9), segments: 3, ..Answer::of("") },
            Answer::live(10).with("content-encoding", "dcb"),
            Answer::of("no media playlist"),
        ] {
            scene.learn(URL, &Answer::live(misfit.sequence.map_or(10, |sequence| sequence - 1)));
            assert_eq!(scene.learn(URL, &misfit), Learned::NotKept);
            assert_eq!(scene.rescue(URL), Err(NoRescue::Unknown));
            assert_eq!(scene.store.playlists(), 0);
        }
        assert_eq!(scene.learn(URL, &Answer::live(9)), Learned::Older, "10 was given");
        assert_eq!(scene.learn("/1.m3u8", &Answer::of(vec![b'#'; 100])), Learned::New);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_keeps_so_many_urls_and_reloads_go_first() {
        let scene = Scene::new(Config::default());
        scene.learn(URL, &Answer::live(7));
        for reload in 0..1_000 {
            scene.learn(&format!("{URL}?_HLS_msn={reload}"), &Answer::live(7));
        }
        assert_eq!(scene.store.playlists(), 32);
        assert_eq!(scene.rescue(URL), Ok(Answer::live(7).bytes()));
        for other in 0..1_000 {
            advance(Duration::from_millis(1)).await;
            assert_eq!(scene.learn(&format!("/{other}.m3u8"), &Answer::live(7)), Learned::New);
        }
        assert_eq!(scene.store.playlists(), 32);
        assert_eq!(scene.rescue("/968.m3u8"), Ok(Answer::live(7).bytes()));
        assert_eq!(scene.rescue("/967.m3u8"), Err(NoRescue::Unknown), "it was confirmed longest ago");
    }

    #[tokio::test(start_paused = true)]
    async fn what_earlier_blocking_reloads_got_takes_no_room() {
        let scene = Scene::new(Config::default());
        scene.learn(URL, &Answer::live(7));
        for sequence in 8..1_000 {
            for part in 0..3 {
                let reload = format!("{URL}?_HLS_msn={sequence}&_HLS_part={part}");
                scene.learn(&reload, &Answer::live(sequence));
            }
            assert!(scene.store.playlists() <= 4, "{}", scene.store.playlists());
        }
        assert_eq!(scene.rescue(URL), Ok(Answer::live(999).bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_has_room_for_the_largest_and_not_for_many() {
        const MIB: usize = 1024 * 1024;
        let scene = Scene::new(Config::default());
        for n in 0..10 {
            advance(Duration::from_millis(1)).await;
            let learned = scene.learn(&format!("/{n}.m3u8"), &Answer::of(vec![b'#'; 2 * MIB]));
            assert_eq!(learned, Learned::New);
        }
        assert_eq!(scene.store.playlists(), 3, "the fourth has no room for its head");
        assert!(scene.store.bytes() as usize <= 8 * MIB);
        assert!(scene.rescue("/9.m3u8").is_ok() && scene.rescue("/0.m3u8").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn any_budget_is_kept() {
        for (bytes, largest) in
            [(0, 0), (0, 1 << 21), (1, 1), (1_000, 1 << 21), (100_000, 100), (1 << 21, 1 << 21)]
        {
            let mut scene = Scene::new(Config::default().bytes(bytes).largest(largest));
            for n in 0..2_000 {
                scene.session = session(n % 700);
                scene.learn(&format!("/{}.m3u8", n % 3), &Answer::of(vec![b'#'; n]));
                // The budget is divided among shards and rounded up.
                assert!(scene.store.bytes() <= bytes + 64, "{} of {bytes}", scene.store.bytes());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_watch_stay_while_others_come_and_go() {
        let mut scene = Scene::new(Config::default().bytes(4 << 20).largest(64 << 10));
        let body = Answer::of(vec![b'#'; 10_000]);
        let mut learned = [0, 0];
        for round in 0..200 {
            advance(secs(1)).await;
            for n in 0..100 {
                scene.session = session(n);
                learned[0] += usize::from(scene.learn(URL, &body) == Learned::Unchanged);
                learned[1] += 1;
            }
            // As many as have room besides, each seen once.
            for n in 0..100 {
                scene.session = session(1_000 + round * 100 + n);
                scene.learn(URL, &body);
            }
        }
        assert!(learned[0] * 100 >= learned[1] * 95, "{} of {} were still there", learned[0], learned[1]);
        assert!(scene.store.bytes() <= (4 << 20) + 64);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_sessions_expire_and_ended_ones_stay() {
        let mut scene = Scene::new(Config::default());
        scene.learn(URL, &Answer::live(7));
        scene.session = session(1);
        scene.learn(URL, &Answer::live(0).ended());
        advance(secs(50)).await;
        scene.session = session(2);
        scene.learn(URL, &Answer::live(7));
        advance(secs(10)).await;
        scene.store.expire(Instant::now());
        assert_eq!(scene.store.sessions(), 3);
        advance(secs(1)).await;
        scene.store.expire(Instant::now());
        assert_eq!((scene.store.sessions(), scene.store.playlists()), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn another_configuration_has_the_same_playlists_within_other_limits() {
        let mut scene = Scene::new(Config::default().bytes(4 << 20).largest(64 << 10));
        assert_eq!(scene.learn(URL, &Answer::live(7)), Learned::New);
        advance(Duration::from_secs(5)).await;
        let config = scene.store.config().clone();
        scene.store = scene.store.reconfigured(Some(config.clone().max_age(Duration::from_secs(4))));
        assert!(scene.rescue(URL).is_err(), "too old by now");
        scene.store = scene.store.reconfigured(Some(config.clone()));
        assert_eq!(scene.rescue(URL), Ok(Answer::live(7).bytes()));
        assert_eq!(scene.learn(URL, &Answer::live(6)), Learned::Older, "the same shelf");

        scene.store = scene.store.reconfigured(Some(config.clone().bytes(1)));
        assert_eq!((scene.store.bytes(), scene.store.playlists()), (0, 0), "no room");
        scene.store = scene.store.reconfigured(None);
        assert_eq!(scene.learn(URL, &Answer::live(8)), Learned::NotKept);
        scene.store = scene.store.reconfigured(Some(config));
        assert_eq!(scene.learn(URL, &Answer::live(8)), Learned::New);
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_are_switched_on_have_one_budget_in_common() {
        let config = Config::default().bytes(1 << 20).largest(16 << 10);
        let off = Store::off();
        let [mut one, mut other] =
            [&off, &off].map(|store| Scene { store: store.reconfigured(None), session: session(0) });
        for scene in [&mut one, &mut other] {
            scene.store = scene.store.reconfigured(Some(config.clone()));
        }
        for n in 0..1_000 {
            (one.session, other.session) = (session(2 * n), session(2 * n + 1));
            one.learn(URL, &Answer::of(vec![b'#'; 10_000]));
            other.learn(URL, &Answer::of(vec![b'#'; 10_000]));
        }
        assert_eq!(one.store.bytes(), other.store.bytes());
        assert!((1 << 19..=(1 << 20) + 64).contains(&one.store.bytes()), "{}", one.store.bytes());
        assert_eq!(off.playlists(), one.store.playlists(), "the one that is off tells of it as well");
        drop((one, other));
        assert_eq!((off.sessions(), off.playlists(), off.bytes()), (0, 0, 0), "nobody has use for it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_of_before_a_store_was_off_is_not_given() {
        let config = Config::default();
        let mut scene = Scene::new(config.clone());
        // Others keep what there is.
        let beside = scene.store.reconfigured(Some(config.clone()));
        scene.learn(URL, &Answer::live(7));
        scene.learn("/1.m3u8", &Answer::live(0).ended());
        advance(secs(1)).await;
        scene.store = scene.store.reconfigured(None);
        assert_eq!(scene.learn(URL, &Answer::live(8)), Learned::NotKept);
        scene.store = scene.store.reconfigured(Some(config.clone()));
        assert_eq!(scene.rescue(URL), Err(NoRescue::Unknown), "the player was given 8");
        assert_eq!(scene.rescue("/1.m3u8"), Err(NoRescue::Unknown));
        assert_eq!(scene.learn(URL, &Answer::live(2)), Learned::Changed, "it may have begun anew meanwhile");
        scene.store = scene.store.reconfigured(Some(config));
        assert_eq!(scene.rescue(URL), Ok(Answer::live(2).bytes()));
        assert_eq!(scene.learn(URL, &Answer::live(1)), Learned::Older);
        assert_eq!(beside.playlists(), 2);
    }

    #[test]
    fn a_store_is_shared_by_all_who_learn_and_forget() {
        let store = Arc::new(Store::new(Config::default().bytes(1 << 20).largest(1 << 10)));
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                let store = Arc::clone(&store);
                thread::spawn(move || {
                    for n in 0..5_000_u64 {
                        let (session, answer) = (session(n as usize % 7), Answer::live(n));
                        let now = Instant::now();
                        if n % 50 == thread {
                            store.forget(&session);
                        }
                        store.learn(&session, &uri(URL), &answer.good(), now);
                        if let Ok(rescue) =
                            store.rescue(&session, &uri(URL), Accept::of(&HeaderMap::new()), true, now)
                        {
                            assert!(rescue.into_response(&Method::GET).body().starts_with(b"live at "));
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert!(store.sessions() <= 7 && store.playlists() <= 7);
        (0..7).for_each(|n| store.forget(&session(n)));
        assert_eq!((store.sessions(), store.playlists(), store.bytes()), (0, 0, 0));
    }
}
