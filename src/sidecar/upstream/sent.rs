use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use hyper::body::Incoming;
use hyper_util::client::legacy::ResponseFuture;
use pin_project_lite::pin_project;
use tower::BoxError;

use crate::upstream::NotSent;

pin_project! {
    /// The answer to a request; its error says whether the upstream may have seen that.
    pub(in crate::sidecar) struct Sent {
        #[pin]
        answer: ResponseFuture,
    }
}

// === impl Sent ===

impl Sent {
    pub(super) fn new(answer: ResponseFuture) -> Self {
        Self { answer }
    }
}

impl Future for Sent {
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().answer.poll(cx).map_err(|error| match error.is_connect() {
            true => NotSent::new(error).into(),
            false => error.into(),
        })
    }
}
