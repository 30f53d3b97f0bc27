use std::{sync::Arc, time::Duration};

use dashmap::{DashMap, Entry};
use tokio::time::Instant;

use crate::{lane::Headcount, session::SessionKey};

/// The gap that the first conflict makes.
const FIRST: Duration = Duration::from_millis(4);

/// A gap below this is none.
const LEAST: Duration = Duration::from_millis(1);

/// How long conflicts must stay away before a gap shrinks.
const QUIET: Duration = Duration::from_secs(40);

/// From then on it is halved this often. The longest gap is gone before a minute is over.
const HALVE: Duration = Duration::from_secs(2);

/// How long it is known which gap was enough.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The most playback configurations that have a gap.
const MOST: usize = 10_000;

/// The gap between two turns of a session, learned for each playback configuration.
///
/// An upstream may be busy with a session for a moment after its answer. A conflict that is met within one's
/// own turn is the sign of that: the gap grows from nothing, twice as long with each conflict, until
/// conflicts stop. When they have stayed away for 40 s the gap shrinks, and it is gone within the minute.
/// Should they come back, the gap is at once what was enough before. As long as a single session meets
/// conflicts, that session alone has the gap: somebody else may be loading its playlists, which is no reason
/// to keep all the others waiting. Where there are no conflicts, the gap costs one atomic load.
#[derive(Debug)]
pub struct Settle {
    most: Duration,
    learned: Arc<Learned>,
}

#[derive(Debug)]
struct Learned {
    gaps: DashMap<u64, Gap>,
    known: Headcount,
}

#[derive(Debug)]
struct Gap {
    /// The only session that met a conflict.
    only: Option<SessionKey>,
    enough: Duration,
    /// When it grew last, or was back at what was enough.
    grown: Instant,
    conflict: Instant,
}

// === impl Settle ===

impl Settle {
    /// With gaps no longer than this; 250 ms is the default, and with zero there are none.
    pub fn new(most: Duration) -> Self {
        Self { most, learned: Arc::new(Learned { gaps: DashMap::new(), known: Headcount::new() }) }
    }

    /// What was learned, with gaps no longer than this from now on.
    #[must_use]
    pub(crate) fn reconfigured(&self, most: Duration) -> Self {
        Self { most, learned: Arc::clone(&self.learned) }
    }

    /// The longest gap that is learned.
    pub fn most(&self) -> Duration {
        self.most
    }

    /// Notes a conflict of this session, met by an attempt that began at `sent`. If that attempt was already
    /// on its way when the gap last grew, its conflict says nothing of the gap as it is now.
    pub fn conflict(&self, session: &SessionKey, sent: Instant, now: Instant) {
        if self.most.is_zero() {
            return;
        }
        let scope = session.scope_id();
        if let Some(mut gap) = self.learned.gaps.get_mut(&scope) {
            gap.conflict(session, sent, now, self.most);
            return;
        }
        if self.learned.known.now() >= MOST {
            self.learned.gaps.retain(|_, gap| {
                let stays = now.saturating_duration_since(gap.conflict) < QUIET;
                let _shrink = !stays && self.learned.known.went();
                stays
            });
        }
        if self.learned.known.now() >= MOST {
            return;
        }
        match self.learned.gaps.entry(scope) {
            Entry::Occupied(mut gap) => gap.get_mut().conflict(session, sent, now, self.most),
            Entry::Vacant(vacant) => {
                let only = Some(session.clone());
                let first = Gap { only, enough: FIRST.min(self.most), grown: now, conflict: now };
                // Counted while nobody can remove it.
                let _gap = vacant.insert(first);
                self.learned.known.came();
            }
        }
    }

    /// How long to wait after an answer before the session's next request is sent.
    pub fn gap(&self, session: &SessionKey, now: Instant) -> Duration {
        if self.learned.known.now() == 0 {
            return Duration::ZERO;
        }
        let scope = session.scope_id();
        let known = self.learned.gaps.get(&scope).map(|gap| (gap.conflict, gap.of(session, now)));
        let Some((conflict, gap)) = known else { return Duration::ZERO };
        if now.saturating_duration_since(conflict) > REMEMBERED
            && self.learned.gaps.remove_if(&scope, |_, gap| gap.conflict == conflict).is_some()
        {
            let _shrink = self.learned.known.went();
        }
        gap.min(self.most)
    }

    /// The longest gap in force, and how many playback configurations have one; for metrics.
    pub fn longest(&self, now: Instant) -> (Duration, usize) {
        let gaps =
            self.learned.gaps.iter().map(|gap| gap.at(now).min(self.most)).filter(|gap| !gap.is_zero());
        gaps.fold((Duration::ZERO, 0), |(longest, count), gap| (longest.max(gap), count + 1))
    }
}

impl Default for Settle {
    fn default() -> Self {
        Self::new(Duration::from_millis(250))
    }
}

// === impl Gap ===

impl Gap {
    fn at(&self, now: Instant) -> Duration {
        let quiet = now.saturating_duration_since(self.conflict);
        let Some(shrinking) = quiet.checked_sub(QUIET) else { return self.enough };
        let halvings = u32::try_from(shrinking.as_secs() / HALVE.as_secs()).unwrap_or(u32::MAX) + 1;
        let gap = self.enough / 2_u32.checked_pow(halvings).unwrap_or(u32::MAX);
        if gap < LEAST { Duration::ZERO } else { gap }
    }

    /// What there is of it for a session.
    fn of(&self, session: &SessionKey, now: Instant) -> Duration {
        if self.is_for(session) { self.at(now) } else { Duration::ZERO }
    }

