use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    super::{LeaseId, TTL, Token},
    Inner,
};

/// The pause before an engine is told once more what it could not be told.
const AGAIN: Duration = Duration::from_millis(100);

/// How many of those it is told at once after an outage, when it has enough to do.
const AT_ONCE: usize = 32;

impl Inner {
    /// Gives a lease up in the background: no player waits for that.
    pub(in crate::lease) fn release(self: &Arc<Self>, id: LeaseId, token: Token) {
        if !self.health.is_up() {
            return self.owed.note(id, token);
        }
        let inner = Arc::clone(self);
        let release = async move {
            if inner.in_time(|store| store.release(&id, &token)).await.is_none() {
                sleep(AGAIN).await;
                inner.insist(id, token).await;
            }
        };
        self.releases.spawn_on(release, &self.runtime);
    }

    /// Gives a lease up that the engine could not be told of before: again and again until it knows, is of
    /// no use, or the lease has ended by itself. None of it counts for the engine's health, which players'
    /// calls find out about.
    async fn insist(&self, id: LeaseId, token: Token) {
        // From now on: what an engine was asked for before it stood still it may grant when it goes on.
        let ends = Instant::now() + TTL;
        while Instant::now() < ends {
            if !self.health.is_up() {
                return self.owed.note(id, token);
            }
            if self.ask(self.budget, |store| store.release(&id, &token)).await.is_ok() {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    /// Gives up in the background what could not be while the engine was away, a few at a time.
    pub(super) fn settle(self: &Arc<Self>) {
        let (inner, owed) = (Arc::clone(self), self.owed.take());
        let settle = async move {
            let mut some = JoinSet::new();
            for (id, token) in owed {
                if some.len() >= AT_ONCE {
                    some.join_next().await;
                }
                let inner = Arc::clone(&inner);
                some.spawn(async move { inner.insist(id, token).await });
            }
            while some.join_next().await.is_some() {}
        };
        self.releases.spawn_on(settle, &self.runtime);
    }
}
