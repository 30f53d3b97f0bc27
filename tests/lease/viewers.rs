//! Three sidecars before one emulator, and viewers who load three playlists at once, each from the next sidecar or through a balancer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::redis::{HANG, free, until};

const SIDECARS: usize = 3;

/// How soon turns are to be agreed again once the engine is well.
const SOON: Duration = Duration::from_secs(5);

/// `ONELANE_LEASE_FULL=1`: as many viewers as are promised, with the defaults, of the release build that `ONELANE_BIN` names.
pub(crate) fn is_full() -> bool {
    std::env::var_os("ONELANE_LEASE_FULL").is_some_and(|set| set == "1")
}

/// How many viewers watch.
pub(crate) fn audience(viewers: u32) -> u32 {
    if is_full() { 500 } else { viewers }
}

/// How often a viewer loads its playlists.
fn refresh() -> Duration {
    Duration::from_secs(if is_full() { 2 } else { 1 })
}

pub(crate) struct Fleet {
    upstream: SocketAddr,
    pub(crate) sidecars: Vec<Sidecar>,
    client: Client<HttpConnector, Empty<Bytes>>,
    _emulator: Option<Child>,
}

pub(crate) struct Sidecar {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    _child: Child,
}

pub(crate) struct Balancer {
    pub(crate) entry: SocketAddr,
    _settings: tempfile::NamedTempFile,
    _child: Child,
}

/// Viewers at work. They go on until they are told to stop.
pub(crate) struct Viewers {
    tasks: JoinSet<()>,
    seen: Arc<Seen>,
}

/// What they saw.
#[derive(Default)]
pub(crate) struct Seen {
    stop: AtomicBool,
    next: AtomicUsize,
    /// By status, and by the reason of a rescue.
    pub(crate) answers: Mutex<BTreeMap<(u16, Option<String>), usize>>,
}

pub(crate) fn onelane(arguments: &[&str]) -> Command {
    let mut command = match is_full() {
        true => Command::new(std::env::var_os("ONELANE_BIN").expect("ONELANE_BIN names a release build")),
        false => Command::new(env!("CARGO_BIN_EXE_onelane")),
    };
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command
}

// === impl Fleet ===

impl Fleet {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::start_where(flags, |_, _| ()).await
    }

    /// With what `prepares` does to the command of each sidecar, by its number.
    pub(crate) async fn start_where(flags: &[&str], prepares: impl Fn(usize, &mut Command)) -> Self {
        let upstream = free();
        let listen = upstream.to_string();
        let emulator = onelane(&["emulate", "--listen", &listen, "--latency", "10ms..30ms"]).spawn();
        let mut fleet = Self::of(upstream, Some(emulator.expect("it starts")));
        until("the emulator answers", || fleet.get(upstream, "/__emulator/stats")).await;
        fleet.add(SIDECARS, flags, prepares).await;
        fleet
    }

    /// So many sidecars before an upstream that is not the emulator.
    pub(crate) async fn before(upstream: SocketAddr, sidecars: usize, flags: &[&str]) -> Self {
        let mut fleet = Self::of(upstream, None);
        fleet.add(sidecars, flags, |_, _| ()).await;
        fleet
    }

    fn of(upstream: SocketAddr, emulator: Option<Child>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { upstream, sidecars: Vec::new(), client, _emulator: emulator }
    }

    async fn add(&mut self, sidecars: usize, flags: &[&str], prepares: impl Fn(usize, &mut Command)) {
        for nth in 0..sidecars {
            let sidecar = Sidecar::start(self.upstream, flags, |command| prepares(nth, command));
            until("it is ready", || self.get(sidecar.admin, "/readyz")).await;
            self.sidecars.push(sidecar);
        }
    }

    pub(crate) async fn get(&self, from: SocketAddr, path: &str) -> Option<String> {
        get(&self.client, from, path).await.ok().filter(|answer| answer.0 == 200).map(|answer| answer.2)
    }

    /// How many requests met another of their session at the upstream.
    pub(crate) async fn conflicts(&self) -> u64 {
        self.counted("conflicts").await
    }

    /// How many the upstream answered with a 4xx.
    pub(crate) async fn client_errors(&self) -> u64 {
        self.counted("client_errors").await
    }

    async fn counted(&self, what: &str) -> u64 {
        let stats = self.get(self.upstream, "/__emulator/stats").await.expect("stats");
        let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
        stats[what].as_u64().expect("a number")
    }

    /// The status of a playlist of this session.
    pub(crate) async fn status(&self, from: &Sidecar, session: &str) -> u16 {
        self.load(from, &format!("/v1/manifest/acct/Demo/{session}/0.m3u8")).await
    }

    /// The status of an answer that may outlive this.
    pub(crate) fn load(&self, from: &Sidecar, path: &str) -> impl Future<Output = u16> + Send + use<> {
        let (client, from, path) = (self.client.clone(), from.listen, path.to_owned());
        async move { get(&client, from, &path).await.expect("an answer").0 }
    }

    /// The hour that one of them says it is.
    pub(crate) async fn hour(&self, of: &Sidecar) -> String {
        let request = Request::get(format!("http://{}/readyz", of.admin)).body(Empty::new());
        let answer = timeout(HANG, self.client.request(request.expect("a request")));
        let answer = answer.await.expect("it must not hang").expect("an answer");
        // Sat, 28 Nov 2026 10:33:24 GMT
        answer.headers()["date"].to_str().expect("text")[17..19].to_owned()
    }

    /// What a metric adds up to, over all sidecars.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let mut sum = 0.0;
        for sidecar in &self.sidecars {
            sum += self.level(sidecar, series).await;
        }
        sum
    }

    /// What a metric adds up to in one of them.
    pub(crate) async fn level(&self, sidecar: &Sidecar, series: &str) -> f64 {
        let text = self.get(sidecar.admin, "/metrics").await.expect("metrics");
        text.lines().filter_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok()).sum()
    }

    /// Waits until all of them agree on turns, or none does.
    pub(crate) async fn agrees(&self, up: bool) {
        let all = if up { SIDECARS as f64 } else { 0.0 };
        until(&format!("lease_up is {all}"), || async {
            (self.metric("onelane_lease_up").await == all).then_some(())
        })
        .await;
    }

    /// Waits until all of them agree on turns, after the engine has become well.
    pub(crate) async fn agrees_again(&self) {
        let well = Instant::now();
        self.agrees(true).await;
        assert!(!is_full() || well.elapsed() <= SOON, "{:?}", well.elapsed());
    }

    /// A HAProxy that knows nothing of sessions: each request goes to the next sidecar.
    pub(crate) async fn balancer(&self) -> Balancer {
        let entry = free();
        let mut text = format!(
            "defaults\n mode http\n timeout connect 1s\n timeout client 30s\n timeout server 30s\n\
             listen all\n bind {entry}\n balance roundrobin\n"
        );
        for (nth, sidecar) in self.sidecars.iter().enumerate() {
            text += &format!(" server s{nth} {}\n", sidecar.listen);
        }
        let settings = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(settings.path(), text).expect("it is written");
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(settings.path()).stdin(Stdio::null()).kill_on_drop(true);
        // Where Debian has it.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let child = command.spawn().expect("haproxy is installed (apt-get install haproxy; tests/run does)");
        until("the balancer answers", || async { TcpStream::connect(entry).await.ok() }).await;
        Balancer { entry, _settings: settings, _child: child }
    }

    /// Lets so many viewers begin, spread over one refresh.
    pub(crate) fn watch(&self, viewers: u32) -> Viewers {
        let all: Vec<_> = self.sidecars.iter().map(|sidecar| sidecar.listen).collect();
        self.watch_by(&all, viewers)
    }

    /// The same, each of whose requests goes to the next of these.
    pub(crate) fn watch_by(&self, entries: &[SocketAddr], viewers: u32) -> Viewers {
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        for nth in 0..viewers {
            let (seen, entries, client) = (Arc::clone(&seen), entries.to_vec(), self.client.clone());
            tasks.spawn(async move {
                sleep(refresh() * nth / viewers).await;
                view(&client, &entries, &seen).await;
            });
        }
        Viewers { tasks, seen }
    }
}

