use std::{
    error::Error as StdError,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;
use tokio::{sync::oneshot, task::JoinSet, time::Instant};

use super::{
    args::Args,
    client::Client,
    player::{Player, REFRESH},
    progress::Progress,
};
use crate::{
    emulator::{self, Emulator},
    sidecar::{Config, Sidecar},
};

/// How players reach the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    Onelane,
}

/// What came of one side.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Side {
    /// Requests that players sent.
    pub(super) requests: u64,
    /// What they got: 200, 409, or another status or none.
    pub(super) ok: u64,
    pub(super) conflicts: u64,
    pub(super) other_failures: u64,
    /// Requests that players gave up.
    pub(super) abandoned: u64,
    /// 409s that the emulator made, those among them that nobody waited for.
    pub(super) conflicts_upstream: u64,
    /// The most playlists that any one session had in flight at the emulator.
    pub(super) max_in_flight: u32,
    /// Of the 200s, to the last byte, as players saw them.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Players had no connection because too many files were open.
    pub(super) out_of_files: bool,
}

/// Any port of the loopback.
pub(super) const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

// === impl Way ===

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Onelane => "through onelane",
        }
    }
}

// === impl Side ===

impl Side {
    /// Plays one side, with an emulator of its own, from the first session to the last answer.
    pub(super) async fn run(way: Way, args: &Args, seed: u64) -> Result<Self, Box<dyn StdError>> {
        let emulator = Emulator::bind(emulation(args, seed)).await?;
        let upstream = emulator.local_addr();
        let client = match way {
            Way::Direct => {
                let client = Arc::new(Client::new(upstream));
                play(way, args, seed, &client).await;
                client
            }
            Way::Onelane => {
                let mut config = Config::new(format!("http://{upstream}").parse()?);
                (config.listen, config.admin) = (FREE, FREE);
                let sidecar = Sidecar::bind(config).await?;
                let client = Arc::new(Client::new(sidecar.local_addr()));
                let (stop, stopped) = oneshot::channel::<()>();
                let running = async {
                    sidecar.run(async { drop(stopped.await) }).await;
                };
                let playing = async {
                    play(way, args, seed, &client).await;
                    drop(stop);
                };
                tokio::join!(running, playing);
                client
            }
        };
        let side = Self::of(&client, &emulator);
        emulator.shutdown().await;
        Ok(side)
    }

    fn of(client: &Client, emulator: &Emulator) -> Self {
        let (tally, stats) = (&client.tally, emulator.stats());
        let ms = |percent| tally.percentile(percent).as_micros() as f64 / 1000.0;
        Self {
            requests: tally.requests.load(Relaxed),
            ok: tally.ok.load(Relaxed),
            conflicts: tally.conflicts.load(Relaxed),
            other_failures: tally.failures.load(Relaxed),
            abandoned: tally.abandoned.load(Relaxed),
            conflicts_upstream: stats.conflicts,
            max_in_flight: stats.max_in_flight,
            p50_ms: ms(50.0),
            p99_ms: ms(99.0),
            out_of_files: tally.out_of_files.load(Relaxed),
        }
    }

    /// Whether MediaTailor had two playlists of a session at once, or said so.
    pub(super) fn conflicted(&self) -> bool {
        self.conflicts > 0 || self.conflicts_upstream > 0 || self.max_in_flight > 1
    }
}

pub(super) fn emulation(args: &Args, seed: u64) -> emulator::Args {
    emulator::Args {
        listen: FREE,
        conflict: args.conflict,
        latency: args.latency,
        segment: REFRESH,
        seed: Some(seed),
        ..emulator::Args::default()
    }
}

/// All players, from the first to the last answer of the last.
async fn play(way: Way, args: &Args, seed: u64, client: &Arc<Client>) {
    let lasts = Duration::from_secs(args.seconds.into());
    let started = Instant::now();
    let mut players = JoinSet::new();
    for n in 0..args.sessions {
        let player = Player::new(Arc::clone(client), seed.wrapping_add(n.into()), started + lasts);
        // Spread over one refresh, so that sessions do not march in step.
        let starts = started + REFRESH.mul_f64(f64::from(n) / f64::from(args.sessions));
        players.spawn(player.play(n, starts));
    }
    let progress = Progress::new(way.name(), &client.tally, lasts);
    tokio::select! {
        () = progress.tell() => {}
        _ended = players.join_all() => {}
    }
}
