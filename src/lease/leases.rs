mod release;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    Answer, BUDGET, Grant, Lease, LeaseId, LeaseStore, StoreError, TTL, Token,
    health::{Health, MANY},
    held::Held,
    owed::Owed,
    upkeep::keep_up,
    waiting::Waiting,
};
use crate::{serialize::contained, session::SessionKey, telemetry};

/// Who waits for a lease asks again after the first, unless it is told before, and then ever more rarely up
/// to the second: a message may be lost, and an instance may have died.
const POLLS: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(100));

/// The leases of one instance. A clone is the same.
///
/// They have to be made within a tokio runtime that outlives them: that runtime talks to the engine,
/// whichever runtime asks.
#[derive(Debug, Clone)]
pub struct Leases {
    inner: Arc<Inner>,
    _keeper: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    store: Box<dyn LeaseStore>,
    /// How long a call may take.
    budget: Duration,
    /// Which instance this is.
    instance: String,
    turns: AtomicU64,
    waiting: Waiting,
    health: Health,
    /// Whether the engine was tried, and what came of it.
    tried: watch::Sender<bool>,
    releases: TaskTracker,
    owed: Owed,
    runtime: Handle,
}

// === impl Leases ===

impl Leases {
    /// Begins to use an engine. It is not waited for: until it answers, it is bypassed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(store: impl LeaseStore) -> Self {
        Self::within(BUDGET, store)
    }

    /// The same with another budget for each call: for an engine that is further away.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn within(budget: Duration, store: impl LeaseStore) -> Self {
        let releases = TaskTracker::new();
        // Closed, it can still track: that only lets `released` resolve whenever it is empty.
        releases.close();
        let inner = Arc::new(Inner {
            store: Box::new(store),
            budget,
            instance: instance(),
            turns: AtomicU64::new(0),
            waiting: Waiting::default(),
            health: Health::default(),
            tried: watch::Sender::new(false),
            releases,
            owed: Owed::default(),
            runtime: Handle::current(),
        });
        let keeper = tokio::spawn(keep_up(Arc::clone(&inner)));
        Self { inner, _keeper: Arc::new(AbortOnDropHandle::new(keeper)) }
    }

    /// Waits for a session's lease. Where the engine is of no use the wait comes to an end, with no
    /// lease. While others have turns it goes on: who waits for too long drops it.
    ///
    /// Only the head of the session's lane may ask: two callers of one instance are not kept apart.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place in line up.
    pub async fn acquire(&self, key: &SessionKey, max_hold: Duration) -> Lease {
        let inner = &self.inner;
        if !inner.health.is_up() {
            telemetry::lease_bypassed();
            return Lease::none();
        }
        let began = Instant::now();
        let id = LeaseId::of(key.id());
        let ttl = TTL.min(lifetime(max_hold));
        let wait = inner.waiting.join(id);
        // From the first call on the engine may have granted it, whether or not its answer comes.
        let held = Held { leases: Arc::clone(inner), id, token: inner.token() };
        let mut pause = POLLS.0;
        loop {
            let grant = inner.in_time(|store| store.acquire(&id, &held.token, ttl)).await;
            let Some(grant) = grant else { break };
            inner.health.good();
            match grant {
                Grant::Granted => {
                    telemetry::lease_granted(began.elapsed());
                    return Lease::of(held);
                }
                Grant::Taken => {
                    // Either is a reason to look again.
                    let _told = timeout(inner.jitter(pause), wait.told()).await;
                    pause = (pause * 2).min(POLLS.1);
                }
            }
            if !inner.health.is_up() {
                break;
            }
        }
        telemetry::lease_bypassed();
        Lease::none()
    }

    /// Adds to the 4xx that all instances have had of a playback configuration, and returns the sum; `None`
    /// while the engine is of no use.
    ///
    /// # Cancel safety
    ///
    /// After a drop it is not known whether they were added.
    pub async fn spend(&self, scope: u64, more: u32) -> Option<u32> {
        let inner = &self.inner;
        if !inner.health.is_up() {
            return None;
        }
        inner.in_time(|store| store.spend(scope, more)).await
    }

    /// Resolves once the engine was tried for the first time, and says whether it is of use.
    ///
    /// # Errors
    ///
    /// Why the engine is of no use.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn tried(&self) -> Result<(), StoreError> {
        // The sender is in here.
        let mut tried = self.inner.tried.subscribe();
        let _tried = tried.wait_for(|tried| *tried).await;
        self.trouble().map_or(Ok(()), Err)
    }

    /// Why the engine is not used; `None` if it is.
    pub fn trouble(&self) -> Option<StoreError> {
        let unknown = || StoreError::new("it was not reached yet");
        (!self.inner.health.is_up()).then(|| self.inner.health.why().unwrap_or_else(unknown))
    }

    /// Resolves once the engine knows of every lease that was given up, or has had its time to. Await it
    /// before the process ends: other instances would wait for these leases.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops nothing.
    pub async fn released(&self) {
        self.inner.releases.wait().await;
    }
}

