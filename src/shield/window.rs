use std::time::Duration;

use tokio::time::Instant;

use super::ledger::Passing;

/// How long is counted over.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// The length of one slice.
const SLICE: Duration = Duration::from_secs(10);

/// A minute has six slices, and the one that it began in.
const SLICES: usize = 7;

/// How much happened in the last minute, to ten seconds.
///
/// It counts whole slices, and so never less than there was in the minute, and never more than there was in 70 s.
/// (Two buckets of a minute would do with less, but let almost twice the limit through around their border.)
#[derive(Debug)]
pub(super) struct Window {
    counts: [u32; SLICES],
    /// When the newest slice began.
    newest: Instant,
}

// === impl Window ===

impl Window {
    /// A window that something has happened in, once.
    pub(super) fn new(now: Instant) -> Self {
        let mut counts = [0; SLICES];
        counts[0] = 1;
        Self { counts, newest: now }
    }

    /// Counts one more.
    pub(super) fn add(&mut self, now: Instant) {
        let passed = self.passed(now);
        if passed > 0 {
            self.counts.rotate_right(passed.min(SLICES));
            self.counts[..passed.min(SLICES)].fill(0);
            // Far off, it begins anew: no two slices have anything in common.
            let by = u32::try_from(passed).ok().and_then(|passed| SLICE.checked_mul(passed));
            self.newest = by.and_then(|by| self.newest.checked_add(by)).unwrap_or(now);
        }
        self.counts[0] = self.counts[0].saturating_add(1);
    }

    /// How many there were.
    pub(super) fn count(&self, now: Instant) -> u32 {
        let gone = self.passed(now).min(SLICES);
        self.counts[..SLICES - gone].iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many slices have begun since the newest. A time before it counts as in it.
    fn passed(&self, now: Instant) -> usize {
        let since = now.saturating_duration_since(self.newest);
        usize::try_from(since.as_secs() / SLICE.as_secs()).unwrap_or(usize::MAX)
    }
}

impl Passing for Window {
    fn has_passed(&self, now: Instant) -> bool {
        self.count(now) == 0
    }
}

/// A time that no clock reaches is as good as one in a century.
pub(super) fn later(now: Instant, by: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    now + by.min(CENTURY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_happened_is_counted_for_a_minute() {
        let start = Instant::now();
        let mut window = Window::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        window.add(at(9_999));
        window.add(at(10_000));
        assert_eq!(
            [0, 59_999, 69_999, 70_000, 79_999, 80_000].map(|ms| window.count(at(ms))),
            [3, 3, 3, 1, 1, 0]
        );
        assert!(!window.has_passed(at(79_999)) && window.has_passed(at(80_000)));
        window.add(at(1_000_000));
        assert_eq!(window.count(at(1_000_000)), 1);
        assert_eq!(window.count(start), 1, "a clock behind counts as now");
    }

    #[test]
    fn a_flood_is_counted_to_the_end_of_numbers() {
        let now = Instant::now();
        let mut window = Window { counts: [u32::MAX; SLICES], newest: now };
        window.add(now);
        assert_eq!(window.count(now), u32::MAX);
    }

    proptest! {
        #[test]
        fn never_less_than_the_minute_nor_more_than_ten_seconds_on_top(
            gaps in proptest::collection::vec(prop_oneof![5 => 0_u64..3_000, 1 => 0_u64..90_000], 0..300),
            later in 0_u64..90_000,
        ) {
            let start = Instant::now();
            let (mut window, mut at, mut events) = (Window::new(start), start, vec![start]);
            let within = |events: &[Instant], now: Instant, span: Duration| {
                events.iter().filter(|event| now - **event < span).count() as u32
            };
            for gap in gaps {
                at += Duration::from_millis(gap);
                window.add(at);
                events.push(at);
                let count = window.count(at);
                prop_assert!(within(&events, at, MINUTE) <= count);
                prop_assert!(count <= within(&events, at, MINUTE + SLICE));
            }
            at += Duration::from_millis(later);
            let count = window.count(at);
            prop_assert!(within(&events, at, MINUTE) <= count);
            prop_assert!(count <= within(&events, at, MINUTE + SLICE));
        }
    }
}
