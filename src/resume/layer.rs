use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{HeaderName, Request, Response};
use http_body::Body as HttpBody;
use tower::{BoxError, retry::budget::TpsBudget};
use tower_layer::Layer;
use tower_service::Service;

use super::{Config, Store, create, playlist::Playlist, url};
use crate::{
    serialize::Body,
    session::{Creation, Extract, Extracted, Kind, MediaTailor},
    upstream::RetryConfig,
};

/// The header of a playlist that is not of the session in its URL but of one that stands in for it: `new-session`.
pub const RESUME: HeaderName = HeaderName::from_static("x-onelane-resume");

/// Resumes lost sessions whose creation passed through here; see [`Resume`].
///
/// A clone, and every service that is made by one layer, shares what is kept.
pub struct ResumeLayer<E = MediaTailor> {
    shared: Arc<Shared<E>>,
}

/// A service that makes a new session in place of a lost one, by the rules that the [module](super) names. It stands
/// within the exchange, around what judges and retries, so that the whole of it happens in the lost session's turn.
///
/// # Cancel safety
///
/// Dropping the future drops the inner service's, and with it the attempt: no other is made within
/// [`Config::every`].
pub struct Resume<S, E = MediaTailor> {
    inner: S,
    shared: Arc<Shared<E>>,
}

/// What all services of a layer share.
#[derive(Debug)]
pub(super) struct Shared<E> {
    pub(super) store: Store,
    pub(super) extract: Arc<E>,
    /// For creations that are sent again.
    pub(super) budget: TpsBudget,
}

/// A boxed future of an answer.
type Answer<B> = Pin<Box<dyn Future<Output = Result<Response<Body<B>>, BoxError>> + Send>>;

// === impl ResumeLayer ===

impl ResumeLayer {
    /// For MediaTailor's URLs.
    pub fn new(config: Config) -> Self {
        Self::extracting(config, Arc::new(MediaTailor::new()))
    }
}

impl<E> ResumeLayer<E> {
    /// It must tell sessions apart as the lanes do.
    pub(crate) fn extracting(config: Config, extract: Arc<E>) -> Self {
        // As many as requests that are sent again have by default.
        let budget = RetryConfig::default().budget();
        Self { shared: Arc::new(Shared { store: Store::new(config), extract, budget }) }
    }

    /// What is kept, for inspection.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }
}

impl<E> Clone for ResumeLayer<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for ResumeLayer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeLayer").field("store", self.store()).finish_non_exhaustive()
    }
}

impl<S, E> Layer<S> for ResumeLayer<E> {
    type Service = Resume<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Resume { inner, shared: Arc::clone(&self.shared) }
    }
}

// === impl Resume ===

impl<S: Clone, E> Clone for Resume<S, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, E> fmt::Debug for Resume<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume")
            .field("inner", &self.inner)
            .field("store", &self.shared.store)
            .finish_non_exhaustive()
    }
}

