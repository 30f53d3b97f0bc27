//! Several requests of one session on each of two sidecars: whose turn is when, at an upstream that is the test.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use onelane::{lease::LeaseId, session::SessionId};
use tokio::{
    net::TcpListener,
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::JoinSet,
    time::timeout,
};

use crate::{
    redis::{HANG, Redis, until},
    viewers::Fleet,
};

const SESSION: &str = "6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901";
const PLAYLIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n";

/// An upstream that tells of each request as it comes, and answers as many as it is let.
struct Upstream {
    address: SocketAddr,
    came: UnboundedReceiver<String>,
    answers: Arc<Semaphore>,
}

async fn answer(
    request: Request<Incoming>,
    came: UnboundedSender<String>,
    answers: Arc<Semaphore>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _gone = came.send(request.uri().path().to_owned());
    answers.acquire().await.expect("it is never closed").forget();
    let answer = Response::builder().header("content-type", "application/vnd.apple.mpegurl");
    Ok(answer.body(Full::from(PLAYLIST)).expect("an answer"))
}

// === impl Upstream ===

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tells, came) = unbounded_channel();
        let answers = Arc::new(Semaphore::new(0));
        let held = Arc::clone(&answers);
        tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let (tells, held) = (tells.clone(), Arc::clone(&held));
                let service = service_fn(move |request| answer(request, tells.clone(), Arc::clone(&held)));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                open.spawn(serving);
            }
        });
        Self { address, came, answers }
    }

    async fn next(&mut self) -> String {
        timeout(HANG, self.came.recv()).await.expect("one is sent").expect("it listens")
    }
}

/// Neither waits for longer than the one turn that the other has in between, whatever the other has waiting.
#[tokio::test(flavor = "multi_thread")]
async fn instances_take_turns_and_each_keeps_the_order_in_which_its_requests_came() {
    let redis = Redis::start(&[]).await;
    let mut upstream = Upstream::start().await;
    let flags =
        ["--lease", &redis.url(), "--lease-required", "--lease-budget", "2s", "--answer-within", "19s"];
    let fleet = Fleet::before(upstream.address, 2, &[&flags[..], &["--max-hold", "20s"]].concat()).await;
    let path = |instance: usize, nth: u32| format!("/v1/manifest/acct/Demo/{SESSION}/{instance}{nth}.m3u8");

    let id = SessionId::parse(SESSION).expect("an id");
    let line = format!("onelane:{{{}}}line", LeaseId::of(&id));
    let is_in_line = || async { (redis.ask(&["llen", &line]).await == "1").then_some(()) };

    let (mut answers, mut order) = (JoinSet::new(), Vec::new());
    for (instance, sidecar) in fleet.sidecars.iter().enumerate() {
        for nth in 0..4_u32 {
            answers.spawn(fleet.load(sidecar, &path(instance, nth)));
            match (instance, nth) {
                (0, 0) => order.push(upstream.next().await),
                (_, 0) => until("it is in line", is_in_line).await,
                (_, behind) => {
                    let waits = || async {
                        (fleet.level(sidecar, "onelane_waiting").await == f64::from(behind)).then_some(())
                    };
                    until("it waits", waits).await;
                }
            }
        }
    }
    while order.len() < 8 {
        // The head of the other's lane is in line before this turn ends: as long as both have some, and one of them has its turn.
        if order.len() < 7 {
            until("the other is in line", is_in_line).await;
        }
        upstream.answers.add_permits(1);
        order.push(upstream.next().await);
        assert!(upstream.came.try_recv().is_err(), "two in flight: {order:?}");
    }
    upstream.answers.add_permits(1);
    let all_in_turn: Vec<_> = (0..4).flat_map(|nth| [path(0, nth), path(1, nth)]).collect();
    assert_eq!(order, all_in_turn);
    assert!(answers.join_all().await.iter().all(|status| *status == 200));
}
