//! The future of an answer.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response, Uri};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower::{BoxError, util::Oneshot};
use tower_service::Service;

use super::{Body, Error, ErrorKind};
use crate::{
    observe::record::Note,
    session::{Kind, SessionKey},
    telemetry::{self, Flights},
    upstream::{Judgement, Verdict},
};

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
        Direct {
            #[pin]
            call: Oneshot<S, Request<ReqBody>>,
            passing: Passing,
            time_up: Option<Pin<Box<Sleep>>>,
        },
        Lane { answer: Answering<ResBody> },
        Refused { error: Option<Error> },
    }
}

/// What is logged of a request that needs no lane.
#[derive(Debug)]
pub(super) struct Passing {
    key: Option<SessionKey>,
    kind: Kind,
    uri: Uri,
    at: Instant,
    /// Where it is written down what becomes of it, if it is.
    note: Option<Note>,
    answered: bool,
}

type Answering<B> = Pin<Box<dyn Future<Output = Result<Response<Body<B>>, Error>> + Send>>;

// === impl ResponseFuture ===

impl<S, ReqBody, ResBody> ResponseFuture<S, ReqBody, ResBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(super) fn direct(
        call: Oneshot<S, Request<ReqBody>>,
        passing: Passing,
        within: Option<Duration>,
    ) -> Self {
        let time_up = within.map(|within| Box::pin(sleep(within)));
        Self { way: Way::Direct { call, passing, time_up } }
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
            WayProjection::Direct { call, passing, time_up } => {
                let answer = match (call.poll(cx), time_up) {
                    (Poll::Ready(answer), _) => answer.map_err(Error::upstream),
                    (Poll::Pending, Some(time_up)) => {
                        ready!(time_up.as_mut().poll(cx));
                        telemetry::gave_up(passing.kind);
                        Err(Error::new(ErrorKind::TimedOut))
                    }
                    (Poll::Pending, None) => return Poll::Pending,
                };
                if !mem::replace(&mut passing.answered, true) {
                    if let Some(note) = &passing.note {
                        note.attempted_once(&answer);
                    }
                    passing.log(Some(answer.as_ref()));
                }
                answer.map(|response| response.map(Body::direct))
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

// === impl Passing ===

impl Passing {
    pub(super) fn new(
        (key, kind): (Option<SessionKey>, Kind),
        uri: Uri,
        at: Instant,
        note: Option<Note>,
    ) -> Self {
        Flights::get().passes();
        Self { key, kind, uri, at, note, answered: false }
    }

    /// Its upstream time is that to the answer's head: the body is the player's to read.
    fn log<B>(&self, answer: Option<Result<&Response<B>, &Error>>) {
        Flights::get().passed();
        let (response, error) = (answer.and_then(Result::ok), answer.and_then(Result::err));
        let (status, abandoned) = (response.map(Response::status), answer.is_none());
        let now = Instant::now();
        let failed = error.map(|error| Verdict::of_error(error));
        if let Some(note) = &self.note {
            note.ended(now, status, failed, abandoned);
        }
        let judged = || response?.extensions().get().map(|judgement: &Judgement| judgement.verdict);
        telemetry::Exchange {
            key: self.key.as_ref(),
            kind: self.kind,
            uri: &self.uri,
            waited: None,
            upstream: now - self.at,
            status,
            request_id: response.and_then(|response| response.headers().get(telemetry::REQUEST_ID)),
            verdict: failed.or_else(judged),
            made_here: false,
            attached: 0,
            abandoned,
            trace: self.note.as_ref().and_then(Note::trace_id),
            error: error.map(|error| error as _),
        }
        .log();
    }
}

impl Drop for Passing {
    /// The player left, or its time was up.
    fn drop(&mut self) {
        if !self.answered {
            self.log::<()>(None);
        }
    }
}
