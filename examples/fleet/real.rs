use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{balancer::Balancer, dice::Dice, flags::Happening, tally::Tally, world::Run};

/// Processes of `onelane`, ended when this is dropped.
struct Processes(Vec<Child>);

/// The players, who choose their process themselves: as a balancer would that has no idea of its own.
struct Players {
    http: Client<HttpConnector, Empty<Bytes>>,
    homes: Vec<SocketAddr>,
    run: Run,
    /// The balancer, its dice and what was counted.
    state: Mutex<(Balancer, Dice, Tally)>,
    begins: Instant,
}

/// The longest that a process may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);

/// Does a run for real: `onelane emulate`, as many `onelane serve`, and players over sockets of this machine.
pub(crate) fn act(binary: &Path, serve: &[String], run: &Run) -> io::Result<Tally> {
    tokio::runtime::Runtime::new()?.block_on(play(binary, serve, run))
}

async fn play(binary: &Path, serve: &[String], run: &Run) -> io::Result<Tally> {
    let mut processes = Processes(Vec::new());
    let crowd = &run.crowd;
    let emulator = free().await?;
    let mut command = Command::new(binary);
    command.args(["emulate", "--unknown", "adopt", "--conflict", "reject", "--expire-after", "0s"]);
    command.args(["--variants", &crowd.playlists.to_string(), "--listen", &emulator.to_string()]);
    command.args(["--latency", &crowd.latency.to_string(), "--busy-after", &crowd.busy_after.to_string()]);
    command.args(["--slow-every", &crowd.slow_every.to_string(), "--slow-for", &crowd.slow_for.to_string()]);
    processes.start(command, emulator).await?;
    let mut homes = Vec::new();
    for _ in 0..run.instances {
        let (listen, admin) = (free().await?, free().await?);
        let mut command = Command::new(binary);
        command.args(["serve", "--upstream", &format!("http://{emulator}"), "--log", "error"]);
        command.args(["--listen", &listen.to_string(), "--admin", &admin.to_string()]).args(serve);
        processes.start(command, listen).await?;
        homes.push(listen);
    }

    let refreshes = run.refreshes();
    let begins = Instant::now() + Duration::from_millis(100);
    let state = (Balancer::new(run.instances), Dice::new(run.seed), Tally::new(0));
    let http = Client::builder(TokioExecutor::new()).build_http();
    let players = Arc::new(Players { http, homes, run: run.clone(), state: Mutex::new(state), begins });
    let mut all = JoinSet::new();
    for session in 0..run.sessions {
        all.spawn(Arc::clone(&players).play(session, refreshes));
    }
    // What the first refresh makes of it is not counted, as in a simulation.
    sleep_until(begins + crowd.refresh).await;
    let before = players.conflicts(emulator).await?;
    if run.happening == Happening::Lost {
        sleep_until(begins + crowd.refresh.mul_f64(2.5)).await;
        // The emulator is the first.
        processes.0[1].kill()?;
    }
    all.join_all().await;
    let after = players.conflicts(emulator).await?;
    let mut tally = players.state.lock().unwrap_or_else(PoisonError::into_inner).2.clone();
    tally.conflicts = after.saturating_sub(before);
    Ok(tally)
}

async fn free() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").await?.local_addr()
}

// === impl Processes ===

impl Processes {
    async fn start(&mut self, mut command: Command, listens: SocketAddr) -> io::Result<()> {
        self.0.push(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?);
        let until = Instant::now() + LISTENS_WITHIN;
        while let Err(error) = TcpStream::connect(listens).await {
            if Instant::now() > until {
                return Err(error);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ended = process.kill();
            let _ended = process.wait();
        }
    }
}

// === impl Players ===

impl Players {
    async fn play(self: Arc<Self>, session: u32, refreshes: u64) {
        let (seed, refresh) = (self.run.seed, self.run.crowd.refresh);
        let id = format!("{session:08x}-30aa-4c1e-9d0f-2a4d1f7be901");
        let phase = Dice::of(seed, session, u64::MAX).below(refresh.as_micros() as u64);
        let mut loads = JoinSet::new();
        for nth in 0..=refreshes {
            let at = self.begins + Duration::from_micros(phase) + refresh * nth as u32;
            sleep_until(at).await;
            for playlist in 0..self.run.crowd.playlists {
                let burst = self.run.crowd.burst.as_micros() as u64;
                let later = if playlist == 0 || burst == 0 { 0 } else { self.dice(|dice| dice.below(burst)) };
                let (this, path) = (Arc::clone(&self), format!("/v1/manifest/acct/Cfg/{id}/{playlist}.m3u8"));
                loads.spawn(async move {
                    sleep_until(at + Duration::from_micros(later)).await;
                    this.load(session, &path, at >= this.begins + refresh).await;
                });
            }
        }
        loads.join_all().await;
    }

    async fn load(&self, session: u32, path: &str, counts: bool) {
        let asked = Instant::now();
        let own = loop {
            let Some(home) = self.choose(session) else { break false };
            let uri: Uri = format!("http://{}{path}", self.homes[usize::from(home)]).parse().expect("a URL");
            match self.http.get(uri).await {
                Ok(answer) => {
                    let own =
                        answer.status().is_success() && !answer.headers().contains_key("x-onelane-rescue");
                    if answer.into_body().collect().await.is_ok() {
                        break own;
                    }
                }
                // A kept connection may have been closed meanwhile; a process that was killed refuses the next one.
                Err(error) if error.is_connect() => self.state().0.shun(home),
                Err(_) => {}
            }
            sleep(Duration::from_millis(1)).await;
        };
        if counts {
            let tally = &mut self.state().2;
            tally.requests += 1;
            match own {
                true => tally.took += asked.elapsed().as_micros() as u64,
                false => tally.lost += 1,
            }
        }
    }

    fn choose(&self, session: u32) -> Option<u8> {
        let (balancer, dice, _) = &mut *self.state();
        match self.run.way.routed() {
            true => balancer.home(session),
            false => balancer.next(self.run.crowd.spread, dice),
        }
    }

    fn dice<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.state().1)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, (Balancer, Dice, Tally)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The emulator's count.
    async fn conflicts(&self, emulator: SocketAddr) -> io::Result<u64> {
        let uri: Uri = format!("http://{emulator}/__emulator/stats").parse().expect("a URL");
        let answer = self.http.get(uri).await.map_err(io::Error::other)?;
        let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let stats: serde_json::Value = serde_json::from_slice(&body)?;
        stats["conflicts"].as_u64().ok_or_else(|| io::Error::other("the emulator counts no conflicts"))
    }
}
