use std::{
    error::Error,
    future::Future,
    iter::successors,
    pin::Pin,
    task::{Context, Poll},
};

use h2::Reason;
use http::Response;
use hyper::body::Incoming;
use hyper_util::client::legacy::ResponseFuture;
use pin_project_lite::pin_project;
use tower::BoxError;

use crate::{
    sidecar::relay::arriving::BrokeOff,
    upstream::{BrokenRequest, NotSent},
};

pin_project! {
    /// The answer to a request; its error says whether the upstream may have seen that.
    pub(in crate::sidecar) struct Sent {
        #[pin]
        answer: ResponseFuture,
        broke_off: Option<BrokeOff>,
    }
}

// === impl Sent ===

impl Sent {
    pub(super) fn new(answer: ResponseFuture, broke_off: Option<BrokeOff>) -> Self {
        Self { answer, broke_off }
    }
}

impl Future for Sent {
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.answer.poll(cx).map_err(|error| match error.is_connect() || is_unprocessed(&error) {
            true => NotSent::new(error).into(),
            false if this.broke_off.as_ref().is_some_and(BrokeOff::has) => BrokenRequest(error.into()).into(),
            false => error.into(),
        })
    }
}

/// Whether an HTTP/2 upstream says that it has done nothing: it refused the stream, or was closing in good order (RFC 9113 sections
/// 8.7 and 6.8), as load balancers do with connections that grow old.
fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    let causes = successors(Some(error), |error| (*error).source());
    let says = |error: &h2::Error| match error.reason() {
        Some(Reason::REFUSED_STREAM) => error.is_remote(),
        Some(Reason::NO_ERROR) => error.is_remote() && error.is_go_away(),
        _ => false,
    };
    causes.filter_map(|error| error.downcast_ref()).any(says)
}
