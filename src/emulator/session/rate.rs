use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Counts what comes in each second.
#[derive(Debug)]
pub(in crate::emulator) struct Rate {
    started: Instant,
    /// The second that is counted in the upper half, its requests in the lower.
    count: AtomicU64,
}

/// The upper half of a count.
const SECOND: u64 = 0xffff_ffff_0000_0000;

// === impl Rate ===

impl Rate {
    pub(in crate::emulator) fn new() -> Self {
        Self { started: Instant::now(), count: AtomicU64::new(0) }
    }

    /// Counts a request; says how many there were in this second.
    pub(in crate::emulator) fn take(&self) -> u64 {
        let second = self.started.elapsed().as_secs() << 32;
        let more = |count: u64| if count & SECOND == second { count + 1 } else { second + 1 };
        let before = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| Some(more(count)));
        more(before.unwrap_or_else(|count| count)) - second
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_second_counts_anew() {
        let rate = Rate::new();
        assert_eq!([rate.take(), rate.take(), rate.take()], [1, 2, 3]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([rate.take(), rate.take()], [1, 2]);
    }
}
