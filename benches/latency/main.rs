//! What a lane adds to a player's wait, over loopback, with a MediaTailor that takes 20 ms.
//!
//! `cargo bench --bench latency`; with `--features redis` also what a lease adds that nobody else wants, by a
//! `redis-server` of its own. The emulator and the sidecar are processes of their own. The measurements take
//! turns, round after round, so that a ratio compares what the machine did to both in the same minute; the table
//! shows medians over the rounds. A timer of 20 ms takes a millisecond more, so "one after the other" as measured
//! is what to compare with, not 20, 40 and 60 ms.

mod line;

use std::{
    fmt::Write as _,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use line::Line;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// How often each measurement has its turn; the first round warms up.
const ROUNDS: usize = 5;

/// Sessions that refresh side by side, spread over the period.
const SESSIONS: u64 = 50;

/// Refreshes of each session in one turn.
const REFRESHES: u32 = 12;

const ONELANE: &str = env!("CARGO_BIN_EXE_onelane");

const PERIOD: Duration = Duration::from_millis(500);

/// A process that listens, ended when this is dropped.
struct Process(Child);

/// How a player loads its three playlists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Each after the last: what MediaTailor asks of players.
    InTurn,
    AtOnce,
    /// At once, and a fifth of the requests is given up after 0 to 15 ms and sent anew.
    AtOnceAbandoning,
    /// One alone.
    One,
}

/// What one turn of a measurement saw, in milliseconds.
#[derive(Default)]
struct Seen {
    /// Of each refresh, when its first, second and third playlist were there.
    places: [Vec<f64>; 3],
    /// Of each request that was answered.
    each: Vec<f64>,
    abandoned: u32,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let emulator = free_port().await;
    let listen = emulator.to_string();
    let emulate = ["emulate", "--latency", "20ms", "--unknown", "adopt", "--listen", &listen];
    let _emulator = Process::start(emulator, ONELANE, &emulate).await;
    let (sidecar, _sidecar) = sidecar_of(emulator, &[]).await;
    let mut turns = vec![
        (emulator, Habit::One),
        (sidecar, Habit::One),
        (emulator, Habit::InTurn),
        (sidecar, Habit::AtOnce),
        (sidecar, Habit::AtOnceAbandoning),
    ];
    let leasing = if cfg!(feature = "redis") { Some(leasing(emulator).await) } else { None };
    turns.extend(leasing.iter().map(|(to, _)| (*to, Habit::One)));
    let mut rounds: Vec<Vec<Seen>> = Vec::new();
    for round in 0..=ROUNDS {
        let mut seen = Vec::new();
        for (n, &(to, habit)) in turns.iter().enumerate() {
            seen.push(crowd(to, habit, (round * turns.len() + n) as u64).await);
        }
        if round > 0 {
            rounds.push(seen);
        }
    }
    report(&mut rounds);
}

async fn sidecar_of(upstream: SocketAddr, flags: &[&str]) -> (SocketAddr, Process) {
    let sidecar = free_port().await;
    let addresses = [format!("http://{upstream}"), sidecar.to_string(), free_port().await.to_string()];
    let [upstream, listen, admin] = addresses.each_ref().map(String::as_str);
    let serve = ["serve", "--upstream", upstream, "--listen", listen, "--admin", admin];
    (sidecar, Process::start(sidecar, ONELANE, &[&serve, flags].concat()).await)
}

/// One that asks a Redis for each turn, and both of them.
async fn leasing(upstream: SocketAddr) -> (SocketAddr, [Process; 2]) {
    let redis = free_port().await;
    let port = redis.port().to_string();
    let engine =
        Process::start(redis, "redis-server", &["--port", &port, "--save", "", "--bind", "127.0.0.1"]).await;
    let (sidecar, process) =
        sidecar_of(upstream, &["--lease-required", "--lease", &format!("redis://{redis}")]).await;
    (sidecar, [engine, process])
}

