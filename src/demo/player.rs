use std::{sync::Arc, time::Duration};

use http::Uri;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{client::Client, links::Playlists};

/// How often a playlist is loaded: the length of a segment.
pub(super) const REFRESH: Duration = Duration::from_secs(1);

/// Any multivariant playlist will do: the emulator makes a session of each.
pub(super) const MULTIVARIANT: &str = "/v1/master/acct/Demo/index.m3u8";

/// When a switch comes in the middle of a load, in milliseconds after its beginning.
const SWITCH_AFTER: std::ops::Range<u64> = 2..20;

/// One viewer.
#[derive(Debug)]
pub(super) struct Player {
    client: Arc<Client>,
    dice: SmallRng,
    until: Instant,
}

/// How a player loads its playlists.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// All at the same instant, at every refresh: Shaka.
    Bursts,
    /// Each by a timer of its own: hls.js.
    Staggers,
    /// Gives up a variant that it is loading for another, and at times subtitles that it waits for.
    Switches,
}

// === impl Player ===

impl Player {
    /// Plays until the end; `seed` is its own.
    pub(super) fn new(client: Arc<Client>, seed: u64, until: Instant) -> Self {
        Self { client, dice: SmallRng::seed_from_u64(seed), until }
    }

    /// The story of the nth player: a session, then its playlists over and over.
    pub(super) async fn play(mut self, n: u32, starts: Instant) {
        sleep_until(starts).await;
        let Some(playlists) = self.start().await else { return };
        let habit = [Habit::Bursts, Habit::Staggers, Habit::Switches][n as usize % 3];
        match habit {
            Habit::Bursts => self.bursts(&playlists).await,
            Habit::Staggers => self.staggers(&playlists).await,
            Habit::Switches => self.switches(&playlists).await,
        }
    }

    /// Makes a session; `None` when it does not come about in time.
    async fn start(&mut self) -> Option<Playlists> {
        while Instant::now() < self.until {
            if let Some(text) = self.client.load(MULTIVARIANT).await {
                return Playlists::read(&Uri::from_static(MULTIVARIANT), &text);
            }
            sleep(REFRESH).await;
        }
        None
    }

    async fn bursts(self, playlists: &Playlists) {
        let (client, video) = (&self.client, &playlists.variants[0]);
        let mut round = Instant::now();
        while round < self.until {
            tokio::join!(
                client.load(video),
                client.load(&playlists.audio),
                client.load(&playlists.subtitles)
            );
            round = next(round).await;
        }
    }

    async fn staggers(mut self, playlists: &Playlists) {
        let mut timer = |path| {
            let dice = SmallRng::seed_from_u64(self.dice.random());
            reload(&self.client, path, dice, self.until)
        };
        let (video, audio) = (timer(&playlists.variants[0]), timer(&playlists.audio));
        tokio::join!(video, audio, timer(&playlists.subtitles));
    }

    async fn switches(mut self, playlists: &Playlists) {
        let mut variants = playlists.variants.iter().cycle();
        let mut video = variants.next();
        let mut round = Instant::now();
        while let Some(now) = video.filter(|_| round < self.until) {
            let to = if self.dice.random_bool(0.5) { variants.next() } else { None };
            let seeks = self.dice.random_bool(0.3);
            let (switch_after, seek_after) = (self.moment(), self.moment());
            let client = &self.client;
            let load_video = async {
                match to {
                    None => drop(client.load(now).await),
                    Some(to) => {
                        // Whether or not it came in time, the other variant is wanted now.
                        let _given_up = timeout(switch_after, client.load(now)).await;
                        client.load(to).await;
                    }
                }
            };
            // The last to come: through a lane it waits behind the others.
            let load_subtitles = async {
                match seeks {
                    false => drop(client.load(&playlists.subtitles).await),
                    true => drop(timeout(seek_after, client.load(&playlists.subtitles)).await),
                }
            };
            tokio::join!(load_video, client.load(&playlists.audio), load_subtitles);
            video = to.or(video);
            round = next(round).await;
        }
    }

    fn moment(&mut self) -> Duration {
        Duration::from_millis(self.dice.random_range(SWITCH_AFTER))
    }
}

/// Reloads one playlist: at once, and then by a timer that drifts against the others.
async fn reload(client: &Client, path: &str, mut dice: SmallRng, until: Instant) {
    let mut round = Instant::now();
    while round < until {
        client.load(path).await;
        let jitter = dice.random_range(0.8..1.2);
        round = Instant::now().max(round + REFRESH.mul_f64(jitter));
        sleep_until(round).await;
    }
}

/// Waits for the next refresh, which is due now if the last took too long.
async fn next(round: Instant) -> Instant {
    let next = Instant::now().max(round + REFRESH);
    sleep_until(next).await;
    next
}
