//! All stages together, as one call makes them: what its configuration switches on and off.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use onelane::{
    lease::{Answer, Grant, LeaseId, LeaseStore, Leases, StoreError, Token, Wakes},
    rescue::{self, RescueLayer},
    shield,
    stack::{Config, Stack},
    upstream::{JudgeLayer, LearnLayer, Lessons, Settle},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::{Layer as _, Service as _};
use tower_test::mock::{self, SendResponse};

use crate::support::{got, media, stack};

const A: &str = "aaaaaaaa-30aa-4c1e-9d0f-2a4d1f7be901";
const B: &str = "bbbbbbbb-30aa-4c1e-9d0f-2a4d1f7be901";

type Asked = Request<Empty<Bytes>>;
type Told = Response<Full<Bytes>>;

/// Both sides of a stack.
struct Scene {
    stack: Stack,
    upstream: mock::Mock<Asked, Told>,
    far: mock::Handle<Asked, Told>,
}

// === impl Scene ===

impl Scene {
    fn new(config: Config) -> Self {
        let (upstream, mut far) = mock::pair();
        far.allow(u64::MAX);
        Self { stack: Stack::new(config), upstream, far }
    }

    /// A player asks; its place is taken at once.
    fn asks(&self, session: &str, playlist: &str) -> JoinHandle<(u16, String)> {
        let uri = format!("/v1/manifest/acct/Demo/{session}/{playlist}");
        let request = Request::get(uri).body(Empty::new()).expect("a request");
        let answer = self.stack.layer(self.upstream.clone()).call(request);
        tokio::spawn(async move {
            let (head, body) = answer.await.unwrap_or_else(|never| match never {}).into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
        })
    }

    /// The path and query of the next request upstream, and the means to answer it.
    async fn asked(&mut self) -> (String, SendResponse<Told>) {
        let next = timeout(Duration::from_secs(60), self.far.next_request()).await;
        let (request, answer) = next.expect("a request was to be sent").expect("the stack is there");
        (request.uri().to_string().rsplit_once('/').expect("a path").1.to_owned(), answer)
    }

    /// Asks and has the upstream answer; gives the player's status.
    async fn exchange(&mut self, session: &str, status: u16, body: &str) -> u16 {
        let player = self.asks(session, "0.m3u8");
        self.asked().await.1.send_response(told(status, body));
        player.await.expect("no panic").0
    }

    /// Holds when the upstream is asked for nothing.
    async fn is_quiet(&mut self) {
        let asked = timeout(Duration::from_millis(10), self.far.next_request()).await;
        if let Ok(Some((request, _))) = asked {
            panic!("{} was sent", request.uri());
        }
    }
}

fn told(status: u16, body: &str) -> Told {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    if status == 502 {
        // MediaTailor's own is not tried again.
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("BadGatewayException"));
    }
    response
}

fn live(sequence: u64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n#EXTINF:2.0,\na.ts\n"
    )
}

