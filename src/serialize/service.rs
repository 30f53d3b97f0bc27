use std::{
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Buf;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, ServiceExt as _};
use tower_service::Service;

use super::{
    AskedAt, Body, Error, ErrorKind, ResponseFuture,
    collect::is_empty,
    exchange::{Answer, Watcher},
    future::Passing,
    layer::State,
    players::Asked,
    repeats::{Entrance, Identity},
    story::Driven,
    turn,
};
use crate::{
    observe::record::Note,
    session::{Creation, Extract, Extracted, MediaTailor},
    telemetry,
};

/// A service whose sessions have one lane each; see the [module](super).
pub struct Serialize<S, E = MediaTailor> {
    inner: S,
    state: Arc<State>,
    extract: Arc<E>,
}

/// How a player waits for its answer.
struct Seat<S, ReqBody> {
    watcher: Watcher,
    /// The exchange, where this player made it and drives it.
    driven: Option<Driven>,
    /// What it asks anew with, where it attached to another's exchange.
    kept: Option<(S, Request<ReqBody>)>,
}

// === impl Serialize ===

impl<S, E> Serialize<S, E> {
    pub(super) fn new(inner: S, state: Arc<State>, extract: Arc<E>) -> Self {
        Self { inner, state, extract }
    }
}

impl<S: Clone, E> Clone for Serialize<S, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), state: Arc::clone(&self.state), extract: Arc::clone(&self.extract) }
    }
}

impl<S: fmt::Debug, E> fmt::Debug for Serialize<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serialize")
            .field("inner", &self.inner)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Must be called within a tokio runtime: an exchange is a task of its own, if not
/// [from the start](super::Config::driven_by_players).
impl<S, E, ReqBody, ResBody> Service<Request<ReqBody>> for Serialize<S, E>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    E: Extract,
    ReqBody: HttpBody + Send + 'static,
    ResBody: HttpBody + Send + 'static,
    ResBody::Data: Buf + Send,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<Body<ResBody>>;
    type Error = Error;
    type Future = ResponseFuture<S, ReqBody, ResBody>;

    /// Always ready; see the [module](super#readiness).
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (head, body) = request.into_parts();
        let at = Instant::now();
        let since = head.extensions.get().map_or(at, |AskedAt(since)| *since);
        let extracted = Extracted::of(&head, &*self.extract);
        let makes_session = extracted.creation(&head.method) == Some(Creation::Hls);
        let Extracted { kind, session } = extracted;
        let key = match session {
            Ok(Some(key)) if self.state.config.serializes(kind) => key,
            Err(malformed) if self.state.config.serializes(kind) => {
                telemetry::malformed(kind, &malformed);
                return ResponseFuture::refused(malformed.into());
            }
            session => {
                let key = session.ok().flatten();
                let note: Option<Note> = head.extensions.get().cloned();
                if let Some(note) = &note {
                    note.passes(at);
                }
                let passing = Passing::new((key, kind), head.uri.clone(), at, note);
                let request = Request::from_parts(head, body);
                let within = self.state.config.bound(makes_session);
                let within = within.map(|within| within.saturating_sub(at - since));
                return ResponseFuture::direct(self.inner.clone().oneshot(request), passing, within);
            }
        };
        let identity = if is_empty(&body) { Identity::of(&key, &head) } else { None };
        let note: Option<Note> = head.extensions.get().cloned();
        let asked = Asked { key, kind, at, since, trace: note.as_ref().and_then(Note::trace_id) };
        let request = Request::from_parts(head, body);
        match begin(Arc::clone(&self.state), self.inner.clone(), asked, (identity, note), request) {
            Ok(answer) => ResponseFuture::lane(Box::pin(answer)),
            Err(error) => ResponseFuture::refused(error),
        }
    }
}