async fn get(
    client: &Client<HttpConnector, Empty<Bytes>>,
    from: SocketAddr,
    path: &str,
) -> Result<(u16, Option<String>, String), Box<dyn std::error::Error + Send + Sync>> {
    let request = Request::get(format!("http://{from}{path}")).body(Empty::new())?;
    let answer = timeout(HANG, client.request(request)).await??;
    let rescue = answer.headers().get("x-onelane-rescue").and_then(|why| HeaderValue::to_str(why).ok());
    let (status, rescue) = (answer.status().as_u16(), rescue.map(str::to_owned));
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, rescue, String::from_utf8_lossy(&body).into_owned()))
}

/// A session from its beginning: three playlists at once, again and again.
async fn view(client: &Client<HttpConnector, Empty<Bytes>>, entries: &[SocketAddr], seen: &Arc<Seen>) {
    let next = || entries[seen.next.fetch_add(1, Ordering::Relaxed) % entries.len()];
    let (_, _, master) = get(client, next(), "/v1/master/acct/Demo/index.m3u8").await.expect("an answer");
    let (_, rest) = master.split_once("/manifest/acct/Demo/").expect("a link");
    let session = &rest[..36];
    while !seen.stop.load(Ordering::Relaxed) {
        let mut burst = JoinSet::new();
        for playlist in 0..3 {
            let (client, from) = (client.clone(), next());
            let path = format!("/v1/manifest/acct/Demo/{session}/{playlist}.m3u8");
            burst.spawn(async move { get(&client, from, &path).await });
        }
        for answer in burst.join_all().await {
            let key = answer.map_or((0, None), |(status, rescue, _)| (status, rescue));
            *seen.answers.lock().expect("no panic").entry(key).or_default() += 1;
        }
        sleep(refresh()).await;
    }
}

// === impl Sidecar ===

impl Sidecar {
    fn start(upstream: SocketAddr, flags: &[&str], prepares: impl FnOnce(&mut Command)) -> Self {
        let (listen, admin) = (free(), free());
        let addresses = [format!("http://{upstream}"), listen.to_string(), admin.to_string()];
        let [upstream, own, looks] = &addresses;
        let all = ["serve", "--upstream", upstream, "--listen", own, "--admin", looks, "--log", "warn"];
        let mut command = onelane(&[&all, flags].concat());
        prepares(&mut command);
        let child = command.spawn().expect("it starts");
        Self { listen, admin, _child: child }
    }
}

// === impl Viewers ===

impl Viewers {
    /// Waits until they had so many more answers.
    pub(crate) async fn had(&self, more: usize) {
        let count = || self.seen.answers.lock().expect("no panic").values().sum::<usize>();
        let enough = count() + more;
        until("so many answers", || async { (count() >= enough).then_some(()) }).await;
    }

    pub(crate) async fn stop(self) -> BTreeMap<(u16, Option<String>), usize> {
        self.seen.stop.store(true, Ordering::Relaxed);
        timeout(HANG, self.tasks.join_all()).await.expect("nobody hangs");
        std::mem::take(&mut *self.seen.answers.lock().expect("no panic"))
    }
}