impl<S, E, Q, B> Service<Request<Q>> for Resume<S, E>
where
    S: Service<Request<Q>, Response = Response<Body<B>>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send + 'static,
    E: Extract + Send + Sync + 'static,
    Q: HttpBody + Default + From<Bytes> + Send + 'static,
    Q::Data: Buf + Send,
    Q::Error: Into<BoxError>,
    B: HttpBody + Send + Unpin + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body<B>>;
    type Error = BoxError;
    type Future = Answer<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let extracted = Extracted::of(&head, &*self.shared.extract);
        // The clone is for later; it is the other that was made ready.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if extracted.creation(&head.method) == Some(Creation::Hls) {
            return Box::pin(create::watch(Arc::clone(&self.shared), inner, head, body));
        }
        let Extracted { kind, session } = extracted;
        match (kind, session) {
            (Kind::Media | Kind::Multivariant | Kind::Tracking, Ok(Some(key))) => {
                let Some(record) = self.shared.store.get(&key) else {
                    return Box::pin(inner.call(Request::from_parts(head, body)));
                };
                if kind != Kind::Tracking {
                    let playlist = Playlist { shared: Arc::clone(&self.shared), key, kind, record };
                    return Box::pin(playlist.answer(inner, head, body));
                }
                let stand_in = record.stand_in();
                if let Some(uri) =
                    stand_in.and_then(|stand_in| url::with_session(&head.uri, kind, &stand_in.id))
                {
                    head.uri = uri;
                }
                Box::pin(inner.call(Request::from_parts(head, body)))
            }
            _ => Box::pin(inner.call(Request::from_parts(head, body))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Mutex, PoisonError},
        time::Duration,
    };

    use http::{Method, StatusCode, header};
    use http_body_util::{BodyExt as _, Full};
    use serde_json::json;
    use tokio::{
        task::LocalSet,
        time::{advance, sleep},
    };
    use tower::{ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneService};

    use super::*;
    use crate::upstream::{JudgeLayer, Judgement, Verdict};

    const MASTER: &str = "http://up.example/v1/master/acct/Demo/a/i.m3u8?ads.x=1";
    const EXPLICIT: &str = "http://up.example/v1/session/acct/Demo/a/i.m3u8";
    const MINUTE: Duration = Duration::from_secs(60);

    /// A small MediaTailor: session N has the id `sN`, playlists 0 to 2, and numbers that the test sets.
    #[derive(Default)]
    struct Far {
        made: u32,
        lost: Vec<u32>,
        /// The first number of each playlist.
        first: [u64; 3],
        /// Whether the next sessions are numbered from 0.
        reset: bool,
        resets: Vec<u32>,
        audio: usize,
        target: u64,
        ended: bool,
        /// How many creations fail, and with what.
        closed: u32,
        fails: u16,
        takes: Duration,
        creation_takes: Duration,
        /// How much follows the answer to an explicit creation.
        padding: usize,
        log: Vec<String>,
        /// What each creation was made with.
        bodies: Vec<Bytes>,
    }

    type Judged = Response<Body<Full<Bytes>>>;

    type Change = (&'static str, fn(&mut Far));

    #[derive(Clone)]
    struct Scene {
        far: Arc<Mutex<Far>>,
        layer: ResumeLayer,
        service: BoxCloneService<Request<Full<Bytes>>, Judged, BoxError>,
    }

    impl Far {
        fn answer(&mut self, request: &http::request::Parts, body: Bytes) -> (u16, String) {
            let target = request.uri.path_and_query().map_or("", |target| target.as_str());
            self.log.push(format!("{} {target}", request.method));
            let path = request.uri.path();
            let session =
                |path: &str| path.rsplit('/').nth(1).and_then(|id| id.strip_prefix('s')?.parse().ok());
            if path.starts_with("/v1/tracking/") {
                return (200, "{}".to_owned());
            }
            if path.starts_with("/v1/manifest/") {
                let playlist: usize =
                    path.rsplit('/').next().and_then(|name| name[..1].parse().ok()).unwrap();
                return match session(path) {
                    Some(session) if session < self.made && !self.lost.contains(&session) => {
                        let first = if self.resets.contains(&session) { 0 } else { self.first[playlist] };
                        let (target, end) = (self.target, if self.ended { "#EXT-X-ENDLIST\n" } else { "" });
                        let segments = format!("#EXTINF:{target},\nx.ts?s{session}\n").repeat(6);
                        let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n");
                        (200, format!("{head}#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}{end}"))
                    }
                    _ => (400, "{}".to_owned()),
                };
            }
            if let Some(id) = target.split_once("aws.sessionId=s").map(|(_, id)| id.parse().unwrap()) {
                return if self.lost.contains(&id) {
                    (400, "{}".to_owned())
                } else {
                    (200, self.multivariant(id))
                };
            }
            if self.closed > 0 {
                self.closed -= 1;
                return (self.fails, "{}".to_owned());
            }
            let id = self.made;
            self.made += 1;
            self.bodies.push(body);
            if self.reset {
                self.resets.push(id);
            }
            match path.starts_with("/v1/session/") {
                true => {
                    let url = format!("/v1/master/acct/Demo/a/i.m3u8?aws.sessionId=s{id}");
                    let urls =
                        json!({ "manifestUrl": url, "trackingUrl": format!("/v1/tracking/acct/Demo/s{id}") });
                    (200, format!("{urls}{}", " ".repeat(self.padding)))
                }
                false => (200, self.multivariant(id)),
            }
        }

        fn multivariant(&self, id: u32) -> String {
            let media = |n: usize| format!("../../../../manifest/acct/Demo/s{id}/{n}.m3u8");
            let audio: String = (0..self.audio)
                .map(|n| {
                    format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"{n}\",URI=\"{}\"\n", media(2))
                })
                .collect();
            let variants: String = (0..2)
                .map(|n| format!("#EXT-X-STREAM-INF:BANDWIDTH=9,AUDIO=\"a\"\n{}\n", media(n)))
                .collect();
            format!("#EXTM3U\n{audio}{variants}")
        }
    }

    impl Scene {
        fn new(config: Config) -> Self {
            let far = Far { first: [100; 3], audio: 1, target: 20, ..Far::default() };
            let far = Arc::new(Mutex::new(far));
            let upstream = Arc::clone(&far);
            let upstream = service_fn(move |request: Request<Full<Bytes>>| {
                let far = Arc::clone(&upstream);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.expect("bytes").to_bytes();
                    let takes = match head.uri == MASTER {
                        true => far.lock().unwrap().creation_takes,
                        false => far.lock().unwrap().takes,
                    };
                    sleep(takes).await;
                    let (status, text) = far.lock().unwrap().answer(&head, body);
                    let mut response = Response::new(Full::from(text));
                    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                    Ok::<_, Infallible>(response)
                }
            });
            let layer = ResumeLayer::new(config);
            let service = ServiceBuilder::new().layer(&layer).layer(JudgeLayer::default()).service(upstream);
            Self { far, layer, service: service.boxed_clone() }
        }

        fn far(&self) -> std::sync::MutexGuard<'_, Far> {
            self.far.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// What was asked for since the last time.
        fn asked(&self) -> Vec<String> {
            std::mem::take(&mut self.far().log)
        }

        async fn send(&self, request: Request<Full<Bytes>>) -> (Verdict, Response<Bytes>) {
            let response = self.service.clone().oneshot(request).await.expect("an answer");
            let judgement: Option<&Judgement> = response.extensions().get();
            let verdict = judgement.map_or(Verdict::Passed, |judgement| judgement.verdict);
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("the whole body").to_bytes();
            (verdict, Response::from_parts(head, body))
        }

        async fn get(&self, uri: &str) -> (Verdict, Response<Bytes>) {
            let uri =
                if uri.starts_with("http") { uri.to_owned() } else { format!("http://up.example{uri}") };
            self.send(Request::get(uri).header(header::USER_AGENT, "player").body(Full::default()).unwrap())
                .await
        }

        /// The verdict on a media playlist of the first session, and which session's it is.
        async fn media(&self, playlist: u32) -> (Verdict, Option<u32>) {
            let (verdict, response) = self.get(&media(0, playlist)).await;
            let text = String::from_utf8(response.body().to_vec()).expect("text");
            let of = text.split_once("x.ts?s").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            assert_eq!(response.headers().contains_key(RESUME), of.is_some_and(|of| of > 0));
            (verdict, of)
        }

        /// A session that plays video and audio.
        async fn playing(config: Config) -> Self {
            let scene = Self::new(config);
            assert_eq!(scene.get(MASTER).await.0, Verdict::Playlist);
            for playlist in [0, 2] {
                assert_eq!(scene.media(playlist).await, (Verdict::Playlist, Some(0)));
            }
            scene.asked();
            scene
        }

        fn lose(&self, session: u32) {
            self.far().lost.push(session);
        }
    }

    fn media(session: u32, playlist: u32) -> String {
        format!("/v1/manifest/acct/Demo/s{session}/{playlist}.m3u8?tok=1")
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_session_goes_on_as_another() {
        let scene = Scene::playing(Config::default()).await;
        scene.far().first = [103, 102, 105];
        scene.lose(0);
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(1)));
        let master = format!("GET {}", MASTER.trim_start_matches("http://up.example"));
        let get = |session, playlist| format!("GET {}", media(session, playlist));
        assert_eq!(scene.asked(), [get(0, 0), master, get(1, 0)]);
        // From now on, all of it; also what was never asked for before.
        for playlist in [2, 1, 0] {
            assert_eq!(scene.media(playlist).await, (Verdict::Playlist, Some(1)));
        }
        assert_eq!(scene.get("/v1/tracking/acct/Demo/s0?tok=1").await.1.status(), StatusCode::OK);
        assert_eq!(
            scene.asked(),
            [get(1, 2), get(1, 1), get(1, 0), "GET /v1/tracking/acct/Demo/s1?tok=1".to_owned()]
        );
        // The new one is lost in turn.
        advance(MINUTE).await;
        scene.lose(1);
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(2)));
        assert_eq!(scene.media(2).await, (Verdict::Playlist, Some(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_continue_stays_lost() {
        let changes: [Change; 6] = [
            ("lower numbers", |far| far.first[0] = 99),
            ("numbers of its own", |far| far.reset = true),
            ("a gap", |far| far.first[0] = 106),
            ("another target duration", |far| far.target = 3),
            ("another rendition", |far| far.audio = 2),
            ("it has ended", |far| far.ended = true),
        ];
        for (what, change) in changes {
            let scene = Scene::playing(Config::default()).await;
            change(&mut scene.far());
            scene.lose(0);
            assert_eq!(scene.media(0).await, (Verdict::SessionLost, None), "{what}");
            let asked = scene.asked().len();
            assert!(asked <= 3, "{what}: {asked}");
            // No more than once a minute, whatever is asked for.
            advance(MINUTE - Duration::from_millis(1)).await;
            for playlist in [0, 2, 0] {
                assert_eq!(scene.media(playlist).await, (Verdict::SessionLost, None), "{what}");
            }
            assert_eq!(scene.asked().len(), 3, "{what}");
            advance(Duration::from_millis(1)).await;
            scene.media(0).await;
            assert_eq!(scene.asked().len(), asked, "{what}: tried again");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_creation_that_fails_for_what_may_pass_is_sent_again() {
        for (fails, closed, is_resumed, most) in [
            (503, 2, true, 2),
            (409, 2, true, 2),
            (500, 1, true, 1),
            (504, 1, true, 1),
            // As long as there is time.
            (503, u32::MAX, false, 8),
            (404, 1, false, 1),
            (429, 1, false, 1),
        ] {
            let scene = Scene::playing(Config::default()).await;
            (scene.far().fails, scene.far().closed) = (fails, closed);
            scene.lose(0);
            let begun = tokio::time::Instant::now();
            let expected =
                if is_resumed { (Verdict::Playlist, Some(1)) } else { (Verdict::SessionLost, None) };
            assert_eq!(scene.media(0).await, expected, "{fails} x {closed}");
            assert!(begun.elapsed() <= Duration::from_secs(3), "{:?}", begun.elapsed());
            let failed = closed - scene.far().closed;
            let least = if closed == u32::MAX { 3 } else { closed };
            assert!((least..=most).contains(&failed), "{fails} x {closed}: {failed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_creation_that_hangs_leaves_time_to_say_that_the_session_is_lost() {
        for (takes, is_resumed) in [(5, true), (60, false)] {
            let scene = Scene::playing(Config::default()).await;
            scene.far().creation_takes = Duration::from_secs(takes);
            scene.lose(0);
            let begun = tokio::time::Instant::now();
            let expected =
                if is_resumed { (Verdict::Playlist, Some(1)) } else { (Verdict::SessionLost, None) };
            assert_eq!(scene.media(0).await, expected);
            assert_eq!(begun.elapsed(), Duration::from_secs(takes.min(6)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn creations_that_are_sent_again_have_a_budget() {
        let scene = Scene::playing(Config::default()).await;
        for session in 1..200 {
            scene.get(MASTER).await;
            assert_eq!(scene.get(&media(session, 0)).await.0, Verdict::Playlist);
        }
        (scene.far().fails, scene.far().closed) = (503, u32::MAX);
        (0..200).for_each(|session| scene.lose(session));
        let all = LocalSet::new();
        for session in 0..200 {
            let scene = scene.clone();
            all.spawn_local(async move { scene.get(&media(session, 0)).await });
        }
        all.await;
        let failed = u32::MAX - scene.far().closed;
        assert!((250..=200 + 110 + 60).contains(&failed), "{failed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sibling_that_does_not_continue_ends_the_session() {
        let scene = Scene::playing(Config::default()).await;
        scene.far().first = [101, 101, 99];
        scene.lose(0);
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(1)));
        assert_eq!(scene.media(2).await, (Verdict::SessionLost, None));
        scene.asked();
        advance(10 * MINUTE).await;
        assert_eq!(scene.media(0).await, (Verdict::SessionLost, None));
        assert_eq!(scene.asked(), [format!("GET {}", media(0, 0))], "nothing is sent for it any more");
        assert_eq!(scene.layer.store().sessions(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_sessions_that_were_made_here_and_played() {
        let scene = Scene::new(Config::default());
        // Made elsewhere.
        scene.far().made = 1;
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(0)));
        scene.lose(0);
        scene.asked();
        assert_eq!(scene.media(0).await, (Verdict::SessionLost, None));
        assert_eq!(scene.asked().len(), 1);

        // A playlist that was never given proves nothing.
        let scene = Scene::playing(Config::default()).await;
        scene.lose(0);
        assert_eq!(scene.media(1).await, (Verdict::SessionLost, None));
        assert_eq!(scene.asked().len(), 1);
        // That cost no attempt, and a multivariant playlist makes none.
        assert_eq!(scene.get(&format!("{MASTER}&aws.sessionId=s0")).await.0, Verdict::SessionLost);
        assert_eq!(scene.asked().len(), 1);
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(1)));

        // VOD.
        let scene = Scene::new(Config::default());
        scene.far().ended = true;
        scene.get(MASTER).await;
        scene.media(0).await;
        scene.lose(0);
        scene.asked();
        assert_eq!(scene.media(0).await, (Verdict::SessionLost, None));
        assert_eq!(scene.asked().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn explicit_sessions_are_made_with_their_body() {
        let scene = Scene::new(Config::default());
        let body = r#"{"adsParams":{"a":"1"}}"#;
        let post = |length: bool| {
            let request = Request::post(EXPLICIT).header(header::CONTENT_TYPE, "application/json");
            let request = if length { request.header(header::CONTENT_LENGTH, body.len()) } else { request };
            request.body(Full::from(body)).expect("a request")
        };
        let (_, created) = scene.send(post(true)).await;
        assert!(created.body().starts_with(br#"{"manifestUrl""#), "the answer is whole");
        assert_eq!((scene.layer.store().sessions(), &scene.far().bodies[0][..]), (1, body.as_bytes()));
        scene.media(0).await;
        scene.lose(0);
        assert_eq!(scene.media(0).await, (Verdict::SessionLost, None), "what it offers is not known");
        scene.far().lost.clear();
        assert_eq!(scene.get("/v1/master/acct/Demo/a/i.m3u8?aws.sessionId=s0").await.0, Verdict::Playlist);
        scene.media(0).await;
        scene.lose(0);
        scene.asked();
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(1)));
        let asked = scene.asked();
        let multivariant = "GET /v1/master/acct/Demo/a/i.m3u8?aws.sessionId=s1";
        assert_eq!(asked[1..3], ["POST /v1/session/acct/Demo/a/i.m3u8", multivariant]);
        assert_eq!(scene.far().bodies[1], body);

        // What does not say how long it is streams through, and is not kept.
        scene.send(post(false)).await;
        assert_eq!((scene.layer.store().sessions(), &scene.far().bodies[2][..]), (1, body.as_bytes()));
        // One without a body is.
        scene.get(EXPLICIT).await;
        assert_eq!(scene.layer.store().sessions(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_multivariant_playlist_outlives_its_session() {
        const OLD: &str = "http://up.example/v1/master/acct/Demo/a/i.m3u8?aws.sessionId=s0";
        let scene = Scene::new(Config::default());
        scene.get(EXPLICIT).await;
        let ask = |method: Method, uri: &str, coding: &str| {
            let request = Request::builder().method(method).uri(uri).header(header::ACCEPT_ENCODING, coding);
            scene.send(request.body(Full::default()).expect("a request"))
        };
        let (_, before) = ask(Method::GET, OLD, "gzip").await;
        scene.media(0).await;
        scene.lose(0);
        assert_eq!(ask(Method::GET, OLD, "gzip").await.0, Verdict::SessionLost, "nothing stands in for it");
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(1)));
        scene.asked();

        let (verdict, again) = ask(Method::GET, OLD, "gzip").await;
        assert_eq!(
            (verdict, again.status()),
            (Verdict::Passed, StatusCode::OK),
            "the upstream has judged nothing"
        );
        assert_eq!(again.body(), before.body());
        assert_eq!(again.headers()[header::CONTENT_LENGTH], before.body().len().to_string().as_str());
        let (_, head) = ask(Method::HEAD, OLD, "gzip").await;
        assert_eq!((head.headers(), head.body().len()), (again.headers(), 0));
        assert!(scene.asked().is_empty());
        // What was not kept so is not there, but nor is the session lost.
        for (uri, coding) in [(OLD.to_owned(), "br"), (OLD.replace('?', "?x&"), "gzip")] {
            assert_eq!(ask(Method::GET, &uri, coding).await.0, Verdict::NotFound, "{uri} {coding}");
        }
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_lies_about_its_length_is_refused() {
        let scene = Scene::new(Config::default().largest(1_000));
        let post = |length: usize, body: usize| {
            let request = Request::post(EXPLICIT).header(header::CONTENT_LENGTH, length);
            request.body(Full::from(vec![b' '; body])).expect("a request")
        };
        assert!(scene.service.clone().oneshot(post(10, 2_000)).await.is_err());
        assert_eq!(scene.far().made, 0);
        // Too large to be kept, and sent all the same.
        scene.send(post(2_000, 2_000)).await;
        scene.send(post(900, 900)).await;
        assert_eq!((scene.far().made, scene.layer.store().sessions()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_too_long_to_be_read_is_whole() {
        let scene = Scene::new(Config::default());
        scene.far().padding = 100_000;
        let (_, created) = scene.get(EXPLICIT).await;
        assert!(created.body().starts_with(br#"{"manifestUrl""#) && created.body().ends_with(b"    "));
        assert_eq!((created.body().len() > 100_000, scene.layer.store().sessions()), (true, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_sessions_stay_within_the_budget() {
        let scene = Scene::new(Config::default().bytes(256 * 1024).largest(4 * 1024));
        for session in 0..1_000 {
            scene.get(&format!("{MASTER}&x={}", "y".repeat(1_000))).await;
            for playlist in 0..3 {
                scene.get(&media(session, playlist)).await;
            }
            assert!(scene.layer.store().bytes() <= 256 * 1024);
        }
        assert!((50..200).contains(&scene.layer.store().sessions()), "{:?}", scene.layer);
        // What was evicted is lost as ever.
        scene.lose(0);
        assert_eq!(scene.media(0).await, (Verdict::SessionLost, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_dropped_counts() {
        let scene = Scene::playing(Config::default()).await;
        scene.lose(0);
        scene.far().takes = Duration::from_secs(4);
        scene.far().creation_takes = Duration::from_secs(4);
        assert!(tokio::time::timeout(Duration::from_secs(10), scene.media(0)).await.is_err());
        scene.far().takes = Duration::ZERO;
        scene.far().creation_takes = Duration::ZERO;
        assert_eq!(scene.media(0).await, (Verdict::SessionLost, None));
        assert_eq!(scene.far().made, 2);
        advance(MINUTE).await;
        assert_eq!(scene.media(0).await, (Verdict::Playlist, Some(2)));
    }
}