/// Takes the request's place at once, so that the order of calls is the order of turns, and gives the player's
/// wait for the answer.
fn begin<S, ReqBody, ResBody>(
    state: Arc<State>,
    inner: S,
    asked: Asked,
    (identity, note): (Option<Identity>, Option<Note>),
    request: Request<ReqBody>,
) -> Result<
    impl Future<Output = Result<Response<Body<ResBody>>, Error>> + Send + use<S, ReqBody, ResBody>,
    Error,
>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: HttpBody + Send + 'static,
    ResBody::Data: Buf + Send,
    ResBody::Error: Into<BoxError>,
{
    let mut seat = enter(&state, inner, &asked, (identity, note.clone()), request)?;
    Ok(async move {
        let deadline = asked.since.checked_add(state.config.answer_within);
        loop {
            let Seat { watcher, driven, kept } = seat;
            let answer = in_time(&asked, deadline, watcher, driven).await;
            let held_too_long = matches!(&answer, Err(error) if error.kind() == ErrorKind::HeldTooLong);
            let (inner, request) = match (answer, kept) {
                (Ok(Some(answer)), _) => return into_response(answer),
                // The stream is the maker's.
                (Ok(None), Some(kept)) => kept,
                // The turn is free in a moment, and who came late to what held it has some of its time left.
                (Err(_), Some(kept)) if held_too_long => kept,
                (Err(error), _) => return Err(error),
                // Only who attached gets here.
                (Ok(None), None) => return Err(Error::new(ErrorKind::Panicked)),
            };
            if let Some(note) = &note {
                note.detached();
            }
            let (head, body) = request.into_parts();
            // Of a stream there is one for each, of anything else one for all.
            let identity = if held_too_long { Identity::of(&asked.key, &head) } else { None };
            seat = enter(&state, inner, &asked, (identity, note.clone()), Request::from_parts(head, body))?;
        }
    })
}

/// Attaches to the exchange of a repeat, or takes a place in line for one of its own.
fn enter<S, ReqBody, ResBody>(
    state: &Arc<State>,
    inner: S,
    asked: &Asked,
    (identity, note): (Option<Identity>, Option<Note>),
    request: Request<ReqBody>,
) -> Result<Seat<S, ReqBody>, Error>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: HttpBody + Send + 'static,
    ResBody::Data: Buf + Send,
    ResBody::Error: Into<BoxError>,
{
    let Entrance { exchange, watcher, place } = state
        .repeats
        .enter(identity, note.as_ref(), || state.lanes.join(asked.key.clone()))
        .map_err(|error| {
            let error = Error::from(error);
            telemetry::refused(&asked.key, asked.kind, &error);
            error
        })?;
    let (driven, kept) = match place {
        Some(place) => (turn::run(state, inner, exchange, place, asked.clone(), request), None),
        None => {
            if let (Some(note), Some(first)) = (&note, exchange.note()) {
                note.attached_to(first);
            }
            (None, Some((inner, request)))
        }
    };
    Ok(Seat { watcher, driven, kept })
}

/// Waits for an answer until the player's time is up; `None` when the answer is a stream that another has.
async fn in_time(
    asked: &Asked,
    deadline: Option<Instant>,
    watcher: Watcher,
    driven: Option<Driven>,
) -> Result<Option<Answer>, Error> {
    let answer = async move {
        match driven {
            Some(driven) => watcher.drive(driven).await,
            None => watcher.answer().await,
        }
    };
    let Some(deadline) = deadline else {
        return answer.await.transpose();
    };
    timeout_at(deadline, answer)
        .await
        .unwrap_or_else(|_| {
            telemetry::timed_out(&asked.key, asked.kind, asked.at.elapsed(), asked.trace);
            Some(Err(Error::new(ErrorKind::TimedOut)))
        })
        .transpose()
}

fn into_response<B>(answer: Answer) -> Result<Response<Body<B>>, Error> {
    match answer {
        Answer::Whole(response) => Ok(response.map(Body::whole)),
        Answer::Streamed(Some(response)) => Ok(response.map(Body::streamed)),
        Answer::Streamed(None) => Err(Error::new(ErrorKind::Panicked)),
    }
}
