use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, interval},
};

/// As many requests as a number of connections can carry, of so many sessions in turn that none is in flight twice.
pub(crate) struct Load {
    proxy: SocketAddr,
    connections: usize,
}

/// How many viewers load their playlist again and again: each finds it unchanged.
const SESSIONS: usize = 2_000;

/// Viewers that load their playlists at once, over and over.
pub(crate) struct Crowd(Vec<Vec<SendRequest<Empty<Bytes>>>>);

/// An upstream that answers every request with the same playlist after `delay`; one of 60 segments has 12 KB.
pub(crate) async fn upstream(segments: u32, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let playlist = playlist(segments);
    tokio::spawn(async move {
        loop {
            let Ok((connection, _)) = listener.accept().await else { continue };
            connection.set_nodelay(true).expect("a socket");
            let playlist = playlist.clone();
            let answer = service_fn(move |_: Request<Incoming>| {
                let playlist = playlist.clone();
                async move {
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    let response = Response::builder()
                        .header("content-type", "application/vnd.apple.mpegurl")
                        .header("x-amzn-requestid", "3f0c2b9e-54f1-4b1a-8c1e-7a2f0d9e6b55")
                        .header("cache-control", "max-age=0, no-cache, no-store")
                        .body(Full::new(playlist));
                    Ok::<_, Infallible>(response.expect("a response"))
                }
            });
            tokio::spawn(async move {
                let connection = TokioIo::new(connection);
                let _ended =
                    hyper::server::conn::http1::Builder::new().serve_connection(connection, answer).await;
            });
        }
    });
    address
}

fn playlist(segments: u32) -> Bytes {
    let mut text =
        String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:41200\n");
    for n in 0..segments {
        text.push_str(&format!("#EXTINF:6.0,\nhttps://origin.example/live/channel-7/video/1080p/segments/2026-11-22/v1_{}.ts?m=1763800000&session=0123456789abcdef0123456789abcdef&token=0123456789abcdef0123456789abcdef\n", 41_200 + n));
    }
    text.into()
}

async fn connect(to: SocketAddr) -> SendRequest<Empty<Bytes>> {
    let connection = TcpStream::connect(to).await.expect("the proxy listens");
    connection.set_nodelay(true).expect("a socket");
    let (sender, connection) = handshake(TokioIo::new(connection)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

async fn get(sender: &mut SendRequest<Empty<Bytes>>, session: usize, playlist: usize) {
    let request = Request::get(format!(
        "/v1/manifest/9f3c2b/NewsLive/{session:08x}-30aa-4c1e-9d0f-2a4d1f7be901/{playlist}.m3u8"
    ))
    .header("host", "cdn.example")
    .header(
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0",
    )
    .header("accept", "*/*")
    .header("accept-encoding", "gzip, deflate, br, zstd")
    .header("origin", "https://player.example")
    .body(Empty::new())
    .expect("a request");
    sender.ready().await.expect("the proxy keeps the connection");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(body.starts_with(b"#EXTM3U"), "the playlist comes through");
}

// === impl Load ===

impl Load {
    pub(crate) fn new(proxy: SocketAddr, connections: usize) -> Self {
        Self { proxy, connections }
    }

    /// Sends so many requests and says how long it took.
    pub(crate) async fn run(self, requests: usize) -> Duration {
        let left = Arc::new(AtomicUsize::new(requests));
        let mut all = JoinSet::new();
        let started = Instant::now();
        for _ in 0..self.connections {
            let (left, proxy) = (Arc::clone(&left), self.proxy);
            all.spawn(async move {
                let mut sender = connect(proxy).await;
                loop {
                    let n = left.fetch_sub(1, Ordering::Relaxed);
                    if n == 0 || n > usize::MAX / 2 {
                        return;
                    }
                    get(&mut sender, n % SESSIONS, 0).await;
                }
            });
        }
        all.join_all().await;
        started.elapsed()
    }
}

// === impl Crowd ===

impl Crowd {
    pub(crate) async fn connect(to: SocketAddr, viewers: usize, playlists: usize) -> Self {
        let mut crowd = Vec::with_capacity(viewers);
        for _ in 0..viewers {
            let mut connections = Vec::with_capacity(playlists);
            for _ in 0..playlists {
                connections.push(connect(to).await);
            }
            crowd.push(connections);
        }
        Self(crowd)
    }

    /// Every viewer loads all its playlists at once, spread over the period, and again. Gives the most that
    /// `look` saw after a round.
    pub(crate) async fn refresh(mut self, rounds: usize, period: Duration, look: impl Fn() -> f64) -> f64 {
        let mut most = look();
        let step = period / u32::try_from(self.0.len()).expect("not that many viewers");
        for _ in 0..rounds {
            let mut pace = interval(step);
            let mut loading = JoinSet::new();
            for (session, connections) in self.0.drain(..).enumerate() {
                pace.tick().await;
                loading.spawn(async move {
                    let loads = connections.into_iter().enumerate().map(|(playlist, mut sender)| {
                        tokio::spawn(async move {
                            get(&mut sender, session, playlist).await;
                            sender
                        })
                    });
                    let mut connections = Vec::new();
                    for load in loads.collect::<Vec<_>>() {
                        connections.push(load.await.expect("a load"));
                    }
                    connections
                });
            }
            self.0 = loading.join_all().await;
            most = most.max(look());
        }
        most
    }
}
