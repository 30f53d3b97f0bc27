use crate::{dice::Between, flags::Crowd};

/// The run's times in microseconds.
pub(crate) struct Times {
    pub(crate) refresh: u64,
    pub(crate) burst: u64,
    pub(crate) takes: Between,
    pub(crate) slow: Between,
    pub(crate) busy: Between,
    pub(crate) refused: Between,
    pub(crate) notices: Between,
    pub(crate) away: u64,
    pub(crate) lease: Between,
    pub(crate) lease_within: u64,
    pub(crate) lease_ttl: u64,
    pub(crate) reserved: u64,
    /// At first, and at most.
    pub(crate) poll: (u64, u64),
    pub(crate) answer_within: u64,
}

// === impl Times ===

impl Times {
    pub(crate) fn of(crowd: &Crowd) -> Self {
        let us = |time: std::time::Duration| time.as_micros() as u64;
        Self {
            refresh: us(crowd.refresh),
            burst: us(crowd.burst),
            takes: crowd.latency.into(),
            slow: crowd.slow_for.into(),
            busy: crowd.busy_after.into(),
            refused: crowd.refused_in.into(),
            notices: crowd.notices.into(),
            away: us(crowd.away),
            lease: crowd.lease_takes.into(),
            lease_within: us(crowd.lease_within),
            lease_ttl: us(crowd.lease_ttl),
            reserved: us(crowd.reserved),
            poll: (us(crowd.poll.bounds().0), us(crowd.poll.bounds().1)),
            answer_within: us(crowd.answer_within),
        }
    }
}
