use std::time::Duration;

/// How much is kept of sessions' creations, and how often a lost session is resumed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The memory that all sessions may take, bookkeeping included, in bytes. Default: 64 MiB, some 40,000
    /// sessions, and fewer where they load their multivariant playlists by their ids, which are then kept as well.
    pub bytes: u64,
    /// The largest creation that is kept, URL, headers and body together, in bytes, and the largest
    /// multivariant playlist, counted the same way. Default: 64 KiB. The body of a `POST` without a
    /// `Content-Length` is never kept.
    pub largest: usize,
    /// The least time between two attempts for one session. Default: 60 s.
    pub every: Duration,
}

// === impl Config ===

impl Config {
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

    /// Sets [`every`](Self::every).
    #[must_use]
    pub fn every(self, every: Duration) -> Self {
        Self { every, ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, largest: 64 * 1024, every: Duration::from_secs(60) }
    }
}
