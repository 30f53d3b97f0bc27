//! An upstream that stays busy with a session for a moment after each answer: sidecar and emulator in this process, real sockets,
//! in real time.
#![cfg(all(feature = "sidecar", feature = "emulator"))]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use onelane::{
    emulator::{Args, Emulator, Unknown},
    sidecar::{Config, Sidecar},
};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

const SESSIONS: u32 = 20;

/// The time between two bursts of one session.
const PERIOD: Duration = Duration::from_millis(500);

/// By then the gap is long enough.
const LEARNED: u32 = 8;

const BURSTS: u32 = 16;

/// Far above what anything here takes, also on a slow machine: whoever waits longer hangs.
const HANGS: Duration = Duration::from_secs(60);

type Http = Hyper<HttpConnector, Empty<Bytes>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_stays_busy_for_five_milliseconds_is_given_them() {
    conflicts_stop(Duration::from_millis(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_stays_busy_for_forty_milliseconds_is_given_them() {
    conflicts_stop(Duration::from_millis(40)).await;
}

async fn conflicts_stop(busy_after: Duration) {
    let mut args = Args::default();
    args.listen = "127.0.0.1:0".parse().expect("an address");
    args.latency = "10ms..20ms".parse().expect("a latency");
    args.busy_after = format!("{}ms", busy_after.as_millis()).parse().expect("a latency");
    args.unknown = Unknown::Adopt;
    let emulator = Emulator::bind(args).await.expect("the emulator starts");
    let upstream = format!("http://{}", emulator.local_addr()).parse().expect("an upstream");
    let mut config = Config::new(upstream);
    config.listen = "127.0.0.1:0".parse().expect("an address");
    config.admin = config.listen;
    let sidecar = Sidecar::bind(config).await.expect("the sidecar starts");
    let address = sidecar.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(sidecar.run(async { drop(stopped.await) }));

    let http = Hyper::builder(TokioExecutor::new()).build_http();
    let starts = Instant::now();
    let mut learned = emulator.stats();
    for burst in 0..BURSTS {
        if burst == LEARNED {
            learned = emulator.stats();
        }
        let mut players = JoinSet::new();
        for session in 0..SESSIONS {
            let at = starts + PERIOD * burst + PERIOD * session / SESSIONS;
            players.spawn(load(http.clone(), address, session, at));
        }
        players.join_all().await;
    }
    let stats = emulator.stats();
    let (late, of) = (stats.conflicts - learned.conflicts, stats.playlists - learned.playlists);
    println!("busy for {busy_after:?}: {} conflicts, then {late} of {of} playlists", learned.conflicts);
    assert!(learned.conflicts > 0, "there was something to learn: {stats:?}");
    // Two of three would be. On a machine that has much else to do the emulator's clock may be late for one.
    assert!(late * 100 <= of, "{stats:?}");
    assert_eq!(stats.max_in_flight, 1);

    drop(stop);
    assert!(timeout(HANGS, running).await.expect("it stops").expect("it does not panic"));
    emulator.shutdown().await;
}

/// Loads three playlists of a session at once. All are the upstream's own, from the first on.
async fn load(http: Http, sidecar: SocketAddr, session: u32, at: Instant) {
    sleep_until(at).await;
    let mut playlists = JoinSet::new();
    for n in 0..3 {
        let target = format!(
            "http://{sidecar}/v1/manifest/acct/Demo/{session:08x}-30aa-4c1e-9d0f-2a4d1f7be901/{n}.m3u8"
        );
        let asked = http.request(Request::get(target).body(Empty::new()).expect("a request"));
        playlists.spawn(async move {
            let answer = timeout(HANGS, asked).await.expect("an answer in time").expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
            assert!(!answer.headers().contains_key("x-onelane-rescue"), "{answer:?}");
            answer.into_body().collect().await.expect("a whole body");
        });
    }
    playlists.join_all().await;
}
