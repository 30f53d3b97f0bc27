use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use opentelemetry::trace::TraceId;

/// The share of traces that are kept, as the bound that the random part of their ids has to be below.
#[derive(Debug)]
pub(super) struct Share(AtomicU64);

/// The last 56 bits of an id are random, whoever made it (W3C Trace Context, level 2, section 3.2.2.3).
const RANDOM: u64 = (1 << 56) - 1;

// === impl Share ===

impl Share {
    pub(super) fn new(share: f64) -> Self {
        let this = Self(AtomicU64::new(0));
        this.set(share);
        this
    }

    /// What is no share is taken for the nearest.
    pub(super) fn set(&self, share: f64) {
        // A float that is no number becomes 0.
        let bound = (share.clamp(0.0, 1.0) * (RANDOM + 1) as f64) as u64;
        self.0.store(bound, Relaxed);
    }

    pub(super) fn has(&self, id: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g] = id.to_bytes();
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) < self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

    use super::*;

    #[test]
    fn a_share_is_a_share() {
        let ids: Vec<_> = (0..10_000).map(|_| RandomIdGenerator::default().new_trace_id()).collect();
        let of = |share| {
            let share = Share::new(share);
            ids.iter().filter(|id| share.has(**id)).count()
        };
        assert_eq!((of(0.0), of(-1.0), of(f64::NAN)), (0, 0, 0));
        assert_eq!((of(1.0), of(7.0)), (10_000, 10_000));
        // Ten standard deviations on either side.
        assert!((700..1_300).contains(&of(0.1)), "{}", of(0.1));
    }

    #[test]
    fn who_keeps_less_keeps_some_of_the_same() {
        let (less, more) = (Share::new(0.1), Share::new(0.3));
        let ids = (0..1_000).map(|_| RandomIdGenerator::default().new_trace_id());
        assert!(ids.filter(|id| less.has(*id)).all(|id| more.has(id)));
    }
}
