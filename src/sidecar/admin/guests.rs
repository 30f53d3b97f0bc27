use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::sidecar::listen::activity::Activity;

/// The clients of the admin port: this many at once, and one that says nothing makes room for one that comes.
#[derive(Debug)]
pub(super) struct Guests {
    places: Arc<Semaphore>,
    here: Mutex<Vec<Arc<Inner>>>,
}

/// One of them, as long as it is connected.
#[derive(Debug)]
pub(super) struct Guest {
    inner: Arc<Inner>,
    guests: Arc<Guests>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Inner {
    activity: Activity,
    leave: Notify,
}

/// Where all of them have requests: how long until it is looked again for one that has none.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

// === impl Guests ===

impl Guests {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(most)), here: Mutex::default() })
    }

    /// Takes one more in, in place of the one that has been without a request for the longest if there is no room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nobody in; one may have been asked to leave.
    pub(super) async fn take_in(self: &Arc<Self>) -> Guest {
        let place = loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                break place;
            }
            self.ask_one_to_leave();
            if let Ok(Ok(place)) = timeout(LOOK_AGAIN, Arc::clone(&self.places).acquire_owned()).await {
                break place;
            }
        };
        let inner = Arc::new(Inner { activity: Activity::new(), leave: Notify::new() });
        self.here().push(Arc::clone(&inner));
        Guest { inner, guests: Arc::clone(self), _place: place }
    }

    fn ask_one_to_leave(&self) {
        let here = self.here();
        let quiet = here.iter().filter(|one| one.activity.is_quiet());
        if let Some(one) = quiet.min_by_key(|one| one.activity.idle_since()) {
            one.leave.notify_one();
        }
    }

    fn here(&self) -> MutexGuard<'_, Vec<Arc<Inner>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Guest ===

impl Guest {
    /// What it does.
    pub(super) fn activity(&self) -> &Activity {
        &self.inner.activity
    }

    /// Resolves when it has to make room for another, and has no request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses at most that it was asked to leave; it will be asked again.
    pub(super) async fn has_to_leave(&self) {
        loop {
            self.inner.leave.notified().await;
            // It may have asked for something since.
            if self.inner.activity.is_quiet() {
                return;
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.here().retain(|one| !Arc::ptr_eq(one, &self.inner));
    }
}
