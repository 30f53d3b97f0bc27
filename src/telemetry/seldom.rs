use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Keeps a line that anybody's requests can cause from filling the log.
#[derive(Debug)]
pub(crate) struct Seldom(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    last: Option<Instant>,
    /// How many times it was due since, and was not written.
    silent: u64,
}

/// The least time between two such lines.
const EVERY: Duration = Duration::from_secs(10);

// === impl Seldom ===

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

impl Seldom {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Kept { last: None, silent: 0 }))
    }

    /// Whether it is written now, and how often it was not since the last time.
    pub(crate) fn due(&self) -> Option<u64> {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            kept.silent += 1;
            return None;
        }
        kept.last = Some(now);
        Some(std::mem::take(&mut kept.silent))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_back_is_counted() {
        let seldom = Seldom::new();
        assert_eq!(seldom.due(), Some(0));
        for _ in 0..3 {
            assert_eq!(seldom.due(), None);
        }
        advance(EVERY).await;
        assert_eq!(seldom.due(), Some(3));
        assert_eq!(seldom.due(), None);
        advance(EVERY).await;
        assert_eq!(seldom.due(), Some(1));
    }
}