#[tokio::test(start_paused = true)]
async fn directives_that_are_stripped_make_no_other_exchange() {
    let mut scene = Scene::new(Config::default().strip_directives(true));
    let players = ["0.m3u8?x=1&_HLS_msn=7", "0.m3u8?x=1", "0.m3u8?_HLS_msn=8&_HLS_part=0&x=1&_HLS_skip=YES"]
        .map(|playlist| scene.asks(A, playlist));
    let (asked, answer) = scene.asked().await;
    assert_eq!(asked, "0.m3u8?x=1");
    answer.send_response(told(200, &live(7)));
    for player in players {
        assert_eq!(player.await.expect("no panic"), (200, live(7)));
    }
    scene.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn directives_pass_unless_they_are_stripped() {
    let mut scene = Scene::new(Config::default());
    let asks = ["0.m3u8?_HLS_msn=7", "0.m3u8?_HLS_msn=8"];
    let players = asks.map(|playlist| scene.asks(A, playlist));
    for ask in asks {
        let (asked, answer) = scene.asked().await;
        assert_eq!(asked, ask);
        answer.send_response(told(200, &live(7)));
    }
    for player in players {
        assert_eq!(player.await.expect("no panic").0, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn without_rescues_nothing_is_kept_and_nothing_is_bridged() {
    for (config, bridged) in [
        (Config::default(), 200),
        (Config::default().rescue(rescue::Config::default()), 200),
        (Config::default().rescue(None), 502),
    ] {
        let mut scene = Scene::new(config);
        assert_eq!(scene.exchange(A, 200, &live(7)).await, 200);
        let store = &scene.stack.lessons().store;
        assert_eq!(
            (store.is_off(), store.playlists(), store.bytes() > 0),
            match bridged {
                200 => (false, 1, true),
                _ => (true, 0, false),
            }
        );
        assert_eq!(scene.exchange(A, 502, "").await, bridged);
    }
}

#[tokio::test(start_paused = true)]
async fn without_rescues_a_slow_answer_is_waited_for() {
    for (config, got) in [(Config::default(), live(7)), (Config::default().rescue(None), live(8))] {
        let mut scene = Scene::new(config);
        assert_eq!(scene.exchange(A, 200, &live(7)).await, 200);
        let player = scene.asks(A, "0.m3u8");
        let (_, answer) = scene.asked().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        answer.send_response(told(200, &live(8)));
        assert_eq!(player.await.expect("no panic"), (200, got));
    }
}

/// As a reload does it with several upstreams.
#[tokio::test(start_paused = true)]
async fn rescues_that_are_switched_on_have_one_memory_for_all_upstreams() {
    let off = Config::default().rescue(None);
    let shared = Stack::new(off.clone());
    let (one, other) = (shared.beside(off.clone()), shared.beside(off));
    let [shared, one, other] = [shared, one, other].map(|stack| stack.reconfigured(Config::default()));
    for (stack, session) in [(one, A), (other, B)] {
        let mut scene = Scene { stack, ..Scene::new(Config::default()) };
        assert_eq!(scene.exchange(session, 200, &live(7)).await, 200);
        assert_eq!(scene.exchange(session, 502, "").await, 200);
    }
    let store = &shared.lessons().store;
    assert_eq!((store.playlists(), store.sessions()), (2, 2));
}

/// Where nothing is kept, a session without a 4xx of its own is not made to pay for those of others.
#[tokio::test(start_paused = true)]
async fn without_rescues_a_spent_configuration_shields_those_that_spend() {
    let shield = shield::Config::default().configuration_4xx_per_minute(2);
    let mut scene = Scene::new(Config::default().rescue(None).shield(shield));
    assert_eq!(scene.exchange(A, 403, "").await, 403);
    assert_eq!(scene.exchange(A, 403, "").await, 403);
    let shielded = scene.asks(A, "0.m3u8");
    scene.is_quiet().await;
    assert_eq!(shielded.await.expect("no panic").0, 502);
    assert_eq!(scene.exchange(B, 200, &live(7)).await, 200);
}

#[tokio::test(start_paused = true)]
async fn without_rescues_a_conflict_still_teaches_a_gap() {
    for config in [Config::default(), Config::default().rescue(None)] {
        let mut scene = Scene::new(config);
        assert_eq!(scene.exchange(A, 200, &live(7)).await, 200);
        let player = scene.asks(A, "0.m3u8");
        scene.asked().await.1.send_response(told(409, ""));
        scene.asked().await.1.send_response(told(200, &live(8)));
        assert_eq!(player.await.expect("no panic"), (200, live(8)));
        assert_eq!(scene.stack.lessons().settle.longest(Instant::now()).1, 1);
    }
}

/// An engine that never was there.
#[derive(Debug)]
struct Gone;

impl LeaseStore for Gone {
    fn revive(&self, _: Wakes) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Err(StoreError::new("it is gone"))))
    }

    fn acquire(&self, _: &LeaseId, _: &Token, _: Duration) -> Answer<'_, Grant> {
        unreachable!("it never was there")
    }

    fn renew(&self, _: &LeaseId, _: &Token, _: Duration) -> Answer<'_, bool> {
        unreachable!("it never was there")
    }

    fn release(&self, _: &LeaseId, _: &Token) -> Answer<'_, ()> {
        unreachable!("it never was there")
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_of_a_turn_that_is_not_agreed_teaches_no_gap() {
    for leased in [false, true] {
        let mut scene = Scene::new(Config::default());
        let leases = leased.then(|| Leases::start(Gone));
        scene.stack = scene.stack.leased(leases);
        assert_eq!(scene.exchange(A, 200, &live(7)).await, 200);
        let player = scene.asks(A, "0.m3u8");
        for _ in 0..2 {
            scene.asked().await.1.send_response(told(409, ""));
        }
        scene.asked().await.1.send_response(told(200, &live(8)));
        assert_eq!(player.await.expect("no panic"), (200, live(8)));
        assert_eq!(scene.stack.lessons().settle.longest(Instant::now()).1, usize::from(!leased));
    }
}