fn report(rounds: &mut [Vec<Seen>]) {
    let leases = rounds[0].len() > 5;
    let mut over_rounds = |of: &mut dyn FnMut(&mut Vec<Seen>) -> f64| {
        let mut values: Vec<f64> = rounds.iter_mut().map(of).collect();
        percentile(&mut values, 50.0)
    };
    let mut text = format!(
        "latency: medians of {ROUNDS} rounds, {SESSIONS} sessions, {REFRESHES} refreshes each, 20 ms upstream\n"
    );
    let mut line = |what: &str, than: f64, is: f64| {
        let _ = writeln!(text, "  {what:<44} {than:>8.2} ms {is:>8.2} ms  x {:.3}", is / than);
    };
    let one = over_rounds(&mut |seen| percentile(&mut seen[0].each, 50.0));
    let added =
        over_rounds(&mut |seen| percentile(&mut seen[1].each, 50.0) - percentile(&mut seen[0].each, 50.0));
    line("one alone, p50: direct | sidecar", one, one + added);
    if leases {
        let leased = over_rounds(&mut |seen| {
            percentile(&mut seen[5].each, 50.0) - percentile(&mut seen[1].each, 50.0)
        });
        line("one alone, p50: sidecar | with a lease", one + added, one + added + leased);
    }
    for (place, name) in ["first", "second", "third"].into_iter().enumerate() {
        let [than, is] =
            [2, 3].map(|n| over_rounds(&mut |seen| percentile(&mut seen[n].places[place], 50.0)));
        line(&format!("{name} of three, p50: in turn, direct | at once"), than, is);
    }
    for percent in [50.0, 90.0, 99.0] {
        let [than, is] = [3, 4].map(|n| over_rounds(&mut |seen| percentile(&mut seen[n].each, percent)));
        line(&format!("at once, p{percent}: no abandons | 20 % abandons"), than, is);
    }
    let (abandoned, all) = rounds.iter().fold((0, 0), |(abandoned, all), seen| {
        (abandoned + seen[4].abandoned as usize, all + seen[4].each.len())
    });
    let share = 100.0 * abandoned as f64 / all as f64;
    println!("{text}  added p50 of one alone {added:.3} ms; {share:.1} % of the loads were given up once");
}

/// All sessions of one turn. Their numbers are their own, so that nothing is left from the turn before.
async fn crowd(to: SocketAddr, habit: Habit, turn: u64) -> Seen {
    let started = Instant::now() + Duration::from_millis(50);
    let mut sessions = JoinSet::new();
    for n in 0..SESSIONS {
        let starts = started + PERIOD.mul_f64(n as f64 / SESSIONS as f64);
        sessions.spawn(session(to, habit, turn * SESSIONS + n, starts));
    }
    let mut all = Seen::default();
    while let Some(seen) = sessions.join_next().await {
        let seen = seen.expect("a session plays to its end");
        all.each.extend(seen.each);
        all.abandoned += seen.abandoned;
        for (all, seen) in all.places.iter_mut().zip(seen.places) {
            all.extend(seen);
        }
    }
    all
}

async fn session(to: SocketAddr, habit: Habit, number: u64, mut round: Instant) -> Seen {
    let mut lines = [0, 1, 2].map(|_| Line { to, sender: None });
    let mut dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut seen = Seen::default();
    for refresh in 0..REFRESHES {
        sleep_until(round).await;
        round += PERIOD;
        // None is abandoned in the first: connections are made there, and it is not counted.
        let mut fate =
            || (habit == Habit::AtOnceAbandoning && refresh > 0).then(|| abandons(&mut dice)).flatten();
        let fates = [fate(), fate(), fate()];
        let began = Instant::now();
        let [one, two, three] = &mut lines;
        let mut came = Vec::with_capacity(3);
        match habit {
            Habit::One => came.push(one.load(number, 0, None, began).await),
            Habit::InTurn => {
                for (playlist, line) in [one, two, three].into_iter().enumerate() {
                    came.push(line.load(number, playlist, None, began).await);
                }
            }
            Habit::AtOnce | Habit::AtOnceAbandoning => {
                came.extend(<[_; 3]>::from(tokio::join!(
                    one.load(number, 0, fates[0], began),
                    two.load(number, 1, fates[1], began),
                    three.load(number, 2, fates[2], began),
                )));
            }
        }
        if refresh == 0 {
            continue;
        }
        seen.abandoned += fates.iter().flatten().count() as u32;
        seen.each.extend(came.iter().map(|(own, _)| *own));
        let mut at: Vec<f64> = came.into_iter().map(|(_, at)| at).collect();
        at.sort_by(f64::total_cmp);
        at.into_iter().zip(&mut seen.places).for_each(|(at, place)| place.push(at));
    }
    seen
}

/// When a request is given up, if it is one of the fifth that are: xorshift, so that every run is alike.
fn abandons(dice: &mut u64) -> Option<Duration> {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    dice.is_multiple_of(5).then(|| Duration::from_micros((*dice >> 16) % 15_000))
}

async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address")
}

fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * percent / 100.0).round() as usize]
}

// === impl Process ===

impl Process {
    async fn start(listens: SocketAddr, program: &str, arguments: &[&str]) -> Self {
        let process = Command::new(program).args(arguments).stdout(Stdio::null()).spawn();
        let process = Self(process.unwrap_or_else(|error| panic!("{program}: {error}")));
        while TcpStream::connect(listens).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}
