//! A crowd of impatient players over real sockets: sidecar and emulator in this process, in real time.
#![cfg(all(feature = "sidecar", feature = "emulator"))]

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use onelane::{
    emulator::{Args, Conflict, Emulator, RequestReport},
    sidecar::{Config, Sidecar},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

const SESSIONS: u64 = 200;

const PERIOD: Duration = Duration::from_millis(500);

const LASTS: Duration = Duration::from_secs(20);

/// The least that the emulator takes for a playlist.
const AT_LEAST: Duration = Duration::from_millis(10);

/// Far above what anything here takes, also on a slow machine: whoever waits longer hangs.
const HANGS: Duration = Duration::from_secs(60);

/// One viewer.
struct Player {
    sidecar: SocketAddr,
    http: Hyper<HttpConnector, Empty<Bytes>>,
    session: u64,
    dice: SmallRng,
    seen: Seen,
}

/// What one player did and saw.
#[derive(Default)]
struct Seen {
    /// Requests that it waited for; each was a 200.
    kept: u64,
    /// Requests that it gave up, the first of their session in line.
    abandoned: u64,
    left: Vec<Left>,
}

/// A request that was given up, most of them while they waited.
struct Left {
    target: String,
    /// When its connection was closed in return: the sidecar knows.
    noticed: Instant,
}

/// The emulator's clock, by a moment just before its start.
#[derive(Clone, Copy)]
struct Clock(Instant);

#[tokio::test(flavor = "multi_thread")]
async fn lanes_hold_against_a_lock() {
    crowd(Conflict::Reject, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_hold_against_an_optimistic_record() {
    crowd(Conflict::Optimistic, true).await;
}

async fn crowd(conflict: Conflict, http2: bool) {
    let mut args = Args::default();
    args.listen = "127.0.0.1:0".parse().expect("an address");
    args.latency = "10ms..30ms".parse().expect("a latency");
    args.unknown = onelane::emulator::Unknown::Adopt;
    args.conflict = conflict;
    args.trace = 4096;
    args.seed = Some(7);
    let clock = Clock(Instant::now());
    let emulator = Emulator::bind(args).await.expect("the emulator starts");

    let upstream = format!("http://{}", emulator.local_addr()).parse().expect("an upstream");
    let mut config = Config::new(upstream);
    config.listen = "127.0.0.1:0".parse().expect("an address");
    config.admin = config.listen;
    // A slow machine is no conflict.
    config.answer_within = HANGS;
    config.max_hold = HANGS;
    let sidecar = Sidecar::bind(config).await.expect("the sidecar starts");
    let (address, layer) = (sidecar.local_addr(), sidecar.layer().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(sidecar.run(async { drop(stopped.await) }));

    let mut client = Hyper::builder(TokioExecutor::new());
    let http = client.http2_only(http2).build_http();
    let starts = Instant::now();
    let mut players = JoinSet::new();
    for session in 0..SESSIONS {
        let dice = SmallRng::seed_from_u64(session);
        let player = Player { sidecar: address, http: http.clone(), session, dice, seen: Seen::default() };
        players.spawn(player.play(starts + PERIOD.mul_f64(session as f64 / SESSIONS as f64), starts + LASTS));
    }
    let seen = players.join_all().await;

    timeout(HANGS, layer.drained()).await.expect("every exchange ends");
    assert!(layer.lanes().is_empty() && layer.lanes().waiting() == 0, "{:?}", layer.lanes());
    assert_eq!(layer.exchanges(), 0);
    let stats = emulator.stats();
    assert_eq!((stats.max_in_flight, stats.conflicts, stats.in_flight), (1, 0, 0), "{stats:?}");
    assert_eq!(stats.abandoned, 0, "what is sent runs to its end: {stats:?}");

    let (mut unsent, mut left, mut given_up, mut kept) = (0, 0, 0, 0);
    for (session, seen) in (0..).zip(seen) {
        let report = emulator.session(&id(session)).expect("every session was seen");
        assert!(report.max_in_flight == 1 && report.recent.len() < 4096, "{session}");
        unsent += never_sent(clock, &report.recent, &seen.left);
        left += seen.left.len();
        given_up += seen.abandoned;
        kept += seen.kept;
    }
    let all = kept + given_up + left as u64;
    println!(
        "{all} requests, {given_up} given up in flight, {left} behind others, {unsent} of them never sent"
    );
    assert!(kept > SESSIONS && given_up * 8 > all && left as u64 * 16 > all, "the crowd is impatient");
    assert!(unsent * 10 > left, "those that left while they waited are not sent: {unsent} of {left}");

    drop(stop);
    assert!(timeout(HANGS, running).await.expect("it stops").expect("it does not panic"));
    emulator.shutdown().await;
}

/// Counts the requests that were given up and never sent: they left while they waited. Those that were sent must
/// have been in flight before it was known that their player had left.
///
/// A session has one exchange in flight, so what was sent was sent after the end of the one before it. If it was
/// known before that end, it was sent to nobody.
fn never_sent(clock: Clock, recent: &[RequestReport], left: &[Left]) -> usize {
    let places: HashMap<_, _> = (0..).zip(recent).map(|(n, request)| (&*request.target, n)).collect();
    let sent = |left: &&Left| places.get(&*left.target).copied();
    for (left, place) in left.iter().filter_map(|left| Some((left, sent(&left)?))) {
        let Some(before) = recent[..place].last() else { continue };
        assert!(left.noticed >= clock.ends_after(before), "{} was sent to nobody", left.target);
    }
    left.iter().filter(|left| sent(left).is_none()).count()
}

fn id(session: u64) -> String {
    format!("{session:08x}-30aa-4c1e-9d0f-2a4d1f7be901")
}

// === impl Clock ===

impl Clock {
    /// A moment at which a request was certainly still in flight: it had come, and its least time was not over.
    fn ends_after(self, request: &RequestReport) -> Instant {
        self.0 + Duration::from_millis(request.at_ms) + AT_LEAST
    }
}

// === impl Player ===

impl Player {
    async fn play(mut self, mut round: Instant, until: Instant) -> Seen {
        let mut n = 0;
        while round < until {
            sleep_until(round).await;
            self.refresh(n).await;
            n += 1;
            round = Instant::now().max(round + PERIOD);
        }
        self.seen
    }

    /// Three playlists at once: of the first three in five are given up in flight, of the others three in twenty
    /// while they wait. Every other time their URLs are the same as ever, so that repeats attach.
    async fn refresh(&mut self, n: u64) {
        let target = |playlist: u64, unique: bool| {
            let query = if unique { format!("?n={n}.{playlist}") } else { String::new() };
            format!("/v1/manifest/acct/Demo/{}/{playlist}.m3u8{query}", id(self.session))
        };
        let unique = n.is_multiple_of(2);
        let mut moment = |most| Duration::from_micros(self.dice.random_range(500..most));
        let give_up = moment(9_000);
        let leave = [moment(8_000), moment(8_000)];
        let gives_up = self.dice.random_bool(0.6);
        let leaves = [self.dice.random_bool(0.15), self.dice.random_bool(0.15)];
        let switches = self.dice.random_bool(0.5);

        let first = async {
            if !gives_up {
                self.get(&target(0, unique)).await;
                return (1, 0);
            }
            let given_up = timeout(give_up, self.get(&target(0, unique))).await.is_err();
            // The same anew, or another variant.
            self.get(&target(if switches { 3 } else { 0 }, unique)).await;
            if given_up { (1, 1) } else { (2, 0) }
        };
        let other = async |playlist: u64| {
            let place = playlist as usize - 1;
            if leaves[place] {
                return self.leave(target(playlist, true), leave[place]).await;
            }
            self.get(&target(playlist, unique)).await;
            None
        };
        let ((kept, given_up), one, two) = tokio::join!(first, other(1), other(2));
        self.seen.abandoned += given_up;
        self.seen.kept += kept + leaves.iter().filter(|leaves| !**leaves).count() as u64;
        self.seen.left.extend(one.into_iter().chain(two));
    }

    /// Loads a playlist, which must be a 200.
    async fn get(&self, target: &str) {
        let request =
            Request::get(format!("http://{}{target}", self.sidecar)).body(Empty::new()).expect("a request");
        let exchange = async {
            let (head, body) = self.http.request(request).await.expect("an answer").into_parts();
            (head.status, body.collect().await.expect("all of it").to_bytes())
        };
        let (status, body) = timeout(HANGS, exchange).await.expect("nothing hangs");
        assert_eq!(status, StatusCode::OK, "{target}");
        assert!(body.starts_with(b"#EXTM3U"), "{target}");
    }

    /// Asks and goes away, and waits until the sidecar has closed the connection in return: from then on it
    /// knows. `None` if the answer was faster.
    async fn leave(&self, target: String, after: Duration) -> Option<Left> {
        let mut socket = TcpStream::connect(self.sidecar).await.expect("the sidecar listens");
        let request = format!("GET {target} HTTP/1.1\r\nhost: cdn.example\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("it is read");
        sleep(after).await;
        socket.shutdown().await.expect("a socket");
        let mut answer = Vec::new();
        let end = timeout(HANGS, socket.read_to_end(&mut answer)).await.expect("nothing hangs");
        let noticed = Instant::now();
        (end.is_ok() && answer.is_empty()).then_some(Left { target, noticed })
    }
}
