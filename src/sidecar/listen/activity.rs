use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};

/// What one client connection is doing, to tell when it has done nothing for too long.
///
/// hyper's own limit would be a timer that moves with every request, and has none for a connection that has not
/// shown its HTTP version.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Requests that were taken and are not answered to the last byte.
    open: u32,
    /// Those of them whose answer is on its way to the client.
    answering: u32,
    /// Requests whose body has not come to its end.
    arriving: u32,
    /// When something last happened: a request came or was answered, or bytes of an answer were taken.
    since: Instant,
    /// The socket takes no more of what is to be written.
    stuck: bool,
}

/// One open request.
#[derive(Debug)]
pub(in crate::sidecar) struct Busy {
    activity: Activity,
    answering: bool,
}

/// A request whose body has not come to its end.
#[derive(Debug)]
pub(in crate::sidecar) struct Arrives(Activity);

pin_project! {
    /// A body whose request is open until it has been read.
    #[derive(Debug)]
    pub(in crate::sidecar) struct BusyBody<B> {
        #[pin]
        body: B,
        busy: Busy,
    }
}

// === impl Activity ===

impl Activity {
    pub(in crate::sidecar) fn new() -> Self {
        let since = Instant::now();
        Self(Arc::new(Mutex::new(State { open: 0, answering: 0, arriving: 0, since, stuck: false })))
    }

    pub(in crate::sidecar) fn busy(&self) -> Busy {
        let mut state = self.state();
        state.open += 1;
        Busy { activity: self.clone(), answering: false }
    }

    pub(in crate::sidecar) fn arrives(&self) -> Arrives {
        self.state().arriving += 1;
        Arrives(self.clone())
    }

    /// Whether no request is open, none is only half here, and the socket has taken every answer. Half a
    /// request's head is none; of half a body the rest would be taken for a request.
    pub(in crate::sidecar) fn is_quiet(&self) -> bool {
        let state = self.state();
        state.open == 0 && state.arriving == 0 && !state.stuck
    }

    /// Since when nothing has happened that the client could do something about; `None` while it waits for an
    /// answer. A client that reads no more of its answer does nothing, and neither does half a head.
    pub(in crate::sidecar) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.open == state.answering).then_some(state.since)
    }

    /// Notes that bytes of an answer were taken.
    pub(in crate::sidecar) fn progress(&self) {
        self.state().since = Instant::now();
    }

    /// Resolves once nothing has happened for as long as the limit; see [`idle_since`](Self::idle_since).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(in crate::sidecar) async fn idle(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            match self.idle_since().unwrap_or(now).checked_add(limit) {
                Some(end) if end <= now => return,
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Notes whether the socket takes what is to be written.
    pub(in crate::sidecar) fn stuck(&self, stuck: bool) {
        self.state().stuck = stuck;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Busy ===

impl Busy {
    /// The answer has come and is on its way.
    pub(in crate::sidecar) fn body<B>(mut self, body: B) -> BusyBody<B> {
        self.answering = true;
        let mut state = self.activity.state();
        state.answering += 1;
        state.since = Instant::now();
        drop(state);
        BusyBody { body, busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.open -= 1;
        state.answering -= u32::from(self.answering);
        state.since = Instant::now();
    }
}

// === impl Arrives ===

impl Drop for Arrives {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.arriving -= 1;
        // The connection has yet to look at it.
        state.since = Instant::now();
    }
}

// === impl BusyBody ===

impl<B: Body> Body for BusyBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(cx);
        if frame.is_ready() {
            this.busy.activity.progress();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
