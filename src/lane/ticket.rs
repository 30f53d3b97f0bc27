use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    Error,
    lanes::{Admission, Inner},
    sync::{AcquireError, OwnedSemaphorePermit, timeout},
};

/// A place in one lane. Dropping it leaves the line; the tickets behind it move up.
#[must_use = "a ticket that is dropped leaves the line"]
pub struct Ticket<K: Eq + Hash> {
    // Before the place, as in `Turn`: a turn that has come already is handed on while the lane still exists.
    line: Option<Line<K>>,
    place: Place<K>,
    ahead: u32,
    wait: Duration,
}

/// The right to be in flight. Dropping it hands it to the next in line.
#[must_use = "a turn that is dropped is over"]
pub struct Turn<K: Eq + Hash> {
    // The proof that there is one turn is that its place lasts as long: while it is counted the lane exists, and
    // whoever comes stands behind it. The fields drop as declared, the permit into a lane that still exists. The
    // other way round nothing would break either, since a lane that goes has nobody left to wake.
    _permit: Option<OwnedSemaphorePermit>,
    _place: Place<K>,
}

/// One count in the lane's slot.
struct Place<K: Eq + Hash> {
    lanes: Arc<Inner<K>>,
    key: K,
    /// It came into an empty lane, so it has the turn without a permit and leaves one behind.
    first: bool,
}

/// The wait behind others.
struct Line<K: Eq + Hash> {
    permit: Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>,
    /// What the first look at `permit` said, if it was ready.
    ready: Option<Result<OwnedSemaphorePermit, AcquireError>>,
    _counted: Counted<K>,
}

/// One count among all who wait.
struct Counted<K: Eq + Hash>(Arc<Inner<K>>);

// === impl Ticket ===

impl<K: Eq + Hash> Ticket<K> {
    pub(super) fn new(lanes: Arc<Inner<K>>, key: K, admission: Admission, wait: Duration) -> Self {
        let (line, ahead) = match admission {
            Admission::First => (None, 0),
            Admission::Behind(ahead, semaphore) => {
                let counted = Counted(Arc::clone(&lanes));
                let mut permit: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(semaphore.acquire_owned());
                // The semaphore's order is that of the first polls: looking once now makes it that of joining.
                let ready = match permit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(ready) => Some(ready),
                    Poll::Pending => None,
                };
                (Some(Line { permit, ready, _counted: counted }), ahead)
            }
        };
        let place = Place { lanes, key, first: line.is_none() };
        Self { line, place, ahead, wait }
    }

    /// How many were in the lane when this ticket was drawn, the one in flight included.
    pub fn ahead(&self) -> u32 {
        self.ahead
    }

    /// Waits for the turn, at most as long as [`Limits::wait`](super::Limits::wait) says.
    ///
    /// # Errors
    ///
    /// See [`turn_within`](Self::turn_within).
    ///
    /// # Panics
    ///
    /// See [`turn_within`](Self::turn_within).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; the turn goes to the next.
    pub async fn turn(self) -> Result<Turn<K>, Error> {
        let wait = self.wait;
        self.turn_within(wait).await
    }

    /// Waits for the turn, at most `wait` from the first poll on. With [`Duration::MAX`] it waits as long as it
    /// takes.
    ///
    /// # Errors
    ///
    /// [`WaitedTooLong`](super::ErrorKind::WaitedTooLong) when the time is up,
    /// [`Closed`](super::ErrorKind::Closed) when the lanes were closed meanwhile. The place is given up
    /// either way.
    ///
    /// # Panics
    ///
    /// When it has to wait, and not forever, outside of a tokio runtime whose clock is enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; the turn goes to the next.
    pub async fn turn_within(self, wait: Duration) -> Result<Turn<K>, Error> {
        let Self { line, place, .. } = self;
        let Some(line) = line else {
            return Ok(Turn { _permit: None, _place: place });
        };
        // When this future is dropped here, the line goes before the place: what is awaited drops first.
        let permit = if wait == Duration::MAX {
            line.permit().await
        } else {
            timeout(wait, line.permit()).await.map_err(|_| Error::WAITED_TOO_LONG)?
        };
        Ok(Turn { _permit: Some(permit.map_err(|_| Error::CLOSED)?), _place: place })
    }
}

impl<K: Eq + Hash> fmt::Debug for Ticket<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("ahead", &self.ahead).finish_non_exhaustive()
    }
}

// === impl Turn ===

impl<K: Eq + Hash> fmt::Debug for Turn<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

// === impl Place ===

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        self.lanes.leave(&self.key, self.first);
    }
}

// === impl Line ===

impl<K: Eq + Hash> Line<K> {
    async fn permit(mut self) -> Result<OwnedSemaphorePermit, AcquireError> {
        match self.ready.take() {
            Some(ready) => ready,
            None => self.permit.as_mut().await,
        }
    }
}

// === impl Counted ===

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}
