use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many exchanges are with the upstream, how many of those of lanes nobody waits for any more, and how many need no lane; of
/// the whole process.
#[derive(Debug)]
pub(crate) struct Flights {
    in_flight: AtomicUsize,
    draining: AtomicUsize,
    passing: AtomicUsize,
}

static FLIGHTS: Flights =
    Flights { in_flight: AtomicUsize::new(0), draining: AtomicUsize::new(0), passing: AtomicUsize::new(0) };

// === impl Flights ===

impl Flights {
    /// Those of the process.
    pub(crate) fn get() -> &'static Self {
        &FLIGHTS
    }

    pub(crate) fn sent(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Its last player has gone.
    pub(crate) fn left(&self) {
        self.draining.fetch_add(1, Relaxed);
    }

    /// It has a player again, by a repeat.
    pub(crate) fn found(&self) {
        self.draining.fetch_sub(1, Relaxed);
    }

    pub(crate) fn ended(&self, drained: bool) {
        self.in_flight.fetch_sub(1, Relaxed);
        if drained {
            self.draining.fetch_sub(1, Relaxed);
        }
    }

    /// One that needs no lane was sent.
    pub(crate) fn passes(&self) {
        self.passing.fetch_add(1, Relaxed);
    }

    /// Its answer's head is there, or its player has gone.
    pub(crate) fn passed(&self) {
        self.passing.fetch_sub(1, Relaxed);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed) + self.passing()
    }

    pub(crate) fn passing(&self) -> usize {
        self.passing.load(Relaxed)
    }

    pub(crate) fn draining(&self) -> usize {
        self.draining.load(Relaxed)
    }
}
