use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready as done},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{Allowance, Answer, Check, Place, Probe, Scope};
use crate::{
    observe::record::Note,
    session::{Extracted, Kind, MediaTailor, SessionKey},
    telemetry,
    upstream::Lessons,
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

/// A place among those in flight that may bring a 4xx.
#[derive(Debug)]
struct Reserved {
    lessons: Arc<Lessons>,
    key: SessionKey,
}

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
        Passed { #[pin] answer: F, reserved: Option<Reserved> },
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

    /// What is known of a request's session if that is the answer, or the place that it goes on with.
    fn look(&self, head: &mut Parts) -> Result<Option<Reserved>, Answer> {
        let Extracted { kind, session } = Extracted::of(head, &MediaTailor::new());
        let Ok(Some(key)) = session else { return Ok(None) };
        if matches!(kind, Kind::Segment | Kind::Other) {
            return Ok(None);
        }
        let now = Instant::now();
        let lessons = &self.lessons;
        let answer = |head: &Parts, answer: Answer| {
            telemetry::shielded(&key, kind, answer.verdict().as_str());
            if let Some(note) = head.extensions.get::<Note>() {
                note.shielded(answer.verdict());
            }
            Err(answer)
        };
        let known = match kind {
            Kind::Media | Kind::Multivariant => match lessons.marks.check(&key, now) {
                Check::Answer(known) => Some(known),
                Check::Pass => None,
                Check::Probe => {
                    head.extensions.insert(Probe);
                    None
                }
            },
            // Nothing is learned from these: as a probe one would keep the playlists waiting for word of it.
            _ => lessons.marks.known(&key, now),
        };
        match known {
            Some(known) if lessons.answers(&known, &key, head, now) => {
                return answer(head, Answer::of(&known));
            }
            _ => {}
        }
        match lessons.quota.allows(&key, now) {
            Allowance::Allow if lessons.quota.configurations() == 0 => return Ok(None),
            // What one playlist has spent is not the others' fault.
            Allowance::Spent(Scope::Session) if !lessons.store.has(&key, &head.uri) => {
                return answer(head, Answer::throttled());
            }
            // What was good before may well be good again.
            _ if self.was_good(&key, now) => return Ok(None),
            Allowance::Spent(_) => return answer(head, Answer::throttled()),
            Allowance::Allow | Allowance::NearLimit(_) => {}
        }
        match lessons.quota.reserve(&key, now) {
            Place::Free => Ok(None),
            Place::Taken => Ok(Some(Reserved { lessons: Arc::clone(lessons), key })),
            Place::None => answer(head, Answer::throttled()),
        }
    }

    /// Whether a session is hardly one of those that spend their configuration's quota: it has a playlist, or it had no
    /// 4xx and was just made through here or, where no playlists are kept, whoever made it. When many sessions are lost at once,
    /// those that are made in their place must not pay for them.
    fn was_good(&self, key: &SessionKey, now: Instant) -> bool {
        let Lessons { store, quota, .. } = &*self.lessons;
        store.knows(key) || (store.is_off() || self.lessons.is_new(key, now)) && !quota.has_spent(key, now)
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
        let (mut head, body) = request.into_parts();
        let way = match self.look(&mut head) {
            Ok(reserved) => {
                Way::Passed { answer: self.inner.call(Request::from_parts(head, body)), reserved }
            }
            Err(answer) => Way::Answered { answer: ready(answer.into_response()) },
        };
        ShieldFuture { way }
    }
}

// === impl Reserved ===

impl Drop for Reserved {
    fn drop(&mut self) {
        self.lessons.quota.release(&self.key);
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
            WayProjection::Passed { answer, .. } => done!(answer.poll(cx)).map_err(Into::into),
            WayProjection::Answered { answer } => Ok(done!(answer.poll(cx))),
        })
    }
}