/// A second more than the turn, for the way back.
pub(super) fn lifetime(max_hold: Duration) -> Duration {
    // A bound for the sum with the clock; nobody holds a turn for a year.
    max_hold.min(Duration::from_secs(31_536_000)) + Duration::from_secs(1)
}

/// Ten digits by chance.
fn instance() -> String {
    let mut text = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    text.truncate(10);
    text
}

// === impl Inner ===

impl Inner {
    /// What the engine answers within this time. A store that panics has failed: neither a request nor who keeps the engine up
    /// ends with it.
    pub(super) async fn ask<'a, T>(
        &'a self,
        within: Duration,
        call: impl FnOnce(&'a dyn LeaseStore) -> Answer<'a, T>,
    ) -> Result<T, StoreError> {
        let called = timeout(within, contained(async { call(&*self.store).await })).await;
        let called = called.map_err(|_| StoreError::slow(within))?;
        called.unwrap_or_else(|| Err(StoreError::new("the store has panicked")))
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    fn token(&self) -> Token {
        Token::new(&self.instance, self.turns.fetch_add(1, Ordering::Relaxed))
    }

    /// This instance is next. If nobody wants it any more, the one after it is.
    pub(super) fn next(self: &Arc<Self>, id: &LeaseId) {
        if !self.waiting.tell(id) {
            self.release(*id, self.token());
        }
    }

    /// What the engine answers, within the budget; `None` if it fails, which counts against its health. That it answers
    /// speaks for it with leases alone: one that is full, or a replica, gives up what it would not grant.
    pub(super) async fn in_time<'a, T>(
        &'a self,
        call: impl FnOnce(&'a dyn LeaseStore) -> Answer<'a, T>,
    ) -> Option<T> {
        match self.ask(self.budget, call).await {
            Ok(answer) => Some(answer),
            Err(why) => {
                telemetry::lease_failed(&why);
                if self.health.bad(&why) {
                    telemetry::lease_down(&why);
                }
                None
            }
        }
    }

    /// Whether a revived engine is fast enough: otherwise turns would wait for it until it is given up,
    /// again and again.
    pub(super) async fn answers_in_time(&self) -> Result<(), StoreError> {
        let (nobodys, token) = (LeaseId::of_nobody(&self.instance), self.token());
        let mut slow = StoreError::slow(self.budget);
        // One that is late may be an accident.
        for _ in 0..MANY {
            match self.ask(self.budget, |store| store.release(&nobodys, &token)).await {
                Ok(()) => return Ok(()),
                Err(why) => slow = why,
            }
        }
        Err(slow)
    }

    /// The engine is there. Resolves once it is not any more.
    pub(super) async fn up(self: &Arc<Self>) {
        self.health.rise();
        telemetry::lease_up();
        self.tried.send_replace(true);
        self.settle();
        self.health.fallen().await;
        // Nobody waits for what cannot come.
        self.waiting.tell_all();
    }

    /// The engine could not be revived.
    pub(super) fn still_down(&self, why: &StoreError) {
        telemetry::lease_down(why);
        self.health.fall(why);
        self.tried.send_replace(true);
    }

    /// The engine is not there any more.
    pub(super) fn down(&self, why: &StoreError) {
        if self.health.fall(why) {
            telemetry::lease_down(why);
        }
    }

    /// A lease became another's while its turn went on.
    pub(super) fn lost(&self, id: &LeaseId) {
        telemetry::lease_lost(id);
    }

    /// Three quarters of it to all of it, so that instances do not ask in step.
    pub(super) fn jitter(&self, pause: Duration) -> Duration {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let chance = RandomState::new().hash_one(turn) % 256;
        pause.mul_f64(0.75 + chance as f64 / 1024.0)
    }
}
