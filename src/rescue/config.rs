use std::time::Duration;

/// When and how long a last good playlist is given.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// How long a player waits for its own answer before it is given the last good one, while the exchange goes
    /// on. The wait begins anew with every good answer of the session, since its lane then moves. Default: 2
    /// s; the player polls again half a target duration later and meets the finished exchange.
    pub after: Duration,
    /// How long after the upstream last confirmed a playlist it is still given. A playlist that has ended
    /// does not age. Default: 60 s. After 1.5 target durations without a change AVPlayer steps down, and
    /// after 3.5 Media3 may give up, as they would at an error: set it lower to fail over to a second CDN.
    pub max_age: Duration,
    /// The memory that all playlists may take, their heads and the store's own bookkeeping included, in bytes.
    /// Default: 256 MiB.
    pub bytes: u64,
    /// The largest body that is kept, in bytes. Default: 2 MiB, the largest origin playlist that MediaTailor
    /// takes ("Quotas" in its user guide). One session may take four times as much, and 64 KiB at least.
    pub largest: usize,
}

// === impl Config ===

impl Config {
    /// Sets [`after`](Self::after).
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// Sets [`max_age`](Self::max_age).
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    /// Sets [`bytes`](Self::bytes).
    #[must_use]
    pub fn bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    /// Sets [`largest`](Self::largest), in bytes.
    #[must_use]
    pub fn largest(self, largest: usize) -> Self {
        Self { largest, ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(2),
            max_age: Duration::from_secs(60),
            bytes: 256 * 1024 * 1024,
            largest: 2 * 1024 * 1024,
        }
    }
}
