use std::{fmt, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use super::{Config, ledger::Passing};

/// What is wrong with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The upstream does not know it (any more): 404, or 400 on a media playlist.
    Lost,
    /// The upstream refuses it for good: 410.
    Blocked,
    /// The last exchange failed, which says nothing of the next.
    Failing,
}

/// What [`Marks::check`](super::Marks::check) says of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is not marked: go on.
    Pass,
    /// It is marked, and this request is the one that finds out whether it still is: go on, and say what came of
    /// it.
    Probe,
    /// It is marked: answer at once.
    Answer(Known),
}

/// What is known of a session that is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Known {
    /// What is wrong with it.
    pub cause: Cause,
    /// The upstream's status, where it gave one.
    pub status: Option<StatusCode>,
    /// How long ago the upstream last said so.
    pub age: Duration,
    /// The least time until the next probe, for `Retry-After`.
    pub next_probe: Duration,
}

/// A session's mark.
#[derive(Debug)]
pub(super) struct Mark {
    cause: Cause,
    status: Option<StatusCode>,
    target_duration: Option<Duration>,
    /// When the upstream last said so.
    said: Instant,
    /// Before this no probe goes out.
    probe_at: Instant,
    /// Nor before this, unless the probe that is out was heard of.
    lease: Option<Instant>,
    /// When it is dropped, unless a probe goes out before.
    idle_at: Instant,
}

// === impl Cause ===

impl Cause {
    /// The cause in a word, as logs have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Blocked => "blocked",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Mark ===

impl Mark {
    pub(super) fn new(
        cause: Cause,
        status: Option<StatusCode>,
        target_duration: Option<Duration>,
        now: Instant,
        config: &Config,
    ) -> Self {
        let mut mark =
            Self { cause, status, target_duration, said: now, probe_at: now, lease: None, idle_at: now };
        mark.wait(now, config);
        mark
    }

    /// Takes in what was said later. A failure on the way says nothing of a session that is lost or blocked.
    pub(super) fn renew(&mut self, later: Self, config: &Config) {
        let target_duration = later.target_duration.or(self.target_duration);
        let (now, same) = (later.said, later.cause == Cause::Failing && self.cause != Cause::Failing);
        if same {
            self.lease = None;
        } else {
            *self = later;
        }
        self.target_duration = target_duration;
        self.wait(now, config);
    }

    /// What is known, unless it is time for a probe.
    pub(super) fn look(&self, now: Instant) -> Option<Known> {
        let due = now >= self.probe_at && self.lease.is_none_or(|lease| now >= lease);
        (!due).then(|| self.known(now))
    }

    /// What is known, be it time for a probe or not.
    pub(super) fn known(&self, now: Instant) -> Known {
        Known {
            cause: self.cause,
            status: self.status,
            age: now.saturating_duration_since(self.said),
            next_probe: self.probe_at.saturating_duration_since(now),
        }
    }

    /// Lets a probe out if it is time; what is known otherwise.
    pub(super) fn check(&mut self, now: Instant, config: &Config) -> Check {
        if let Some(known) = self.look(now) {
            return Check::Answer(known);
        }
        self.wait(now, config);
        self.lease = Some(later(now, config.lease));
        Check::Probe
    }

    /// The probe that was let out is over.
    pub(super) fn over(&mut self) {
        self.lease = None;
    }

    /// No probe for as long as the gap from now on.
    fn wait(&mut self, now: Instant, config: &Config) {
        let gap = match (self.cause, self.target_duration) {
            (Cause::Blocked, _) => config.blocked_gap,
            (_, Some(target)) => target / 2,
            (_, None) => config.gap,
        };
        let gap = gap.min(config.blocked_gap).max(config.least_gap);
        self.probe_at = later(now, gap);
        // Not before somebody could have probed again.
        let idle = config.idle.max(gap.saturating_add(config.lease));
        self.idle_at = later(now, idle);
    }
}

impl Passing for Mark {
    fn has_passed(&self, now: Instant) -> bool {
        now >= self.idle_at
    }
}

/// A time that no clock reaches is as good as one in a century.
fn later(now: Instant, by: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    now + by.min(CENTURY)
}
