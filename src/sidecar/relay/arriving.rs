use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    sidecar::listen::activity::{Activity, Arrives},
    upstream::BrokenRequest,
};

/// The body of a player's request, which its connection is in the middle of until this has come to its
/// end or is dropped.
#[derive(Debug)]
pub(in crate::sidecar) struct Arriving {
    // Dropped first: the connection has to know of that before it can be quiet.
    body: Incoming,
    arrives: Option<Arrives>,
}

// === impl Arriving ===

impl Arriving {
    pub(in crate::sidecar) fn new(body: Incoming, activity: &Activity) -> Self {
        let arrives = (!body.is_end_stream()).then(|| activity.arrives());
        Self { body, arrives }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BrokenRequest;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenRequest>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.arrives = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BrokenRequest(error.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
