use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready as done},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{Allowance, Cause, Check, Known, Scope};
use crate::{
    rescue::Accept,
    session::{Extracted, Kind, MediaTailor, SessionKey},
    telemetry,
    upstream::{Judgement, Lessons, Verdict},
};

/// Answers for sessions that are known to be lost, blocked or failing; see [`Shield`].
#[derive(Debug, Clone)]
pub struct ShieldLayer {
    lessons: Arc<Lessons>,
}

/// A service that lets one request of a marked session through now and then, and answers the others at once with what
/// the upstream said last: the verdict is in the answer's extensions.
///
/// A session that is failing is answered here only where a last good playlist can take the answer's place: a player
/// that has nothing yet may have its try. Once a session or its configuration has had as many 4xx in a minute as
/// [`Config`](super::Config) allows, what was not good before is answered here as well.
///
/// # Cancel safety
///
/// Dropping the future drops the inner service's.
#[derive(Debug, Clone)]
pub struct Shield<S> {
    inner: S,
    lessons: Arc<Lessons>,
}

/// When to ask again; in the extensions of an answer of the shield.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskAgainIn(pub(crate) Duration);

pin_project! {
    /// The future of [`Shield`].
    #[derive(Debug)]
    pub struct ShieldFuture<F, B> {
        #[pin]
        way: Way<F, B>,
    }
}

pin_project! {
    #[project = WayProjection]
    #[derive(Debug)]
    enum Way<F, B> {
        Passed { #[pin] answer: F },
        Answered { #[pin] answer: Ready<Response<B>> },
    }
}

// === impl ShieldLayer ===

impl ShieldLayer {
    /// For the sessions that were marked here.
    pub fn new(lessons: Arc<Lessons>) -> Self {
        Self { lessons }
    }
}

impl<S> Layer<S> for ShieldLayer {
    type Service = Shield<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Shield { inner, lessons: Arc::clone(&self.lessons) }
    }
}

// === impl Shield ===

impl<S> Shield<S> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// What is known of a request's session, if that is the answer.
    fn known(&self, head: &Parts) -> Option<(Verdict, Option<StatusCode>, Duration)> {
        let Extracted { kind, session } = Extracted::of(head, &MediaTailor::new());
        let key = session.ok().flatten()?;
        if matches!(kind, Kind::Segment | Kind::Other) {
            return None;
        }
        let now = Instant::now();
        let known = match kind {
            Kind::Media | Kind::Multivariant => match self.lessons.marks.check(&key, now) {
                Check::Answer(known) => Some(known),
                Check::Pass | Check::Probe => None,
            },
            // Nothing is learned from these: as a probe one would keep the playlists waiting for word of it.
            _ => self.lessons.marks.known(&key, now),
        };
        let known =
            known.filter(|known| known.cause != Cause::Failing || self.has_last_good(&key, head, now));
        let known = known.map(|known| (verdict_of(&known), known.status, known.next_probe));
        let known = known.or_else(|| match self.lessons.quota.allows(&key, now) {
            Allowance::Spent(Scope::Session) => Some((Verdict::Throttled, None, Duration::from_secs(10))),
            Allowance::Spent(Scope::Configuration) if !self.lessons.store.knows(&key) => {
                Some((Verdict::Throttled, None, Duration::from_secs(10)))
            }
            _ => None,
        })?;
        telemetry::shielded(&key, kind, known.0.as_str());
        Some(known)
    }

    fn has_last_good(&self, key: &SessionKey, head: &Parts, now: Instant) -> bool {
        self.lessons.store.rescue(key, &head.uri, Accept::of(&head.headers), now).is_ok()
    }
}

fn verdict_of(known: &Known) -> Verdict {
    match (known.cause, known.status.map(|status| status.as_u16())) {
        (Cause::Lost, _) => Verdict::SessionLost,
        (Cause::Blocked, _) => Verdict::Blocked,
        (Cause::Failing, Some(409)) => Verdict::Conflict,
        (Cause::Failing, Some(429)) => Verdict::Throttled,
        (Cause::Failing, Some(503)) => Verdict::Overloaded,
        (Cause::Failing, Some(504)) => Verdict::TimedOut,
        (Cause::Failing, Some(_)) => Verdict::OriginBroken,
        (Cause::Failing, None) => Verdict::Unreachable,
    }
}

impl<S, Q, B> Service<Request<Q>> for Shield<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = ShieldFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (head, body) = request.into_parts();
        let Some((verdict, status, again)) = self.known(&head) else {
            let answer = self.inner.call(Request::from_parts(head, body));
            return ShieldFuture { way: Way::Passed { answer } };
        };
        let mut response = Response::new(B::from(Bytes::new()));
        *response.status_mut() = status.unwrap_or(StatusCode::BAD_GATEWAY);
        response.extensions_mut().insert(Judgement::from(verdict));
        response.extensions_mut().insert(AskAgainIn(again));
        ShieldFuture { way: Way::Answered { answer: ready(response) } }
    }
}

// === impl ShieldFuture ===

impl<F, B, E> Future for ShieldFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().way.project() {
            WayProjection::Passed { answer } => done!(answer.poll(cx)).map_err(Into::into),
            WayProjection::Answered { answer } => Ok(done!(answer.poll(cx))),
        })
    }
}
