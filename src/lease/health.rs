use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::StoreError;

/// This many failures in a row are no accident.
pub(super) const MANY: u32 = 3;

/// Nor are any two of them so far apart with no lease in between: not for longer does a player wait for
/// an engine in vain.
const LONG: Duration = Duration::from_millis(500);

/// Whether the engine is worth asking.
#[derive(Debug, Default)]
pub(super) struct Health {
    up: AtomicBool,
    /// There was a failure since it last answered for a lease.
    shaken: AtomicBool,
    trouble: Mutex<Trouble>,
    fell: Notify,
}

#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    first: Option<Instant>,
    why: Option<StoreError>,
}

// === impl Health ===

impl Health {
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Why it is not up, as far as is known.
    pub(super) fn why(&self) -> Option<StoreError> {
        self.trouble().why.clone()
    }

    pub(super) fn rise(&self) {
        *self.trouble() = Trouble::default();
        self.shaken.store(false, Ordering::Relaxed);
        self.up.store(true, Ordering::Release);
    }

    /// It was asked for a lease, and granted it or said whose turn it is.
    pub(super) fn good(&self) {
        if self.shaken.load(Ordering::Relaxed) {
            *self.trouble() = Trouble::default();
            self.shaken.store(false, Ordering::Relaxed);
        }
    }

    /// A call failed. `true` if with that the engine is not worth asking any more.
    pub(super) fn bad(&self, why: &StoreError) -> bool {
        let mut trouble = self.trouble();
        self.shaken.store(true, Ordering::Relaxed);
        trouble.failures += 1;
        trouble.why = Some(why.clone());
        let first = *trouble.first.get_or_insert_with(Instant::now);
        let enough = trouble.failures >= MANY || first.elapsed() >= LONG;
        drop(trouble);
        enough && self.falls()
    }

    /// It is certain that the engine is not there. `true` if that is news.
    pub(super) fn fall(&self, why: &StoreError) -> bool {
        self.trouble().why = Some(why.clone());
        self.falls()
    }

    fn falls(&self) -> bool {
        let news = self.up.swap(false, Ordering::AcqRel);
        if news {
            self.fell.notify_one();
        }
        news
    }

    /// Resolves once it has fallen.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn fallen(&self) {
        while self.is_up() {
            self.fell.notified().await;
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn why() -> StoreError {
        StoreError::new("no answer")
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_is_none_and_three_in_a_row_are_enough() {
        let health = Health::default();
        assert!(!health.is_up());
        health.rise();
        for _ in 0..10 {
            assert!(!health.bad(&why()) && !health.bad(&why()));
            health.good();
        }
        assert!(!health.bad(&why()) && !health.bad(&why()) && health.is_up());
        assert!(health.bad(&why()) && !health.is_up());
        assert!(!health.bad(&why()), "that is no news");
        health.fallen().await;
        assert_eq!(health.why(), Some(why()));
        health.rise();
        assert_eq!((health.is_up(), health.why()), (true, None));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_are_rare_are_no_reason_to_try_for_ever() {
        let health = Health::default();
        health.rise();
        assert!(!health.bad(&why()));
        advance(LONG).await;
        assert!(health.bad(&why()));
        health.rise();
        assert!(health.fall(&why()) && !health.fall(&why()));
    }
}
