use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// What the players of one side saw.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) requests: AtomicU64,
    pub(super) ok: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) abandoned: AtomicU64,
    /// A connection could not be had because too many files were open.
    pub(super) out_of_files: AtomicBool,
    /// Of the 200s, to the last byte, in microseconds.
    latencies: Mutex<Histogram<u64>>,
}

/// A request on its way. Dropped before its answer, it was abandoned.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    tally: &'a Tally,
    sent: Instant,
    over: bool,
}

/// The longest latency that is told apart, in microseconds: above the players' patience.
const LONGEST: u64 = 60_000_000;

// === impl Tally ===

impl Tally {
    pub(super) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that make sense");
        Self {
            requests: AtomicU64::new(0),
            ok: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            out_of_files: AtomicBool::new(false),
            latencies: Mutex::new(latencies),
        }
    }

    pub(super) fn send(&self) -> Pending<'_> {
        self.requests.fetch_add(1, Relaxed);
        Pending { tally: self, sent: Instant::now(), over: false }
    }

    /// The latency that so many per cent of the 200s kept to.
    pub(super) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.latencies().value_at_percentile(percent))
    }

    fn latencies(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pending ===

impl Pending<'_> {
    pub(super) fn answered(mut self, status: u16) {
        self.over = true;
        match status {
            200 => {
                let latency = u64::try_from(self.sent.elapsed().as_micros()).unwrap_or(LONGEST);
                self.tally.latencies().saturating_record(latency.max(1));
                &self.tally.ok
            }
            409 => &self.tally.conflicts,
            _ => &self.tally.failures,
        }
        .fetch_add(1, Relaxed);
    }

    pub(super) fn failed(mut self, out_of_files: bool) {
        self.over = true;
        self.tally.failures.fetch_add(1, Relaxed);
        if out_of_files {
            self.tally.out_of_files.store(true, Relaxed);
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.tally.abandoned.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_request_ends_in_one_count() {
        let tally = Tally::new();
        let pending = tally.send();
        tokio::time::advance(Duration::from_millis(40)).await;
        pending.answered(200);
        tally.send().answered(409);
        tally.send().answered(504);
        tally.send().failed(true);
        drop(tally.send());
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let counts = [&tally.ok, &tally.conflicts, &tally.failures, &tally.abandoned].map(read);
        assert_eq!((read(&tally.requests), counts), (5, [1, 1, 2, 1]));
        assert!(tally.out_of_files.load(Relaxed));
        assert_eq!(tally.percentile(50.0).as_millis(), 40);
    }
}
