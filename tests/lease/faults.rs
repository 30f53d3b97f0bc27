//! What befalls the engine while viewers watch: they have their answers throughout, and turns are agreed again soon after.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    redis::Redis,
    viewers::{Fleet, Viewers},
};

/// The way to an engine: it leads to another at a word, and may swallow everything.
struct Way {
    address: SocketAddr,
    leads: watch::Sender<Option<SocketAddr>>,
}

impl Way {
    async fn to(engine: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (leads, mut seen) = watch::channel(Some(engine));
        tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    came = listener.accept() => {
                        let (mut near, _) = came.expect("a connection");
                        let mut seen = seen.clone();
                        let to = *seen.borrow_and_update();
                        open.spawn(async move {
                            let Some(to) = to else { return seen.changed().await.unwrap_or_default() };
                            let Ok(mut far) = TcpStream::connect(to).await else { return };
                            tokio::select! {
                                _ended = copy_bidirectional(&mut near, &mut far) => {}
                                // What is open stays so, and nothing comes through any more.
                                _cut = seen.changed() => seen.changed().await.unwrap_or_default(),
                            }
                        });
                    }
                    gone = seen.changed() => if gone.is_err() { return },
                }
            }
        });
        Self { address, leads }
    }

    fn lead(&self, to: Option<SocketAddr>) {
        self.leads.send_replace(to);
    }
}

/// So many answers are some seconds of them.
const SOME: usize = 120;

async fn only_playlists(fleet: &Fleet, viewers: Viewers) {
    let answers = viewers.stop().await;
    assert!(answers.keys().all(|(status, _)| *status == 200), "{answers:?}");
    fleet.agrees(true).await;
    let before = fleet.conflicts().await;
    let viewers = fleet.watch(20);
    viewers.had(SOME).await;
    let answers = viewers.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&(200, None)], "{answers:?}");
    assert_eq!(fleet.conflicts().await, before, "turns are agreed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_killed_and_comes_back_empty() {
    let mut redis = Redis::start(&[]).await;
    let fleet = Fleet::start(&["--lease", &redis.url(), "--lease-budget", "500ms"]).await;
    fleet.agrees(true).await;
    let viewers = fleet.watch(20);
    viewers.had(SOME).await;
    redis.kill().await;
    fleet.agrees(false).await;
    viewers.had(SOME).await;
    redis.again().await;
    fleet.agrees(true).await;
    assert_eq!(redis.ask(&["flushall"]).await, "OK");
    assert_eq!(redis.ask(&["script", "flush"]).await, "OK");
    viewers.had(SOME).await;
    only_playlists(&fleet, viewers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_still() {
    let redis = Redis::start(&[]).await;
    let fleet = Fleet::start(&["--lease", &redis.url(), "--lease-budget", "500ms"]).await;
    fleet.agrees(true).await;
    let viewers = fleet.watch(20);
    viewers.had(SOME).await;
    redis.signal("STOP").await;
    fleet.agrees(false).await;
    viewers.had(SOME).await;
    redis.signal("CONT").await;
    fleet.agrees(true).await;
    assert_eq!(redis.ask(&["client", "pause", "2000", "all"]).await, "OK");
    fleet.agrees(false).await;
    viewers.had(SOME).await;
    only_playlists(&fleet, viewers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_network_swallows_everything_and_then_its_replica_is_promoted() {
    let primary = Redis::start(&[]).await;
    let of = primary.address;
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &of.port().to_string()]).await;
    let way = Way::to(of).await;
    let fleet =
        Fleet::start(&["--lease", &format!("redis://{}", way.address), "--lease-budget", "500ms"]).await;
    fleet.agrees(true).await;
    let viewers = fleet.watch(20);
    viewers.had(SOME).await;
    way.lead(None);
    fleet.agrees(false).await;
    viewers.had(SOME).await;
    // A replica takes no lease.
    way.lead(Some(replica.address));
    viewers.had(SOME).await;
    fleet.agrees(false).await;
    assert_eq!(replica.ask(&["replicaof", "no", "one"]).await, "OK");
    fleet.agrees(true).await;
    only_playlists(&fleet, viewers).await;
}
