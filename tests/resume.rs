//! Sessions that end in the middle of play, over real sockets: sidecar and emulator in this process, in real time.
#![cfg(all(feature = "sidecar", feature = "emulator"))]

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use onelane::{
    emulator::{Args, Emulator},
    serialize::SerializeLayer,
    sidecar::{Config, Sidecar},
};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

const MASTER: &str = "/v1/master/9f3c/News/out/index.m3u8";

/// How often a player asks: twice in a segment.
const PERIOD: Duration = Duration::from_millis(250);

/// Far above what anything here takes, also on a slow machine: whoever waits longer hangs.
const HANGS: Duration = Duration::from_secs(60);

/// An emulator and a sidecar before it.
struct Scene {
    emulator: Emulator,
    sidecar: SocketAddr,
    layer: SerializeLayer,
    http: Hyper<HttpConnector, Full<Bytes>>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<bool>,
}

/// One viewer, with the last media sequence of each of its playlists.
#[derive(Clone)]
struct Player {
    sidecar: SocketAddr,
    http: Hyper<HttpConnector, Full<Bytes>>,
    playlists: Vec<(String, u64)>,
}

/// An answer, all of it.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

// === impl Scene ===

impl Scene {
    async fn new(resume: bool) -> Self {
        let mut args = Args::default();
        args.listen = "127.0.0.1:0".parse().expect("an address");
        args.latency = "5ms..15ms".parse().expect("a latency");
        args.segment = 2 * PERIOD;
        // What a player has seen last is within the window for as long as anything may take: otherwise nothing is proven.
        args.window = HANGS.div_duration_f64(args.segment) as usize;
        args.ad_every = Some(Duration::from_secs(4));
        args.ad_length = Duration::from_secs(2);
        args.seed = Some(7);
        let emulator = Emulator::bind(args).await.expect("the emulator starts");
        let upstream = format!("http://{}", emulator.local_addr()).parse().expect("an upstream");
        let mut config = Config::new(upstream);
        config.listen = "127.0.0.1:0".parse().expect("an address");
        config.admin = config.listen;
        config.resume = resume;
        // A slow machine is no failure, nor is it bridged.
        config.answer_within = HANGS;
        config.max_hold = HANGS;
        config.connect_within = HANGS;
        config.rescue = config.rescue.map(|rescue| rescue.after(HANGS));
        let sidecar = Sidecar::bind(config).await.expect("the sidecar starts");
        let (address, layer) = (sidecar.local_addr(), sidecar.layer().clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(sidecar.run(async { drop(stopped.await) }));
        let http = Hyper::builder(TokioExecutor::new()).build_http();
        Self { emulator, sidecar: address, layer, http, stop, running }
    }

    fn player(&self) -> Player {
        Player { sidecar: self.sidecar, http: self.http.clone(), playlists: Vec::new() }
    }

    /// As many as these, all of whose windows have moved since they began.
    async fn playing(&self, players: usize) -> Vec<Player> {
        let mut begun = JoinSet::new();
        for _ in 0..players {
            let mut player = self.player();
            begun.spawn(async move {
                let master = player.get(MASTER).await;
                player.load(MASTER, &master).await;
                player.play_on(2).await;
                player
            });
        }
        begun.join_all().await
    }

    /// The ids of all sessions that the emulator made.
    fn sessions(&self) -> HashSet<String> {
        self.emulator.sessions().into_iter().map(|session| session.id).collect()
    }

    async fn expire(&self, numbering: &str) {
        let url = format!("http://{}/__emulator/expire", self.emulator.local_addr());
        let body = format!(r#"{{"sessions":"all","numbering":"{numbering}"}}"#);
        let request = Request::post(url).body(Full::from(body)).expect("a request");
        let answer = self.http.request(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// Holds when no session ever had two requests in flight, and nothing is left behind.
    async fn ends_well(self) {
        timeout(HANGS, self.layer.drained()).await.expect("every exchange ends");
        assert!(self.layer.lanes().is_empty(), "{:?}", self.layer.lanes());
        let stats = self.emulator.stats();
        assert_eq!((stats.max_in_flight, stats.conflicts, stats.in_flight), (1, 0, 0), "{stats:?}");
        drop(self.stop);
        assert!(timeout(HANGS, self.running).await.expect("it stops").expect("it does not panic"));
        self.emulator.shutdown().await;
    }
}

// === impl Player ===

impl Player {
    async fn send(&self, method: Method, target: &str, body: &str) -> Got {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", self.sidecar))
            .header("user-agent", "viewer/1")
            .header("accept-encoding", "gzip;q=0")
            .body(Full::from(body.to_owned()))
            .expect("a request");
        let exchange = async {
            let (head, body) = self.http.request(request).await.expect("an answer").into_parts();
            let body = body.collect().await.expect("all of it").to_bytes();
            let text = String::from_utf8(body.to_vec()).expect("text");
            Got { status: head.status, headers: head.headers, text }
        };
        timeout(HANGS, exchange).await.expect("nothing hangs")
    }

    async fn get(&self, target: &str) -> Got {
        self.send(Method::GET, target, "").await
    }

    /// Loads every playlist that a multivariant playlist names.
    async fn load(&mut self, base: &str, master: &Got) {
        assert_eq!(master.status, StatusCode::OK);
        let master =
            m3u8_rs::parse_master_playlist_res(master.text.as_bytes()).expect("a multivariant playlist");
        let variants = master.variants.into_iter().map(|variant| variant.uri);
        let links = variants.chain(master.alternatives.into_iter().filter_map(|media| media.uri));
        let depth = base.split('?').next().unwrap_or_default().split('/').count() - 3;
        let up = "../".repeat(depth);
        self.playlists = links
            .map(|link| (format!("/v1/{}", link.strip_prefix(&up).expect("a relative link")), 0))
            .collect();
        assert!(self.playlists.len() >= 4, "{:?}", self.playlists);
    }

    /// Loads all its playlists at once, over and over, until each has gone on by so many segments. None may fail or fall
    /// back.
    async fn play_on(&mut self, by: u64) {
        let mut goal: Vec<Option<u64>> = vec![None; self.playlists.len()];
        let until = Instant::now() + HANGS;
        loop {
            let mut done = true;
            for (place, got) in self.refresh().await.into_iter().enumerate() {
                let (target, last) = &mut self.playlists[place];
                assert_eq!(got.status, StatusCode::OK, "{target}: {}", got.text);
                let list = m3u8_rs::parse_media_playlist_res(got.text.as_bytes()).expect("a media playlist");
                assert!(
                    list.media_sequence >= *last,
                    "{target} fell back to {} from {last}",
                    list.media_sequence
                );
                *last = list.media_sequence;
                done &= *last >= *goal[place].get_or_insert(*last + by);
            }
            if done {
                return;
            }
            assert!(Instant::now() < until, "it stands still");
            sleep(PERIOD).await;
        }
    }

    async fn refresh(&self) -> Vec<Got> {
        let mut all = JoinSet::new();
        for (place, (target, _)) in self.playlists.iter().enumerate() {
            let (player, target) = (self.clone(), target.clone());
            all.spawn(async move { (place, player.get(&target).await) });
        }
        let mut got = all.join_all().await;
        got.sort_by_key(|(place, _)| *place);
        got.into_iter().map(|(_, got)| got).collect()
    }

    /// The session whose URLs it uses.
    fn session(&self) -> &str {
        self.playlists[0].0.rsplit('/').nth(1).expect("a session")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sessions_lost_at_once_play_on() {
    const PLAYERS: usize = 100;
    let scene = Scene::new(true).await;
    let mut players = scene.playing(PLAYERS).await;
    let before = scene.sessions();
    assert_eq!(before.len(), PLAYERS);

    scene.expire("continuous").await;
    let mut on = JoinSet::new();
    for mut player in players.drain(..) {
        on.spawn(async move {
            player.play_on(4).await;
            for got in player.refresh().await {
                assert_eq!(got.headers["x-onelane-resume"], "new-session");
            }
            player
        });
    }
    let players = on.join_all().await;

    let new: HashSet<_> = scene.sessions().difference(&before).cloned().collect();
    assert_eq!(new.len(), PLAYERS, "one for each");
    for player in &players {
        assert!(before.contains(player.session()), "it never learned another address");
    }
    for id in &new {
        let session = scene.emulator.session(id).expect("it was made");
        assert_eq!(session.user_agent.as_deref(), Some("viewer/1"));
        assert_eq!(session.state, "alive");
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_continue_is_never_spliced() {
    let scene = Scene::new(true).await;
    let players = scene.playing(4).await;
    let before = scene.sessions();

    scene.expire("reset").await;
    let until = Instant::now() + Duration::from_secs(5);
    let mut rounds = 0;
    while Instant::now() < until || rounds <= 3 {
        for player in &players {
            for got in player.refresh().await {
                assert_eq!(got.status, StatusCode::NOT_FOUND, "{}", got.text);
                assert_eq!(got.headers["x-onelane-reason"], "session_lost");
                assert!(!got.headers.contains_key("x-onelane-resume") && !got.text.contains("#EXT"));
                let new = scene.sessions();
                assert!(new.difference(&before).all(|id| !got.text.contains(&**id)));
            }
        }
        rounds += 1;
        sleep(PERIOD).await;
    }
    let created = scene.sessions().len() - before.len();
    assert_eq!(created, players.len(), "one attempt each in a minute, however often they ask");

    // Whoever loads the multivariant playlist plays again, in a session of its own.
    let mut player = players[0].clone();
    let master = player.get(MASTER).await;
    player.load(MASTER, &master).await;
    player.play_on(1).await;
    assert!(!before.contains(player.session()));
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_a_body_goes_on_with_its_tracking() {
    let scene = Scene::new(true).await;
    let mut player = scene.player();
    let body = r#"{"reportingMode":"client","manifestParams":{"tok":"a b"}}"#;
    let created = player.send(Method::POST, "/v1/session/9f3c/News/out/index.m3u8", body).await;
    let created: serde_json::Value = serde_json::from_str(&created.text).expect("JSON");
    let url = |name: &str| created[name].as_str().expect("a URL").to_owned();
    let (manifest, tracking) = (url("manifestUrl"), url("trackingUrl"));
    let master = player.get(&manifest).await;
    player.load(&manifest, &master).await;
    player.play_on(2).await;
    assert!(player.session().len() == 36 && player.playlists[0].0.contains("tok=a%20b"));
    let before = scene.sessions();

    scene.expire("continuous").await;
    player.play_on(2).await;
    let tracked = player.get(&tracking).await;
    assert_eq!(tracked.status, StatusCode::OK, "{}", tracked.text);
    let new: Vec<_> = scene.sessions().difference(&before).cloned().collect();
    let [new] = &new[..] else { panic!("one new session: {new:?}") };
    let recent = scene.emulator.session(new).expect("it was made").recent;
    assert!(recent.iter().any(|request| request.target.starts_with("/v1/tracking/")), "{recent:?}");
    // Its multivariant playlist is as it was and names the new session nowhere; so does whoever loads it again play on.
    let again = player.get(&manifest).await;
    assert_eq!((again.status, &again.text), (StatusCode::OK, &master.text));
    player.load(&manifest, &again).await;
    player.play_on(1).await;
    // With another query it is another one. That is not to be had any more, and takes nothing with it.
    let another = player.get(&format!("{manifest}&another=1")).await;
    assert_eq!(another.status, StatusCode::NOT_FOUND);
    assert_eq!(another.headers["x-onelane-reason"], "not_found");
    player.play_on(1).await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_nothing_is_sent() {
    let scene = Scene::new(false).await;
    let players = scene.playing(2).await;
    let before = scene.sessions();
    scene.expire("continuous").await;
    for player in &players {
        for got in player.refresh().await {
            assert_eq!(got.status, StatusCode::NOT_FOUND);
        }
    }
    assert_eq!(scene.sessions(), before);
    scene.ends_well().await;
}
