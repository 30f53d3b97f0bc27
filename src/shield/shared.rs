use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dashmap::DashMap;
use tokio::time::Instant;

/// How long what was heard of others counts: longer than a few rounds, since an engine may be away for a
/// moment, and shorter than a minute, since who hears nothing goes by its own count.
const FRESH: Duration = Duration::from_secs(10);

/// What other instances count of the same playback configurations. Empty, and of no cost, while nobody asks them.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Whether there is somebody to tell.
    on: AtomicBool,
    parts: DashMap<u64, Part>,
}

/// One configuration's.
#[derive(Debug, Default)]
struct Part {
    /// What the others have not been told yet.
    untold: u32,
    /// What they had, and when that was so.
    others: Option<(u32, Instant)>,
}

// === impl Shared ===

impl Shared {
    /// Has the others told of one more, if they are told at all.
    pub(super) fn spend(&self, scope: u64) {
        if !self.is_on() {
            return;
        }
        let mut part = self.parts.entry(scope).or_default();
        part.untold = part.untold.saturating_add(1);
    }

    /// Whether there are others, as far as anybody has asked.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// How many others have had, as far as was heard of late.
    pub(super) fn others(&self, scope: u64, now: Instant) -> u32 {
        if !self.is_on() {
            return 0;
        }
        let heard = self.parts.get(&scope).and_then(|part| part.others);
        heard.filter(|(_, at)| now.saturating_duration_since(*at) < FRESH).map_or(0, |(others, _)| others)
    }

    /// What is to be told, from the first time on that it is asked for.
    pub(super) fn untold(&self) -> Vec<(u64, u32)> {
        self.on.store(true, Ordering::Relaxed);
        self.parts.iter().map(|part| (*part.key(), part.untold)).collect()
    }

    /// They were told of so many, and all of them together have had `total`, of which `own` are this instance's.
    pub(super) fn heard(&self, scope: u64, told: u32, (total, own): (u32, u32), now: Instant) {
        if let Some(mut part) = self.parts.get_mut(&scope) {
            part.untold = part.untold.saturating_sub(told);
            part.others = Some((total.saturating_sub(own), now));
        }
    }

    /// How many configurations others were told of, or are to be.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Forgets the configurations that had none for a minute.
    pub(super) fn forget(&self, has_none: impl Fn(&u64) -> bool) {
        self.parts.retain(|scope, _| !has_none(scope));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_told_once_and_what_was_heard_passes() {
        let (shared, start) = (Shared::default(), Instant::now());
        shared.spend(1);
        assert_eq!((shared.others(1, start), shared.untold()), (0, vec![]));
        (0..3).for_each(|_| shared.spend(1));
        assert_eq!(shared.untold(), [(1, 3)]);
        // One more while they were told.
        shared.spend(1);
        shared.heard(1, 3, (10, 4), start);
        assert_eq!((shared.untold(), shared.others(1, start), shared.others(2, start)), (vec![(1, 1)], 6, 0));
        assert_eq!((shared.others(1, start + FRESH), shared.others(1, start + FRESH / 2)), (0, 6));
        shared.forget(|scope| *scope == 2);
        assert_eq!(shared.untold(), [(1, 1)], "it is still to be told");
        shared.heard(1, 1, (2, 4), start);
        assert_eq!(shared.others(1, start), 0, "never less than none");
        shared.forget(|scope| *scope == 1);
        assert!(shared.untold().is_empty());
        shared.heard(1, 1, (2, 1), start);
        assert!(shared.untold().is_empty(), "what was forgotten stays so");
    }
}