#[tokio::test(start_paused = true)]
async fn no_size_or_number_stops_the_start() {
    for number in [0, 1, u32::MAX] {
        let rescue = rescue::Config::default();
        let rescue = match number {
            u32::MAX => {
                rescue.bytes(u64::MAX).largest(usize::MAX).after(Duration::MAX).max_age(Duration::MAX)
            }
            _ => rescue.bytes(number.into()).largest(number as usize).after(Duration::ZERO),
        };
        let mut retry = onelane::upstream::RetryConfig::default();
        (retry.budget_per_second, retry.conflict) = (number, number);
        let mut scene = Scene::new(Config::default().rescue(rescue).retry(retry));
        assert_eq!(scene.exchange(A, 200, &live(7)).await, 200, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_traces_what_a_client_says_of_its_own_goes_through() {
    let (players, mut far) = stack(Config::default());
    let request = Request::get(media(1, 0)).header("traceparent", "as it is").header("tracestate", "=");
    let player = players.ask(request.body(Empty::new()).expect("a request"));
    let asked = far.asked().await;
    assert_eq!(asked.headers.len(), 2);
    assert_eq!(asked.headers["traceparent"], "as it is");
    assert_eq!(asked.headers["tracestate"], "=");
    asked.playlist(7);
    got(player).await.is_playlist(7);
}

#[tokio::test(start_paused = true)]
async fn what_learns_without_a_shield_asks_again_after_a_gap() {
    for status in [404, 410, 503] {
        let lessons = Lessons::new(rescue::Config::default(), shield::Config::default(), Settle::default());
        let lessons = Arc::new(lessons);
        let (upstream, mut far) = mock::pair::<Asked, Told>();
        far.allow(u64::MAX);
        let stages = (RescueLayer::new(Arc::clone(&lessons)), LearnLayer::new(lessons));
        let mut service = stages.layer(JudgeLayer::default().layer(upstream));
        let mut ask = async |answered: Option<(u16, &'static str)>| {
            let request = Request::get(media(1, 0)).body(Empty::new()).expect("a request");
            let ready = std::future::poll_fn(|cx| service.poll_ready(cx));
            ready.await.expect("it is ready");
            let answer = tokio::spawn(service.call(request));
            if let Some((status, body)) = answered {
                let sent = timeout(Duration::from_secs(1), far.next_request()).await;
                let (_, with) = sent.expect("it is sent").expect("the stages are there");
                let response = Response::builder().status(status).body(Full::from(body));
                with.send_response(response.expect("a response"));
            }
            answer.await.expect("no panic").expect("an answer").status()
        };
        const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:6.0,\n1.ts\n";
        assert_eq!(ask(Some((200, LIVE))).await, 200);
        ask(Some((status, ""))).await;
        ask(None).await;
        // Of a session that is blocked the gap is the longest.
        tokio::time::advance(Duration::from_secs(if status == 410 { 30 } else { 3 })).await;
        assert_eq!(ask(Some((200, LIVE))).await, 200, "after {status}");
        assert_eq!(ask(Some((200, LIVE))).await, 200, "after {status}");
    }
}

/// What has to be thought of where a session's requests go to several instances, and this one sees a part of them.
#[tokio::test(start_paused = true)]
async fn what_plays_through_another_instance_is_thought_of() {
    for shared in [false, true] {
        let (players, mut far) = stack(Config::default());
        if shared {
            players.stack.lessons().quota.share(&Leases::start(Gone)).await;
        }
        // All that this instance has heard of the session is that one of its playlists is missing.
        let player = players.getting(&media(1, 3));
        far.asked().await.status(404);
        got(player).await.is_problem(404, if shared { "not_found" } else { "session_lost" });
        let sibling = players.getting(&media(1, 0));
        match shared {
            true => {
                far.asked().await.playlist(7);
                got(sibling).await.is_playlist(7);
            }
            false => got(sibling).await.is_problem(404, "session_lost"),
        }
        // One that has played here is lost, and stays so at its next probe.
        players.learn(&mut far, &media(3, 0), 7).await;
        for _ in 0..2 {
            let player = players.getting(&media(3, 0));
            far.asked().await.status(404);
            got(player).await.is_problem(404, "session_lost");
            players.get(&media(3, 1)).await.is_problem(404, "session_lost");
            tokio::time::advance(Duration::from_secs(8)).await;
        }
        // A rendition that fails, and was never given here, keeps others waiting who may be on another instance.
        players.learn(&mut far, &media(2, 0), 7).await;
        let begun = Instant::now();
        let player = players.getting(&media(2, 3));
        let (answer, _) = far.failing(player, |asked| asked.status(500)).await;
        answer.is_problem(502, "origin_broken");
        let held = answer.at - begun;
        assert_eq!(held <= Duration::from_secs(2), shared, "{held:?}");
    }
}
