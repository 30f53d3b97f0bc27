use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::runtime::Handle;
use tracing::Instrument as _;

/// An exchange from its place in line to its end.
pub(super) type Story = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An exchange that its player's wait drives: as long as somebody polls for the answer, a task of its own would only cost
/// a wake and a switch.
///
/// Dropped before its end, whether its player has gone or has its answer, the exchange goes on in a task.
pub(super) struct Driven(Option<Story>);

// === impl Driven ===

impl Driven {
    pub(super) fn new(story: Story) -> Self {
        Self(Some(story))
    }

    /// Goes on with the exchange. One that panics is at its end, and its players hear of it as from a task.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) {
        let Some(story) = &mut self.0 else { return };
        // What a panic leaves behind is dropped at once and seen by nobody.
        match catch_unwind(AssertUnwindSafe(|| story.as_mut().poll(cx))) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) | Err(_) => self.0 = None,
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // Without a runtime there is nobody who could go on: this is its end.
        if let Some(story) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(story.in_current_span());
        }
    }
}

/// `None` if it panics: what was sent is still with the upstream, and the turn has to be kept for as long as after any other
/// break.
pub(crate) async fn contained<T>(exchange: impl Future<Output = T>) -> Option<T> {
    let mut exchange = pin!(exchange);
    poll_fn(|cx| {
        // What a panic leaves behind is dropped and seen by nobody.
        let polled = catch_unwind(AssertUnwindSafe(|| exchange.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}
