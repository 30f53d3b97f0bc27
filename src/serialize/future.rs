//! The future of an answer.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{BoxError, util::Oneshot};
use tower_service::Service;

use super::{Body, Error};

pin_project! {
    /// The future of [`Serialize`](super::Serialize).
    ///
    /// # Cancel safety
    ///
    /// Dropping it is a player that goes away: a request that waits leaves the lane and is never sent, one that
    /// was sent runs on to its end without it.
    pub struct ResponseFuture<S, ReqBody, ResBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        way: Way<S, ReqBody, ResBody>,
    }
}

pin_project! {
    #[project = WayProjection]
    enum Way<S, ReqBody, ResBody>
    where
        S: Service<Request<ReqBody>>,
    {
        Direct { #[pin] call: Oneshot<S, Request<ReqBody>> },
        Lane { answer: Answering<ResBody> },
        Refused { error: Option<Error> },
    }
}

type Answering<B> = Pin<Box<dyn Future<Output = Result<Response<Body<B>>, Error>> + Send>>;

// === impl ResponseFuture ===

impl<S, ReqBody, ResBody> ResponseFuture<S, ReqBody, ResBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(super) fn direct(call: Oneshot<S, Request<ReqBody>>) -> Self {
        Self { way: Way::Direct { call } }
    }

    pub(super) fn lane(answer: Answering<ResBody>) -> Self {
        Self { way: Way::Lane { answer } }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self { way: Way::Refused { error: Some(error) } }
    }
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S, ReqBody, ResBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<Body<ResBody>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().way.project() {
            WayProjection::Direct { call } => {
                ready!(call.poll(cx)).map(|response| response.map(Body::direct)).map_err(Error::upstream)
            }
            WayProjection::Lane { answer } => ready!(answer.as_mut().poll(cx)),
            WayProjection::Refused { error } => {
                Err(error.take().expect("polled after it was ready, against the contract of futures"))
            }
        })
    }
}

impl<S, ReqBody, ResBody> fmt::Debug for ResponseFuture<S, ReqBody, ResBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::Direct { .. } => "direct",
            Way::Lane { .. } => "lane",
            Way::Refused { .. } => "refused",
        };
        f.debug_tuple("ResponseFuture").field(&way).finish()
    }
}
