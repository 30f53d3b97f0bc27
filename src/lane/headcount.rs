use super::sync::{AtomicUsize, Ordering};

/// A map that has held this many entries gives its memory back once most of them are gone. A smaller one keeps
/// some 100 KiB at most, which is less than the sum of growing again and again is worth.
pub(super) const WORTH_SHRINKING: usize = 1_024;

/// How many entries a map has, without locking it whole, and when it should let go of its capacity: a map keeps
/// that when its entries go, so that a crowd would be paid for ever after.
#[derive(Debug)]
pub(crate) struct Headcount {
    now: AtomicUsize,
    /// How many there were at most since the map was shrunk.
    peak: AtomicUsize,
}

// === impl Headcount ===

impl Headcount {
    pub(crate) fn new() -> Self {
        Self { now: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// How many there are.
    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// Counts an entry that came.
    pub(crate) fn came(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        // A look first, since it is seldom a new peak: writing costs every other core its copy.
        if now > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Counts an entry that went. `true` for the one after which the map should be shrunk: seven in
    /// eight have left since, and share the cost of moving the eighth.
    ///
    /// Runs in drops: it must not panic.
    #[must_use]
    pub(crate) fn went(&self) -> bool {
        let now = self.now.fetch_sub(1, Ordering::Relaxed) - 1;
        let peak = self.peak.load(Ordering::Relaxed);
        if peak < WORTH_SHRINKING || now > peak / 8 {
            return false;
        }
        self.peak.compare_exchange(peak, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, not(onelane_shuttle)))]
mod tests {
    use super::*;

    fn shrinks_after(crowd: usize) -> usize {
        let count = Headcount::new();
        (0..crowd).for_each(|_| count.came());
        let shrinks = (0..crowd).filter(|_| count.went()).count();
        assert_eq!(count.now(), 0);
        shrinks
    }

    #[test]
    fn once_after_a_crowd_and_never_otherwise() {
        assert_eq!(shrinks_after(WORTH_SHRINKING), 1);
        assert_eq!(shrinks_after(WORTH_SHRINKING - 1), 0);
    }
}
