use std::{
    fmt,
    future::{Future, Ready, ready},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready as done},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{Allowance, Answer, Check, Probe, Scope, doubt::Outcome, quota::Place};
use crate::{
    observe::record::Note,
    session::{Extracted, Kind, MediaTailor, SessionKey},
    telemetry,
    upstream::{Lessons, Verdict},
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
/// As long as it is not known whether such requests go well, no more of them are in flight than the configuration may have
/// 4xx: the others wait until the first are back, a second at the most.
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
    /// It may be sent.
    Pass(Option<Reserved>),
    /// Those in flight are heard first.
    Wait(SessionKey, Kind),
    Answered(Answer),
}

/// A place among those in flight that may bring a 4xx.
#[derive(Debug)]
struct Reserved {
    lessons: Arc<Lessons>,
    key: SessionKey,
    outcome: Option<Outcome>,
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
        Passed { #[pin] answer: F, reserved: Option<Reserved> },
        Waiting { answer: Later<B> },
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

    /// What is known of a request's session decides on its way.
    fn look(&self, head: &mut Parts) -> Way {
        let Extracted { kind, session } = Extracted::of(head, &MediaTailor::new());
        let Ok(Some(key)) = session else { return Way::Pass(None) };
        if matches!(kind, Kind::Segment | Kind::Other) {
            return Way::Pass(None);
        }
        let now = Instant::now();
        let lessons = &self.lessons;
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
                let answer = Answer::of(&known);
                note(head, &key, kind, answer.verdict());
                return Way::Answered(answer);
            }
            _ => {}
        }
        match lessons.quota.allows(&key, now) {
            // What one playlist has spent is not the others' fault.
            Allowance::Spent(Scope::Session) if !lessons.store.has(&key, &head.uri) => {
                return Way::Answered(refuse(head, lessons, &key, kind));
            }
            // What was good before may well be good again.
            _ if self.was_good(&key, now) => return Way::Pass(None),
            Allowance::Spent(_) => return Way::Answered(refuse(head, lessons, &key, kind)),
            Allowance::Allow | Allowance::NearLimit(_) => {}
        }
        match lessons.quota.reserve(&key, now) {
            Place::Taken => Way::Pass(Some(Reserved::new(lessons, key))),
            Place::Later => Way::Wait(key, kind),
            Place::None => Way::Answered(refuse(head, lessons, &key, kind)),
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
            Way::Pass(reserved) => {
                State::Passed { answer: self.inner.call(Request::from_parts(head, body)), reserved }
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
    if !lessons.quota.wait(&key).await {
        let (head, _) = request.into_parts();
        return Ok(refuse(&head, &lessons, &key, kind).into_response());
    }
    let mut reserved = Reserved::new(&lessons, key);
    let answer = inner.call(request).await.map_err(Into::into)?;
    reserved.hear(answer.status());
    Ok(answer)
}

/// The answer to what would likely be one 4xx too many.
fn refuse(head: &Parts, lessons: &Lessons, key: &SessionKey, kind: Kind) -> Answer {
    if head.extensions.get::<Probe>().is_some() {
        lessons.marks.unsent(key);
    }
    let answer = Answer::throttled();
    note(head, key, kind, answer.verdict());
    answer
}

fn note(head: &Parts, key: &SessionKey, kind: Kind, verdict: Verdict) {
    telemetry::shielded(key, kind, verdict.as_str());
    if let Some(note) = head.extensions.get::<Note>() {
        note.shielded(verdict);
    }
}

// === impl Reserved ===

impl Reserved {
    fn new(lessons: &Arc<Lessons>, key: SessionKey) -> Self {
        Self { lessons: Arc::clone(lessons), key, outcome: None }
    }

    /// A conflict is none of the session's faults, and what broke down says nothing of it.
    fn hear(&mut self, status: StatusCode) {
        self.outcome = match status {
            StatusCode::CONFLICT => None,
            status if status.is_client_error() => Some(Outcome::Bad),
            status if status.is_server_error() => None,
            _ => Some(Outcome::Good),
        };
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.lessons.quota.release(&self.key, self.outcome, Instant::now());
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
        Poll::Ready(match self.project().state.project() {
            StateProjection::Passed { answer, reserved } => {
                let answer = done!(answer.poll(cx));
                if let (Some(mut reserved), Ok(answer)) = (reserved.take(), &answer) {
                    reserved.hear(answer.status());
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
