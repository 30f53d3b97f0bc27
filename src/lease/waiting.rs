use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::Notify;

use super::LeaseId;

/// Who waits for a lease in this instance: the heads of lanes, one for each session at the most.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    told: DashMap<LeaseId, Arc<Notify>>,
}

/// A wait for a lease. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    waiting: &'a Waiting,
    id: LeaseId,
    told: Arc<Notify>,
}

// === impl Waiting ===

impl Waiting {
    pub(super) fn join(&self, id: LeaseId) -> Wait<'_> {
        let told = Arc::new(Notify::new());
        self.told.insert(id, Arc::clone(&told));
        Wait { waiting: self, id, told }
    }

    /// Tells who waits for it to look again; `false` if nobody does.
    pub(super) fn tell(&self, id: &LeaseId) -> bool {
        self.told.get(id).map(|told| told.notify_one()).is_some()
    }

    /// The same for all.
    pub(super) fn tell_all(&self) {
        self.told.iter().for_each(|told| told.notify_one());
    }
}

// === impl Wait ===

impl Wait<'_> {
    /// Resolves when there is a reason to look again.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.waiting.told.remove_if(&self.id, |_, told| Arc::ptr_eq(told, &self.told));
    }
}
