use std::{
    fmt,
    future::{Future, Ready, ready},
    mem,
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

use super::{Allowance, Answer, Cause, Check, Probe, hearing::Hearing, quota::Place};
use crate::{
    rescue::Standing,
    session::{Creates, Extracted, Kind, MediaTailor, SessionKey},
    telemetry,
    upstream::{Ask, Lessons},
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
/// that has nothing yet may have its try. Where one of its playlists fails and others do not, the others go
/// on as before: the failing one is probed by itself, the more rarely the longer the others have to wait for
/// each of its failures.
///
/// Once a session or its configuration has had as many 4xx in a minute as [`Config`](super::Config) allows,
/// requests for what was not good before are answered here as well. So are requests that create a session of
/// a stream, if no session of that stream was made in the last minute: all requests that create sessions of
/// one stream have, together, the limits of one session.
///
/// As long as it is not known whether such requests go well, no more of them are in flight than the
/// configuration may still have 4xx: the others wait until the first are back, a second at the most.
///
/// # Cancel safety
///
/// Dropping the future drops the inner service's; a request that waits is then not sent.
#[derive(Debug, Clone)]
pub struct Shield<S> {
    inner: S,
    lessons: Arc<Lessons>,
}

/// How a request goes on.
enum Way {
    /// It may be sent, and what comes of it may be of use.
    Pass(Option<Hearing>),
    /// Those in flight are heard first.
    Wait(SessionKey, Kind),
    Answered(Answer),
}

type Later<B> = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

pin_project! {
    /// The future of [`Shield`].
    pub struct ShieldFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B> {
        Passed { #[pin] answer: F, hearing: Option<Hearing> },
        Waiting { answer: Later<B> },
        Answered { #[pin] answer: Ready<Response<B>> },
    }
}

// === impl ShieldLayer ===

impl ShieldLayer {
    /// Answers for the sessions that these lessons have marked.
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
    /// What is known of a request's session decides on its way.
    fn look(&self, head: &mut Parts) -> Way {
        let Extracted { kind, session } = Extracted::of(head, &MediaTailor::new());
        let key = match (session, head.extensions.get()) {
            (Ok(Some(key)), _) => key,
            (Ok(None), Some(Creates(stream))) => return self.create(head, stream.clone(), kind),
            _ => return Way::Pass(None),
        };
        if matches!(kind, Kind::Segment | Kind::Other) {
            return Way::Pass(None);
        }
        let (lessons, now) = (&self.lessons, Instant::now());
        let known = match kind {
            Kind::Media | Kind::Multivariant => match lessons.ask(&key, head, now) {
                Ask::Send => None,
                Ask::Probe(probe) => {
                    head.extensions.insert(probe);
                    None
                }
                Ask::Answer(known) => Some(known),
            },
            // Nothing is learned from others: as a probe one would keep the playlists waiting for word of it.
            _ => lessons.known(&key, head, now),
        };
        if let Some(known) = known {
            return Way::Answered(Answer::of(&known).told(&key, kind, head.extensions.get()));
        }
        if kind == Kind::Tracking {
            return match lessons.quota.allows_tracking(&key, now) {
                true => Way::Pass(None),
                false => Way::Answered(refuse(head, &key, kind)),
            };
        }
        // What one playlist has spent is not the others' fault.
        if lessons.quota.is_spent(&key, now)
            && lessons.store.standing(&key, &head.uri) != Some(Standing::Given)
        {
            return Way::Answered(refuse(head, &key, kind));
        }
        if lessons.is_good(&key, &head.uri) {
            return Way::Pass(None);
        }
        if lessons.was_good(&key, now) {
            let is_heard = !lessons.store.is_off();
            return Way::Pass(is_heard.then(|| Hearing::new(lessons, key, false)));
        }
        if matches!(lessons.quota.allows(&key, now), Allowance::Spent(_)) {
            return Way::Answered(refuse(head, &key, kind));
        }
        self.admit(head, key, kind)
    }

    /// The way of a request that creates a session. If others of its stream had a session less than a minute
    /// ago, this one may have one as well, since some are refused only for what they ask. Where no quota is
    /// left, a request now and then finds out whether the stream has begun.
    fn create(&self, head: &mut Parts, stream: SessionKey, kind: Kind) -> Way {
        let (lessons, now) = (&self.lessons, Instant::now());
        let is_spent = matches!(lessons.quota.allows(&stream, now), Allowance::Spent(_));
        if lessons.was_served(&stream, now) || is_spent && is_first(head, lessons, &stream) {
            return Way::Pass(Some(Hearing::new(lessons, stream, false)));
        }
        if !is_spent {
            return self.admit(head, stream, kind);
        }
        match lessons.marks.check(&stream, now) {
            Check::Probe => {
                head.extensions.insert(Probe::of_session(lessons, &stream));
                return Way::Pass(Some(Hearing::new(lessons, stream, false)));
            }
            Check::Pass => drop(lessons.marks.mark(&stream, Cause::Failing, None, None, now)),
            Check::Answer(_) => {}
        }
        Way::Answered(refuse(head, &stream, kind))
    }

    /// Whether there may be a 4xx to a request of which nothing good is known.
    fn admit(&self, head: &Parts, key: SessionKey, kind: Kind) -> Way {
        let lessons = &self.lessons;
        match lessons.quota.reserve(&key, Instant::now()) {
            Place::Taken => Way::Pass(Some(Hearing::new(lessons, key, true))),
            Place::Later => Way::Wait(key, kind),
            Place::None if is_first(head, lessons, &key) => {
                Way::Pass(Some(Hearing::new(lessons, key, false)))
            }
            Place::None => Way::Answered(refuse(head, &key, kind)),
        }
    }
}

/// Whether it creates a session of a stream that had no 4xx: when many sessions are lost at once, those that
/// take their place must not pay for them.
fn is_first(head: &Parts, lessons: &Lessons, stream: &SessionKey) -> bool {
    head.extensions.get::<Creates>().is_some() && !lessons.quota.has_spent(stream, Instant::now())
}

impl<S, Q, B> Service<Request<Q>> for Shield<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    Q: Send + 'static,
    B: From<Bytes> + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = ShieldFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let state = match self.look(&mut head) {
            Way::Pass(hearing) => {
                State::Passed { answer: self.inner.call(Request::from_parts(head, body)), hearing }
            }
            Way::Wait(key, kind) => {
                let ready = self.inner.clone();
                let inner = mem::replace(&mut self.inner, ready);
                let lessons = Arc::clone(&self.lessons);
                State::Waiting {
                    answer: Box::pin(send_later(
                        inner,
                        lessons,
                        (key, kind),
                        Request::from_parts(head, body),
                    )),
                }
            }
            Way::Answered(answer) => State::Answered { answer: ready(answer.into_response()) },
        };
        ShieldFuture { state }
    }
}

/// Waits until those in flight say whether one more may be sent.
async fn send_later<S, Q, B>(
    mut inner: S,
    lessons: Arc<Lessons>,
    (key, kind): (SessionKey, Kind),
    request: Request<Q>,
) -> Result<Response<B>, BoxError>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
{
    telemetry::waits_for_quota(&key);
    let has_place = lessons.quota.wait(&key).await;
    let (head, body) = request.into_parts();
    if !has_place && !is_first(&head, &lessons, &key) {
        return Ok(refuse(&head, &key, kind).into_response());
    }
    let mut hearing = Hearing::new(&lessons, key, has_place);
    let answer = inner.call(Request::from_parts(head, body)).await.map_err(Into::into)?;
    hearing.hear(answer.status());
    Ok(answer)
}

/// The answer to what would likely be one 4xx too many.
fn refuse(head: &Parts, key: &SessionKey, kind: Kind) -> Answer {
    Answer::throttled().told(key, kind, head.extensions.get())
}

// === impl ShieldFuture ===

impl<F, B, E> Future for ShieldFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().state.project() {
            StateProjection::Passed { answer, hearing } => {
                let answer = done!(answer.poll(cx));
                if let (Some(mut hearing), Ok(answer)) = (hearing.take(), &answer) {
                    hearing.hear(answer.status());
                }
                answer.map_err(Into::into)
            }
            StateProjection::Waiting { answer } => done!(answer.as_mut().poll(cx)),
            StateProjection::Answered { answer } => Ok(done!(answer.poll(cx))),
        })
    }
}

impl<F, B> fmt::Debug for ShieldFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShieldFuture").finish_non_exhaustive()
    }
}
