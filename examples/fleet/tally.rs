use hdrhistogram::Histogram;

/// What was counted in one run, its first refresh aside.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Requests of players.
    pub(crate) requests: u64,
    /// 409s that MediaTailor answered.
    pub(crate) conflicts: u64,
    /// Requests that met conflicts until no retry was left, in number or in the shared budget.
    pub(crate) lost: u64,
    /// Requests that got no answer in time.
    pub(crate) late: u64,
    /// Commands to the engine.
    pub(crate) commands: u64,
    /// Requests that went on without a lease.
    pub(crate) bypassed: u64,
    /// The wait beyond that in a single lane, in microseconds, of what was answered.
    pub(crate) added: Histogram<u64>,
    /// From a player's request to its answer, in microseconds.
    pub(crate) took: Histogram<u64>,
    /// By seconds since the beginning: requests and conflicts.
    pub(crate) seconds: Vec<(u64, u64)>,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new(seconds: u64) -> Self {
        let histogram = || Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("bounds that make sense");
        Self {
            requests: 0,
            conflicts: 0,
            lost: 0,
            late: 0,
            commands: 0,
            bypassed: 0,
            added: histogram(),
            took: histogram(),
            seconds: vec![(0, 0); seconds as usize + 1],
        }
    }

    pub(crate) fn per_million(&self, count: u64) -> f64 {
        count as f64 * 1e6 / self.requests.max(1) as f64
    }

    /// The added wait that this part of the requests had at most, in milliseconds.
    pub(crate) fn added_ms(&self, part: f64) -> f64 {
        self.added.value_at_quantile(part) as f64 / 1e3
    }

    /// The time to the answer, likewise.
    pub(crate) fn took_ms(&self, part: f64) -> f64 {
        self.took.value_at_quantile(part) as f64 / 1e3
    }
}
