use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use http::StatusCode;

use crate::{
    session::{Kind, SessionKey},
    upstream::Verdict,
};

/// The last conflicts, rescues and answers made here, of the whole process: what an operator wants to see first.
///
/// Each has a ring of its own, so that a storm of one kind leaves the others to be seen.
#[derive(Debug)]
pub(crate) struct Recent {
    rings: [Mutex<VecDeque<Event>>; 3],
    /// How many there were.
    count: AtomicU64,
}

/// Something that an operator wants to know of.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "sidecar"), expect(dead_code, reason = "only the sidecar shows them"))]
pub(crate) struct Event {
    pub(crate) at: SystemTime,
    pub(crate) key: Option<SessionKey>,
    pub(crate) kind: Kind,
    pub(crate) what: What,
}

/// What it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// MediaTailor had another request of the session.
    Conflict,
    /// A player got the last good playlist, of this age, in place of an answer that was slow or had this verdict.
    Rescue { reason: &'static str, age: Duration },
    /// A player got an answer that was made here.
    MadeHere { reason: Verdict, status: StatusCode },
}

/// How many are kept of each kind.
const EACH: usize = 50;

static RECENT: Recent =
    Recent { rings: [const { Mutex::new(VecDeque::new()) }; 3], count: AtomicU64::new(0) };

// === impl Recent ===

impl Recent {
    /// Those of the process.
    pub(crate) fn get() -> &'static Self {
        &RECENT
    }

    pub(super) fn push(&self, key: Option<&SessionKey>, kind: Kind, what: What) {
        let event = Event { at: SystemTime::now(), key: key.cloned(), kind, what };
        let mut ring = self.rings[what.ring()].lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == EACH {
            ring.pop_front();
        }
        ring.push_back(event);
        drop(ring);
        self.count.fetch_add(1, Relaxed);
    }

    /// How many there ever were: as long as it stays the same, there is nothing new.
    #[cfg(feature = "sidecar")]
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Those that are kept, the newest first.
    #[cfg(feature = "sidecar")]
    pub(crate) fn all(&self) -> Vec<Event> {
        let mut all = Vec::new();
        for ring in &self.rings {
            all.extend(ring.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        }
        all.sort_by_key(|event| std::cmp::Reverse(event.at));
        all
    }
}

// === impl What ===

impl What {
    fn ring(self) -> usize {
        match self {
            Self::Conflict => 0,
            Self::Rescue { .. } => 1,
            Self::MadeHere { .. } => 2,
        }
    }
}

#[cfg(all(test, feature = "sidecar"))]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_one_kind_leaves_the_others() {
        let recent = Recent { rings: [const { Mutex::new(VecDeque::new()) }; 3], count: AtomicU64::new(0) };
        recent.push(None, Kind::Media, What::Conflict);
        for _ in 0..1_000 {
            let status = StatusCode::BAD_GATEWAY;
            recent.push(None, Kind::Media, What::MadeHere { reason: Verdict::Unreachable, status });
        }
        let all = recent.all();
        assert_eq!((all.len(), recent.count()), (EACH + 1, 1_001));
        assert_eq!(all.last().map(|event| event.what), Some(What::Conflict));
    }
}
