use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

use super::{Cause, Check, Config, Known, cause::TOLD_WITHIN, ledger::Passing, window::later};

/// Which of a session's playlists, whatever the query: a hash of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Playlist(pub(super) u64);

/// The mark of a session, or of one of its playlists.
#[derive(Debug)]
pub(super) struct Mark {
    cause: Cause,
    status: Option<StatusCode>,
    target_duration: Option<Duration>,
    /// The playlist that failed last, and for how long that kept the others waiting.
    failed: Option<Playlist>,
    took: Duration,
    /// Whether it had no answer in all that time, and the gap is no longer.
    has_hung: bool,
    /// Whether others are asked for as well.
    has_siblings: AtomicBool,
    /// The one playlist that says that its session is lost, where others of it came just before.
    doubted: Option<Playlist>,
    /// When the upstream first said so, and when it last did.
    since: Instant,
    said: Instant,
    /// The time between two probes, and what it is at first.
    gap: Duration,
    first_gap: Duration,
    /// Before this no probe goes out.
    probe_at: Instant,
    /// Nor before this, unless the probe that is out was heard of; and the playlist that it asks for.
    lease: Option<Instant>,
    asks_for: Option<Playlist>,
    /// When it is dropped, unless a probe goes out before.
    idle_at: Instant,
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
        let mut mark = Self {
            cause,
            status,
            target_duration,
            failed: None,
            took: Duration::ZERO,
            has_hung: false,
            has_siblings: AtomicBool::new(false),
            doubted: None,
            since: now,
            said: now,
            gap: Duration::ZERO,
            first_gap: Duration::ZERO,
            probe_at: now,
            lease: None,
            asks_for: None,
            idle_at: now,
        };
        mark.measure(config);
        mark.wait(now, config);
        mark
    }

    /// The mark for what happened to this playlist, which took this long.
    pub(super) fn of(self, failed: Playlist, took: Duration) -> Self {
        Self { failed: Some(failed), took, ..self }
    }

    /// It is one playlist alone that says so, and others of its session came just before.
    pub(super) fn in_doubt(self) -> Self {
        Self { doubted: self.failed, has_siblings: AtomicBool::new(true), ..self }
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubted.is_some()
    }

    /// Nothing came in all that time. It was the last request for as long: if that is the gap, the next may go at once.
    pub(super) fn after_a_hang(mut self) -> Self {
        if self.took >= self.gap {
            (self.has_hung, self.probe_at) = (true, self.said);
        }
        self
    }

    /// Takes in what was said later. A failure on the way says nothing new of a session that is lost or blocked,
    /// and neither does one missing playlist.
    pub(super) fn renew(&mut self, mut later: Self, config: &Config) {
        let target_duration = later.target_duration.or(self.target_duration);
        let now = later.said;
        let says_less = match self.cause {
            Cause::Lost | Cause::Blocked => matches!(later.cause, Cause::Failing | Cause::Missing),
            Cause::Missing => later.cause == Cause::Failing,
            Cause::Failing => false,
        };
        if says_less {
            self.lease = None;
            if self.cause == Cause::Missing && self.failed != later.failed {
                return;
            }
        } else {
            let siblings = *self.has_siblings.get_mut()
                || *later.has_siblings.get_mut()
                || self.failed.is_some() && self.failed != later.failed;
            let is_again = self.is_said_again_by(&later);
            let since = if is_again { self.since } else { later.since };
            // Until a second playlist says the same, or there is no other that anybody asks for.
            let doubted = match is_again && later.cause == Cause::Lost {
                true => self.doubted.filter(|doubted| siblings && later.failed == Some(*doubted)),
                false => later.doubted,
            };
            *self = Self { since, doubted, ..later };
            self.has_siblings =
                AtomicBool::new(siblings && matches!(self.cause, Cause::Failing | Cause::Lost));
        }
        self.target_duration = target_duration;
        self.measure(config);
        self.wait(now, config);
        if self.has_hung && !says_less {
            self.probe_at = now;
        }
    }

    /// Whether this is gone, and a later answer says that it still is.
    fn is_said_again_by(&self, later: &Self) -> bool {
        match self.cause {
            Cause::Lost => later.cause == Cause::Lost,
            Cause::Missing => later.cause == Cause::Missing && self.failed == later.failed,
            Cause::Blocked | Cause::Failing => false,
        }
    }

    /// Takes in that the playlist has failed once more, and its siblings have not. As each of its probes
    /// keeps the siblings waiting, probes take half of the time at first, and a quarter in the end; and probes that
    /// may count against the account, and are no conflicts, come less and less often.
    pub(super) fn fail_again(&mut self, later: Self, config: &Config) {
        let counts =
            later.status.is_some_and(|status| status.is_client_error() && status != StatusCode::CONFLICT);
        let gap = if counts { self.gap.saturating_mul(2) } else { later.gap };
        let (now, took) = (later.said, later.took);
        let gap = gap.max(took.saturating_add(self.gap).min(took.saturating_mul(3)));
        // What is known to be missing stays so, whatever else befalls it.
        let status = if self.is_missing() { self.status } else { later.status };
        *self = Self { gap: gap.min(config.blocked_gap).max(config.least_gap), status, ..later };
        self.wait(now, config);
    }

    /// The mark that the failed playlist keeps by itself when a sibling of it did not fail: what was taken for the
    /// session's loss was that playlist's. Its next probe may go out at once: mostly the failure is over for both.
    /// One that was never there stays missing.
    pub(super) fn remainder(self, good: Playlist, now: Instant) -> Option<(Playlist, Self)> {
        let failed = self.failed.filter(|failed| *failed != good)?;
        let (cause, probe_at) = match self.cause {
            Cause::Missing => (Cause::Missing, self.probe_at),
            _ => (Cause::Failing, now),
        };
        Some((failed, Self { cause, probe_at, lease: None, ..self }))
    }

    /// Takes in that another playlist of a lost session is missing, of which that says nothing more.
    pub(super) fn stays_lost(&mut self, now: Instant, config: &Config) {
        if self.cause == Cause::Lost {
            self.said = now;
            self.measure(config);
        }
    }

    /// Whether the upstream said that it does not know it.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.status, Some(StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST))
    }

    /// Whether it says anything of this playlist.
    pub(super) fn concerns(&self, playlist: Playlist) -> bool {
        self.cause != Cause::Missing || self.failed == Some(playlist)
    }

    /// Whether its siblings wait for long each time that it is tried.
    pub(super) fn is_slow(&self, config: &Config) -> bool {
        self.took >= config.least_gap
    }

    /// What is known, unless it is time for a probe.
    pub(super) fn look(&self, now: Instant) -> Option<Known> {
        let due = now >= self.probe_at && self.lease.is_none_or(|lease| now >= lease);
        (!due).then(|| self.known(now))
    }

    /// What is known, unless it is time for a probe by this playlist. The playlist that has just failed lets
    /// its siblings go first where they ask as well: otherwise every probe would be one of its own, and a
    /// playlist that fails for good would keep its session marked.
    pub(super) fn look_for(&self, playlist: Playlist, now: Instant) -> Option<Known> {
        if self.failed != Some(playlist) {
            self.has_siblings.store(true, Ordering::Relaxed);
        } else {
            let may_probe_at = match self.has_siblings.load(Ordering::Relaxed) {
                true => later(self.probe_at, self.first_gap),
                false => later(self.said, self.gap),
            };
            if now < may_probe_at {
                return Some(self.known(now));
            }
        }
        self.look(now)
    }

    /// What is known, for a request of this playlist that was there before the mark, unless it is time for a probe. One that
    /// asks for the same has attached to it, or comes after it.
    pub(super) fn look_in_lane(&self, playlist: Playlist, now: Instant) -> Option<Known> {
        if self.is_probed_by(playlist) { None } else { self.look(now) }
    }

    /// What is known of a session that is lost, unless a later probe has attached to this request.
    pub(super) fn look_behind(&self, playlist: Playlist, now: Instant) -> Option<Known> {
        (self.cause == Cause::Lost && !self.is_probed_by(playlist)).then(|| self.known(now))
    }

    fn is_probed_by(&self, playlist: Playlist) -> bool {
        self.lease.is_some() && self.asks_for == Some(playlist)
    }

    /// What is known, be it time for a probe or not.
    pub(super) fn known(&self, now: Instant) -> Known {
        Known {
            cause: self.cause,
            status: self.status,
            age: now.saturating_duration_since(self.said),
            next_probe: self.probe_at.saturating_duration_since(now),
            is_confirmed: self.said > self.since,
            said_by: self.doubted.filter(|_| now.saturating_duration_since(self.since) < TOLD_WITHIN),
            probed: self.lease.filter(|lease| now < *lease).and(self.asks_for),
        }
    }

    /// Lets a probe out if it is time, by what `look` says; what is known otherwise.
    pub(super) fn check(
        &mut self,
        look: impl FnOnce(&Self) -> Option<Known>,
        asks_for: Option<Playlist>,
        now: Instant,
        config: &Config,
    ) -> Check {
        if let Some(known) = look(self) {
            return Check::Answer(known);
        }
        self.wait(now, config);
        self.lease = Some(later(now, config.lease));
        self.asks_for = asks_for;
        Check::Probe
    }

    /// The probe that was let out is over. If nothing was heard of it, it does not decide which playlist
    /// goes first either.
    pub(super) fn over(&mut self) {
        if self.lease.take().is_some() && self.cause != Cause::Missing {
            self.failed = None;
        }
    }

    /// The time between two probes, by what is known. What is gone mostly stays so: it grows with the time that it is.
    fn measure(&mut self, config: &Config) {
        let gap = match (self.cause, self.target_duration) {
            (Cause::Blocked, _) => config.blocked_gap,
            (_, Some(target)) => target / 2,
            (_, None) => config.gap,
        };
        let bounded = |gap: Duration| gap.min(config.blocked_gap).max(config.least_gap);
        self.first_gap = bounded(gap);
        self.gap = bounded(gap.max(self.said.saturating_duration_since(self.since) / 4));
    }

    /// No probe for as long as the gap from now on.
    fn wait(&mut self, now: Instant, config: &Config) {
        self.probe_at = later(now, self.gap);
        // Not before somebody could have probed again.
        let idle = config.idle.max(self.gap.saturating_add(config.lease));
        self.idle_at = later(now, idle);
    }
}

impl Passing for Mark {
    fn has_passed(&self, now: Instant) -> bool {
        now >= self.idle_at
    }
}
