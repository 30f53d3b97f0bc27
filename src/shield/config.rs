use std::time::Duration;

/// How sessions that have failed are shielded, and how many 4xx may reach the account.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The time between two probes of a session that is lost or failing and whose target duration is not
    /// known; where it is known, half of it is the gap. Default: 3 s, half of the usual six.
    pub gap: Duration,
    /// The least time between two probes. Default: 1 s.
    pub least_gap: Duration,
    /// The time between two probes of a session that is blocked, and the most for any other. Default: 30 s.
    pub blocked_gap: Duration,
    /// How long a probe may be out before it is given up: another may then follow, even though nothing was
    /// heard of the first. Default: 10 s, as long as an exchange may hold its turn.
    pub lease: Duration,
    /// How long a mark is kept while nobody asks for its session. Default: 60 s.
    pub idle: Duration,
    /// The most sessions that are marked, and the most sessions and configurations that a quota is counted for.
    /// Sessions beyond that are not shielded. Default: 100,000.
    pub capacity: usize,
    /// The most 4xx of one session in a minute, for what is not given any more or was not yet; 0 counts as 1. Conflicts beyond it are
    /// met once in a [`gap`](Self::gap). Default: 60.
    pub session_4xx_per_minute: u32,
    /// The most 4xx of one playback configuration in a minute, over all its sessions, for what is not given any more or was not yet; 0
    /// counts as 1. What stays gone, and sessions that had many, may have half of it. Sessions that are new may have a quarter of it all the same when those that have played are lost and have spent it. Default: 600.
    pub configuration_4xx_per_minute: u32,
    /// The part of either quota, between 0 and 1, from which on that quota counts as nearly spent. Default: 0.8.
    pub warn_at: f64,
}

// === impl Config ===

impl Config {
    /// Sets [`gap`](Self::gap).
    #[must_use]
    pub fn gap(self, gap: Duration) -> Self {
        Self { gap, ..self }
    }

    /// Sets [`least_gap`](Self::least_gap).
    #[must_use]
    pub fn least_gap(self, least_gap: Duration) -> Self {
        Self { least_gap, ..self }
    }

    /// Sets [`blocked_gap`](Self::blocked_gap).
    #[must_use]
    pub fn blocked_gap(self, blocked_gap: Duration) -> Self {
        Self { blocked_gap, ..self }
    }

    /// Sets [`lease`](Self::lease).
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// Sets [`capacity`](Self::capacity).
    #[must_use]
    pub fn capacity(self, capacity: usize) -> Self {
        Self { capacity, ..self }
    }

    /// Sets [`session_4xx_per_minute`](Self::session_4xx_per_minute).
    #[must_use]
    pub fn session_4xx_per_minute(self, session_4xx_per_minute: u32) -> Self {
        Self { session_4xx_per_minute, ..self }
    }

    /// Sets [`configuration_4xx_per_minute`](Self::configuration_4xx_per_minute).
    #[must_use]
    pub fn configuration_4xx_per_minute(self, configuration_4xx_per_minute: u32) -> Self {
        Self { configuration_4xx_per_minute, ..self }
    }

    /// Sets [`warn_at`](Self::warn_at).
    #[must_use]
    pub fn warn_at(self, warn_at: f64) -> Self {
        Self { warn_at, ..self }
    }
}

impl Config {
    /// The part of it that tracking may have: a quarter of what a configuration may, and a twelfth of what a session may. A viewer
    /// plays on without ad reports, and where they are not set up each player asks for them in vain.
    pub(crate) fn of_tracking(&self) -> Self {
        self.clone()
            .session_4xx_per_minute(self.session_4xx_per_minute / 12)
            .configuration_4xx_per_minute(self.configuration_4xx_per_minute / 4)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gap: Duration::from_secs(3),
            least_gap: Duration::from_secs(1),
            blocked_gap: Duration::from_secs(30),
            lease: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            capacity: 100_000,
            session_4xx_per_minute: 60,
            configuration_4xx_per_minute: 600,
            warn_at: 0.8,
        }
    }
}
