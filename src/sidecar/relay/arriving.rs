use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::sidecar::listen::activity::{Activity, Arrives};

/// A request has it in its extensions while its body arrives: whether that broke off. What the client says of it is another thing in
/// each version of HTTP; over HTTP/2 it is no more than that the stream was reset.
#[derive(Debug, Clone, Default)]
pub(in crate::sidecar) struct BrokeOff(Arc<AtomicBool>);

/// The body of a player's request, which its connection is in the middle of until this has come to its
/// end or is dropped.
#[derive(Debug)]
pub(in crate::sidecar) struct Arriving {
    // Dropped first: the connection has to know of that before it can be quiet.
    body: Incoming,
    arrives: Option<Arrives>,
    broke_off: Option<BrokeOff>,
}

// === impl BrokeOff ===

impl BrokeOff {
    pub(in crate::sidecar) fn has(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

// === impl Arriving ===

impl Arriving {
    pub(in crate::sidecar) fn of(request: Request<Incoming>, activity: &Activity) -> Request<Self> {
        let (mut head, body) = request.into_parts();
        if body.is_end_stream() {
            return Request::from_parts(head, Self { body, arrives: None, broke_off: None });
        }
        let broke_off = BrokeOff::default();
        head.extensions.insert(broke_off.clone());
        let arriving = Self { body, arrives: Some(activity.arrives()), broke_off: Some(broke_off) };
        Request::from_parts(head, arriving)
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.arrives = None;
        }
        if let (Some(Err(_)), Some(BrokeOff(broke_off))) = (&frame, &self.broke_off) {
            broke_off.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
