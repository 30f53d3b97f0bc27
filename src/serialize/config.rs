use std::time::Duration;

use crate::{lane::Limits, session::Kind};

/// How the layer serialises.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// How long a player waits for its answer, lane and upstream together. Past it the player gets an error
    /// and the exchange goes on. Default: 6 s, below the 8 s of Media3 and the 10 s of hls.js.
    pub answer_within: Duration,
    /// Whether [`answer_within`](Self::answer_within) bounds the wait for the head of answers that need no lane,
    /// too; [`max_hold`](Self::max_hold) for those that make a session, if that is longer: the next try would only begin another.
    /// Default: no; a segment may take its time.
    pub bound_all: bool,
    /// How long one exchange may hold its turn, from being sent to the last byte. Past it the call is dropped
    /// and the turn handed on a moment later. Repeats that attached to it and have time left are sent anew then. Default: 10 s.
    pub max_hold: Duration,
    /// The largest response body that is collected before it is answered, in bytes. A larger one is passed on as it comes, and up to
    /// four times as much of it is read ahead of its player: its turn ends with the upstream's last byte. Default: 2 MiB, the
    /// largest origin playlist that MediaTailor takes ("Quotas" in its user guide).
    pub collect_up_to: usize,
    /// Whether tracking requests take a turn. Default: no; AWS names playlists alone.
    pub tracking: bool,
    /// Whether DASH manifests of a session take a turn. Default: no; AWS says that HLS players alone meet the
    /// conflict.
    pub dash: bool,
    /// Whether the future of an answer drives its exchange, which moves to a task of its own when that future is dropped.
    /// Cheaper, and right only where each future is polled until it is ready or dropped, as a server does: one that is put aside
    /// holds up all of its session. Default: no; an exchange has a task from the start.
    pub driven_by_players: bool,
    /// The bounds of the lanes. [`Limits::wait`] is not used here: `answer_within` bounds the wait.
    pub limits: Limits,
}

// === impl Config ===

impl Config {
    /// Sets [`answer_within`](Self::answer_within).
    #[must_use]
    pub fn answer_within(self, answer_within: Duration) -> Self {
        Self { answer_within, ..self }
    }

    /// Sets [`bound_all`](Self::bound_all).
    #[must_use]
    pub fn bound_all(self, bound_all: bool) -> Self {
        Self { bound_all, ..self }
    }

    /// Sets [`max_hold`](Self::max_hold).
    #[must_use]
    pub fn max_hold(self, max_hold: Duration) -> Self {
        Self { max_hold, ..self }
    }

    /// Sets [`collect_up_to`](Self::collect_up_to), in bytes.
    #[must_use]
    pub fn collect_up_to(self, collect_up_to: usize) -> Self {
        Self { collect_up_to, ..self }
    }

    /// Sets [`tracking`](Self::tracking).
    #[must_use]
    pub fn tracking(self, tracking: bool) -> Self {
        Self { tracking, ..self }
    }

    /// Sets [`dash`](Self::dash).
    #[must_use]
    pub fn dash(self, dash: bool) -> Self {
        Self { dash, ..self }
    }

    /// Sets [`driven_by_players`](Self::driven_by_players).
    #[must_use]
    pub fn driven_by_players(self, driven_by_players: bool) -> Self {
        Self { driven_by_players, ..self }
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Whether a request of this kind takes a turn, if it names a session.
    pub(super) fn serializes(&self, kind: Kind) -> bool {
        match kind {
            Kind::Media | Kind::Multivariant => true,
            Kind::Tracking => self.tracking,
            Kind::Dash => self.dash,
            Kind::SessionCreation | Kind::Segment | Kind::Other => false,
        }
    }

    /// How long the head of an answer may take that needs no lane; `None` where nothing bounds it.
    pub(super) fn bound(&self, makes_session: bool) -> Option<Duration> {
        let within = if makes_session { self.answer_within.max(self.max_hold) } else { self.answer_within };
        self.bound_all.then_some(within)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(6),
            bound_all: false,
            max_hold: Duration::from_secs(10),
            collect_up_to: 2 * 1024 * 1024,
            tracking: false,
            dash: false,
            driven_by_players: false,
            limits: Limits::default(),
        }
    }
}
