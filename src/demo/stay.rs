use std::{error::Error as StdError, io::Write as _, sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
    time::Instant,
};

use super::{
    args::Args,
    client::Client,
    player::{MULTIVARIANT, Player, REFRESH},
    side::{FREE, emulation},
    trouble,
};
use crate::{
    emulator::Emulator,
    sidecar::{Config, Sidecar},
};

/// Both sides at once, for as long as somebody looks.
#[derive(Debug)]
pub(super) struct Stay {
    /// Players reach the one straight, and the other through onelane.
    straight: Emulator,
    upstream: Emulator,
    sidecar: Sidecar,
}

/// How long a viewer watches: then comes another, with a session of its own.
const WATCHES: std::ops::Range<u64> = 30..90;

// === impl Stay ===

impl Stay {
    /// Stays up until SIGINT or SIGTERM.
    ///
    /// # Errors
    ///
    /// When a port cannot be had, or signals cannot be listened for.
    pub(super) async fn run(args: &Args, seed: u64) -> Result<(), Box<dyn StdError>> {
        // Before anything is said: whoever reads it may stop it at once.
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stay = Self::bind(args, seed).await?;
        // Whoever reads it may have left.
        let _unread = writeln!(std::io::stdout(), "{}", stay.told());
        let Self { straight, upstream, sidecar } = stay;
        let viewers = [straight.local_addr(), sidecar.local_addr()];
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = sidecar.run(async { drop(stopped.await) });
        let until_told = async {
            let mut playing = JoinSet::new();
            for entry in viewers {
                let client = Arc::new(Client::new(entry));
                for n in 0..args.sessions {
                    playing.spawn(watch(
                        Arc::clone(&client),
                        (n, args.sessions),
                        seed.wrapping_add(n.into()),
                    ));
                }
            }
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = trouble::plant([&straight, &upstream]) => {}
            }
            playing.shutdown().await;
            drop(stop);
        };
        let (_drained, ()) = tokio::join!(serving, until_told);
        straight.shutdown().await;
        upstream.shutdown().await;
        Ok(())
    }

    async fn bind(args: &Args, seed: u64) -> Result<Self, Box<dyn StdError>> {
        let straight = Emulator::bind(emulation(args, seed)).await?;
        let upstream = Emulator::bind(emulation(args, seed)).await?;
        let mut config = Config::new(format!("http://{}", upstream.local_addr()).parse()?);
        (config.listen, config.admin, config.record_sessions) = (FREE, FREE, 1_000);
        // Its players have gone by then.
        config.drain = Duration::from_secs(1);
        let sidecar = Sidecar::bind(config).await?;
        Ok(Self { straight, upstream, sidecar })
    }

    fn told(&self) -> String {
        let Self { straight, upstream, sidecar } = self;
        format!(
            "page             http://{page}/\n\
             straight         http://{straight}{MULTIVARIANT}  (counters: http://{straight}/__emulator/stats)\n\
             through onelane  http://{onelane}{MULTIVARIANT}  (counters: http://{upstream}/__emulator/stats)\n\
             Players are at both, and something goes wrong every few seconds. Ctrl-C ends it.",
            page = sidecar.admin_addr(),
            straight = straight.local_addr(),
            onelane = sidecar.local_addr(),
            upstream = upstream.local_addr(),
        )
    }
}

/// One seat of so many: a viewer after the other, for ever.
async fn watch(client: Arc<Client>, (n, of): (u32, u32), seed: u64) {
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut starts = Instant::now() + REFRESH.mul_f64(f64::from(n) / f64::from(of));
    loop {
        let until = starts + Duration::from_secs(dice.random_range(WATCHES));
        Player::new(Arc::clone(&client), dice.random(), until).play(n, starts).await;
        // At the pace of its kind, also where it has not come to play.
        starts = Instant::now().max(starts + REFRESH);
    }
}
