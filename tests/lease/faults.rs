//! What befalls the engine while viewers watch: they have their answers throughout, and turns are agreed again soon after.

use std::{net::SocketAddr, path::Path};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    process::Command,
    sync::watch,
    task::JoinSet,
};

use crate::{
    redis::Redis,
    viewers::{Fleet, Viewers, audience, is_full},
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

/// A sidecar of its own clock, that is as much off as the file says: `+3600`.
fn with_clock(command: &mut Command, file: &Path) {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).exists(), "{library}: apt-get install faketime (tests/run does)");
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file);
    // The file is read with each look at the clock, and timers go on as they do when a clock is set.
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// Three sidecars and their viewers, who have had their first answers.
async fn watched(lease: &str) -> (Fleet, Viewers) {
    watched_where(lease, |_, _| ()).await
}

async fn watched_where(lease: &str, prepares: impl Fn(usize, &mut Command)) -> (Fleet, Viewers) {
    // However busy the machine is, but where it is to do with what is promised.
    let budget: &[&str] = if is_full() { &[] } else { &["--lease-budget", "500ms"] };
    let fleet = Fleet::start_where(&[&["--lease", lease], budget].concat(), prepares).await;
    fleet.agrees(true).await;
    let viewers = fleet.watch(audience(20));
    viewers.had(some()).await;
    (fleet, viewers)
}

/// So many answers are some seconds of them.
fn some() -> usize {
    audience(20) as usize * 6
}

async fn only_playlists(fleet: &Fleet, viewers: Viewers) {
    let answers = viewers.stop().await;
    assert!(answers.keys().all(|(status, _)| *status == 200), "{answers:?}");
    fleet.agrees_again().await;
    let bypassed = "onelane_leases_total{result=\"bypassed\"}";
    let counts = async || (fleet.conflicts().await as f64, fleet.metric(bypassed).await);
    let before = counts().await;
    let viewers = fleet.watch(audience(20));
    viewers.had(some()).await;
    let answers = viewers.stop().await;
    let after = counts().await;
    // On a busy machine a call may take longer than the default budget: only then may two meet.
    let excused = if is_full() { after.1 - before.1 } else { 0.0 };
    assert!(after.0 - before.0 <= excused, "turns are agreed again: {before:?}, {after:?}");
    let is_as_ever =
        |(status, rescue): &(u16, Option<String>)| *status == 200 && (excused > 0.0 || rescue.is_none());
    assert!(answers.keys().all(is_as_ever), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_killed_and_comes_back_empty() {
    let mut redis = Redis::start(&[]).await;
    let (fleet, viewers) = watched(&redis.url()).await;
    redis.kill().await;
    fleet.agrees(false).await;
    viewers.had(some()).await;
    redis.again().await;
    fleet.agrees_again().await;
    assert_eq!(redis.ask(&["flushall"]).await, "OK");
    assert_eq!(redis.ask(&["script", "flush"]).await, "OK");
    viewers.had(some()).await;
    only_playlists(&fleet, viewers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_still() {
    let redis = Redis::start(&[]).await;
    let (fleet, viewers) = watched(&redis.url()).await;
    redis.signal("STOP").await;
    fleet.agrees(false).await;
    viewers.had(some()).await;
    redis.signal("CONT").await;
    fleet.agrees_again().await;
    assert_eq!(redis.ask(&["client", "pause", "2000", "all"]).await, "OK");
    fleet.agrees(false).await;
    viewers.had(some()).await;
    only_playlists(&fleet, viewers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_network_swallows_everything_and_then_its_replica_is_promoted() {
    let primary = Redis::start(&[]).await;
    let of = primary.address;
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &of.port().to_string()]).await;
    let way = Way::to(of).await;
    let (fleet, viewers) = watched(&format!("redis://{}", way.address)).await;
    way.lead(None);
    fleet.agrees(false).await;
    viewers.had(some()).await;
    // A replica takes no lease.
    way.lead(Some(replica.address));
    viewers.had(some()).await;
    fleet.agrees(false).await;
    assert_eq!(replica.ask(&["replicaof", "no", "one"]).await, "OK");
    fleet.agrees_again().await;
    only_playlists(&fleet, viewers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_full() {
    let redis = Redis::start(&[]).await;
    let (fleet, viewers) = watched(&redis.url()).await;
    assert_eq!(redis.ask(&["config", "set", "maxmemory", "1"]).await, "OK");
    fleet.agrees(false).await;
    viewers.had(some()).await;
    fleet.agrees(false).await;
    assert_eq!(redis.ask(&["config", "set", "maxmemory", "0"]).await, "OK");
    fleet.agrees_again().await;
    only_playlists(&fleet, viewers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_one_of_those_who_ask_is_set() {
    let redis = Redis::start(&[]).await;
    let clock = tempfile::NamedTempFile::new().expect("a file");
    let set = |to: &str| std::fs::write(clock.path(), to).expect("it is written");
    set("+0");
    let (fleet, viewers) = watched_where(&redis.url(), |nth, command| {
        if nth == 0 {
            with_clock(command, clock.path());
        }
    })
    .await;
    for to in ["+3600", "-3600", "+0"] {
        set(to);
        viewers.had(some()).await;
        if to == "+3600" {
            let [set, other, ..] = fleet.sidecars.as_slice() else { panic!("there are some") };
            // It has no use for the time of day, but to tell it.
            assert_ne!(fleet.hour(set).await, fleet.hour(other).await, "its clock is as it was");
        }
        fleet.agrees(true).await;
    }
    assert_eq!(fleet.metric("onelane_leases_lost_total").await, 0.0);
    only_playlists(&fleet, viewers).await;
}
