use std::{
    fmt,
    future::{Future, Ready, ready},
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready as done},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until, timeout};
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Answer, Cause, Playlist, Waited,
    cause::TOLD_WITHIN,
    hearing::Hearing,
    way::{Way, is_first, refuse},
};
use crate::{
    observe::record::Note,
    serialize::AskedAt,
    session::{Kind, SessionKey},
    telemetry,
    upstream::Lessons,
};

/// Answers for sessions that are known to be lost, blocked or failing; see [`Shield`].
#[derive(Debug, Clone)]
pub struct ShieldLayer {
    lessons: Arc<Lessons>,
}

/// A service that lets one request of a marked session through now and then, and answers the others at once with what
/// the upstream said last: the verdict is in the answer's extensions. While that one is out, playlists of a session that is
/// lost wait behind it in their lane, for 0.8 s at most.
///
/// A session that is failing is answered here only where a last good playlist can take the answer's place: a player
/// that has nothing yet may have its try. Where one of its playlists fails and others do not, the others go
/// on as before: the failing one is probed by itself, the more rarely the longer the others have to wait for
/// each of its failures, and if they wait long, whether or not its player has something yet.
///
/// Once a session or its configuration has had as many 4xx in a minute as [`Config`](super::Config) allows,
/// requests for what was not good before are answered here as well, but for one now and then of a session that has had too many
/// conflicts. When sessions that have played are lost and have spent all of it, those that are new may have up to a quarter of it all the same. So are requests that create a session of
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

impl<S, Q, B> Service<Request<Q>> for Shield<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    Q: Send + 'static,
    B: From<Bytes> + Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = ShieldFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let state = match Way::of(&self.lessons, &mut head) {
            Way::Pass(hearing) => {
                State::Passed { answer: self.inner.call(Request::from_parts(head, body)), hearing }
            }
            Way::WaitUntil(key, until) => {
                telemetry::waits_for_word(&key);
                asked_now(&mut head);
                head.extensions.insert(Waited);
                let (mut again, request) = (self.take_ready(), Request::from_parts(head, body));
                State::Waiting {
                    answer: Box::pin(async move {
                        sleep_until(until).await;
                        again.call(request).await
                    }),
                }
            }
            Way::Wait(key, kind) => {
                let Self { inner, .. } = self.take_ready();
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
            Way::Behind(key, kind) => {
                let (lessons, note) = (Arc::clone(&self.lessons), head.extensions.get().cloned());
                let playlist = lessons.marks.playlist(&head.uri);
                let answer = self.inner.call(Request::from_parts(head, body));
                State::Waiting { answer: Box::pin(hear_probe(answer, lessons, (key, kind, playlist), note)) }
            }
            Way::Answered(answer) => State::Answered { answer: ready(answer.into_response()) },
        };
        ShieldFuture { state }
    }
}

impl<S: Clone> Shield<S> {
    /// The one that is ready, which a clone takes the place of.
    fn take_ready(&mut self) -> Self {
        let next = Self { inner: self.inner.clone(), lessons: Arc::clone(&self.lessons) };
        mem::replace(self, next)
    }
}

/// Waits behind a probe, though not for so long that a session that is lost is told late.
async fn hear_probe<F, B, E>(
    answer: F,
    lessons: Arc<Lessons>,
    (key, kind, playlist): (SessionKey, Kind, Playlist),
    note: Option<Note>,
) -> Result<Response<B>, BoxError>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: From<Bytes>,
{
    let mut answer = pin!(answer);
    let failed = match timeout(TOLD_WITHIN, answer.as_mut()).await {
        Ok(Ok(answer)) => return Ok(answer),
        // As where the lane is full.
        Ok(Err(error)) => Some(error.into()),
        Err(_) => None,
    };
    let lost = lessons.marks.known(&key, Instant::now()).filter(|known| known.cause == Cause::Lost);
    match (lost, failed) {
        (Some(known), _) => Ok(Answer::to(playlist, &known).told(&key, kind, note.as_ref()).into_response()),
        (None, Some(error)) => Err(error),
        // It went well: all that this waits for is its own turn.
        (None, None) => answer.await.map_err(Into::into),
    }
}

/// Its player's time begins, unless it has begun before.
fn asked_now(head: &mut Parts) {
    head.extensions.get_or_insert_with(|| AskedAt(Instant::now()));
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
    let (mut head, body) = request.into_parts();
    asked_now(&mut head);
    let has_place = lessons.quota_of(kind).wait(&key).await;
    if !has_place && !is_first(&head, &lessons, &key) {
        return Ok(refuse(&head, &key, kind).into_response());
    }
    let mut hearing = Hearing::new(&lessons, key, kind, has_place);
    let answer = inner.call(Request::from_parts(head, body)).await.map_err(Into::into)?;
    hearing.hear(answer.status());
    Ok(answer)
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
