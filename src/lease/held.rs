use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    LeaseId, TTL, Token,
    leases::{Inner, lifetime},
};

/// What the engine gave a turn: a lease, or nothing where the engine was bypassed. Dropping it gives the lease up.
#[derive(Debug, Default)]
pub struct Lease {
    held: Option<Held>,
}

/// A lease that was asked for. Whether the engine has granted it may not be known yet.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) leases: Arc<Inner>,
    pub(super) id: LeaseId,
    pub(super) token: Token,
}

// === impl Lease ===

impl Lease {
    /// No lease, for a turn that needs none.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    pub(super) fn of(held: Held) -> Self {
        Self { held: Some(held) }
    }

    /// Whether there is a lease.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// A future that renews the lease for as long as it is polled, and never resolves; `None` if there is no
    /// lease. The turn may last `max_hold`, and the lease does not outlive that by more than a second.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the renewing and nothing else.
    pub fn renewal(&self, max_hold: Duration) -> Option<impl Future<Output = Infallible> + Send + use<>> {
        let Held { leases, id, token } = self.held.as_ref()?;
        let (leases, id, token) = (Arc::clone(leases), *id, token.clone());
        let until = Instant::now() + lifetime(max_hold);
        Some(async move {
            renew(&leases, &id, &token, until).await;
            std::future::pending().await
        })
    }
}

/// Returns when there is nothing more to renew.
async fn renew(leases: &Inner, id: &LeaseId, token: &Token, until: Instant) {
    let mut due = Instant::now();
    loop {
        due += TTL / 3;
        sleep_until(due).await;
        let ttl = TTL.min(until.saturating_duration_since(due));
        // The engine counts in milliseconds.
        if ttl < Duration::from_millis(1) {
            return;
        }
        // What is in flight is not called back: it is answered, and conflicts at worst.
        if leases.in_time(|store| store.renew(id, token, ttl)).await == Some(false) {
            return leases.lost(id);
        }
    }
}

// === impl Held ===

impl Drop for Held {
    fn drop(&mut self) {
        self.leases.release(self.id, self.token.clone());
    }
}
