use std::time::Duration;

/// How long the lines may grow.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// The most tickets out for one key, the one whose turn it is included; 0 counts as 1. Default: 16. A
    /// player has two to four playlist requests open at once.
    pub depth: u32,
    /// The most tickets that wait for their turn, over all keys. Default: 100,000.
    pub waiting: usize,
    /// The longest that [`Ticket::turn`](super::Ticket::turn) waits. Default: 6 s.
    pub wait: Duration,
}

// === impl Limits ===

impl Limits {
    /// Sets [`depth`](Self::depth).
    #[must_use]
    pub fn depth(self, depth: u32) -> Self {
        Self { depth, ..self }
    }

    /// Sets [`waiting`](Self::waiting).
    #[must_use]
    pub fn waiting(self, waiting: usize) -> Self {
        Self { waiting, ..self }
    }

    /// Sets [`wait`](Self::wait).
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 16, waiting: 100_000, wait: Duration::from_secs(6) }
    }
}
