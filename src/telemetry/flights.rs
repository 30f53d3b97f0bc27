use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many exchanges are with the upstream, and how many of them nobody waits for any more; of the whole process.
#[derive(Debug)]
pub(crate) struct Flights {
    in_flight: AtomicUsize,
    draining: AtomicUsize,
}

static FLIGHTS: Flights = Flights { in_flight: AtomicUsize::new(0), draining: AtomicUsize::new(0) };

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

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn draining(&self) -> usize {
        self.draining.load(Relaxed)
    }
}