    fn is_for(&self, session: &SessionKey) -> bool {
        self.only.as_ref().is_none_or(|only| only == session)
    }

    fn conflict(&mut self, session: &SessionKey, sent: Instant, now: Instant, most: Duration) {
        let in_force = self.at(now);
        self.conflict = now;
        let was_less = in_force < self.enough;
        if was_less {
            // It is what it was before; what others sent while it was less says nothing of that.
            self.grown = now;
        }
        if !self.is_for(session) {
            // The other one may have been somebody else's doing, and is long over: this one is the only one now.
            self.only = in_force.is_zero().then(|| session.clone());
            return;
        }
        if was_less || sent.saturating_duration_since(self.grown) <= in_force / 2 {
            return;
        }
        self.enough = (self.enough * 2).min(most);
        self.grown = now;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::session::SessionId;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn session(configuration: usize, n: usize) -> SessionKey {
        let id = SessionId::parse(&format!("session-{n}")).expect("an id");
        SessionKey::new(None, Some(&configuration.to_string()), id)
    }

    /// A session that stays busy for `busy` after its answer, asked every second: how many conflicts there are.
    async fn conflicts(settle: &Settle, busy: Duration, seconds: u32) -> u32 {
        let mut conflicts = 0;
        for _ in 0..seconds {
            let now = Instant::now();
            if settle.gap(&session(7, 0), now) < busy {
                settle.conflict(&session(7, 0), now, now);
                conflicts += 1;
            }
            advance(Duration::from_secs(1)).await;
        }
        conflicts
    }

    #[tokio::test(start_paused = true)]
    async fn another_limit_is_for_what_was_learned_as_well() {
        let settle = Settle::default();
        assert_eq!(conflicts(&settle, ms(40), 10).await, 5);
        let now = Instant::now();
        let of = |most| settle.reconfigured(ms(most)).gap(&session(7, 0), now);
        assert_eq!((of(250), of(10), of(0)), (ms(64), ms(10), Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_until_conflicts_stop_and_no_further() {
        for (busy, few, gap) in [(5, 2, 8), (40, 5, 64), (200, 7, 250)] {
            let settle = Settle::default();
            assert_eq!(settle.gap(&session(7, 0), Instant::now()), Duration::ZERO);
            assert_eq!(conflicts(&settle, ms(busy), 40).await, few);
            assert_eq!(settle.gap(&session(7, 0), Instant::now()), ms(gap));
            assert_eq!(settle.gap(&session(8, 0), Instant::now()), Duration::ZERO, "another configuration");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_gone_within_a_minute() {
        let settle = Settle::default();
        conflicts(&settle, ms(1_000), 20).await;
        assert_eq!(settle.longest(Instant::now()), (ms(250), 1));
        advance(Duration::from_secs(60)).await;
        assert_eq!(settle.longest(Instant::now()), (Duration::ZERO, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_enough_is_back_at_once() {
        let settle = Settle::default();
        conflicts(&settle, ms(40), 10).await;
        advance(Duration::from_secs(60)).await;
        assert_eq!(conflicts(&settle, ms(40), 30).await, 1);
        assert_eq!(settle.gap(&session(7, 0), Instant::now()), ms(64));
    }

    /// Whoever finds out at the same time that less is not enough does not say that what was enough is not.
    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_for_what_was_sent_while_it_was_less() {
        let settle = Settle::default();
        conflicts(&settle, ms(5), 3).await;
        for _ in 0..5 {
            advance(Duration::from_secs(41)).await;
            let sent = Instant::now();
            for n in [1, 0, 2, 1, 3] {
                advance(ms(1)).await;
                settle.conflict(&session(7, n), sent, Instant::now());
            }
            assert_eq!(settle.gap(&session(7, 0), Instant::now()), ms(8));
        }
    }

    /// A second tab, or a client that goes past here, makes conflicts for its session alone.
    #[tokio::test(start_paused = true)]
    async fn one_session_keeps_no_other_waiting_and_a_second_speaks_for_all() {
        let settle = Settle::default();
        let gap = |n| settle.gap(&session(7, n), Instant::now());
        conflicts(&settle, ms(1_000), 20).await;
        assert_eq!((gap(0), gap(1), gap(2)), (ms(250), Duration::ZERO, Duration::ZERO));
        let now = Instant::now();
        settle.conflict(&session(7, 1), now, now);
        assert_eq!((gap(0), gap(1), gap(2)), (ms(250), ms(250), ms(250)));
        // Long after that one, it is one alone again.
        let settle = Settle::default();
        conflicts(&settle, ms(5), 3).await;
        advance(Duration::from_secs(60)).await;
        let now = Instant::now();
        settle.conflict(&session(7, 1), now, now);
        assert_eq!(settle.gap(&session(7, 0), now), Duration::ZERO);
        assert_eq!(settle.gap(&session(7, 1), now), ms(8), "what was enough");
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_count_as_one() {
        let settle = Settle::default();
        let sent = Instant::now();
        advance(ms(30)).await;
        (0..100).for_each(|_| settle.conflict(&session(7, 0), sent, Instant::now()));
        assert_eq!(settle.gap(&session(7, 0), Instant::now()), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_no_more_memory_than_it_may() {
        let settle = Settle::default();
        for scope in 0..20_000 {
            settle.conflict(&session(scope, 0), Instant::now(), Instant::now());
        }
        assert_eq!(settle.learned.gaps.len(), MOST);
        advance(REMEMBERED * 2).await;
        for scope in 0..20_000 {
            assert_eq!(settle.gap(&session(scope, 0), Instant::now()), Duration::ZERO);
        }
        assert_eq!((settle.learned.gaps.len(), settle.learned.known.now()), (0, 0));
    }
}
