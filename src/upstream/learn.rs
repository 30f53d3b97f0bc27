use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Buf;
use http::{Method, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body::Body as HttpBody;
use tokio::time::Instant;
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{Flaw, Judgement, Lessons, Verdict, lessons::Exchange};
use crate::{
    observe::record::Note,
    resume::hear,
    serialize::{Body, KeepTurn},
    session::{Creation, Extract, Extracted, Kind, MediaTailor, SessionKey},
    shield::{Answer, Probe},
    telemetry,
};

/// Takes in what exchanges teach; see [`Learn`].
#[derive(Clone)]
pub struct LearnLayer {
    lessons: Arc<Lessons>,
    extract: Arc<dyn Extract + Send + Sync>,
}

/// A service that learns from what comes of every exchange of a session: it stands inside the exchange, so that one
/// whose player has gone teaches as well.
///
/// Playlists go into the store for rescues and take a session's mark off; a session that is lost, blocked or failing is
/// marked. A playlist that is older than the one before is judged to be [no
/// playlist](super::Verdict::NotPlaylist). The answer that makes a session tells which session that is, so
/// that what other sessions have done is not held against it. An exchange that is dropped before its answer,
/// since it has held its turn for too long, has failed.
#[derive(Clone)]
pub struct Learn<S> {
    inner: S,
    lessons: Arc<Lessons>,
    extract: Arc<dyn Extract + Send + Sync>,
}

/// Which exchange it is.
struct Pupil {
    lessons: Arc<Lessons>,
    key: SessionKey,
    kind: Kind,
    method: Method,
    uri: Uri,
    note: Option<Note>,
    /// Whether its player says nothing of content codings.
    silent: bool,
    /// When it was sent, until it is heard of.
    sent: Option<Instant>,
    /// Held until all is learned: only then the next may be let out.
    probe: Option<Probe>,
}

// === impl LearnLayer ===

impl LearnLayer {
    /// Teaches these lessons.
    pub fn new(lessons: Arc<Lessons>) -> Self {
        Self { lessons, extract: Arc::new(MediaTailor::new()) }
    }

    /// Finds the session in the URLs of a new session by another [`Extract`].
    #[must_use]
    pub fn extract_with(self, extract: Arc<dyn Extract + Send + Sync>) -> Self {
        Self { extract, ..self }
    }

    /// The same into other lessons.
    pub(crate) fn teaching(&self, lessons: Arc<Lessons>) -> Self {
        Self { lessons, extract: Arc::clone(&self.extract) }
    }
}

impl fmt::Debug for LearnLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LearnLayer").field("lessons", &self.lessons).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LearnLayer {
    type Service = Learn<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Learn { inner, lessons: Arc::clone(&self.lessons), extract: Arc::clone(&self.extract) }
    }
}

// === impl Learn ===

impl<S: fmt::Debug> fmt::Debug for Learn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Learn")
            .field("inner", &self.inner)
            .field("lessons", &self.lessons)
            .finish_non_exhaustive()
    }
}

impl<S, Q, B> Service<Request<Q>> for Learn<S>
where
    S: Service<Request<Q>, Response = Response<Body<B>>, Error = BoxError>,
    S::Future: Send + 'static,
    B: HttpBody + Send + Unpin + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (head, body) = request.into_parts();
        let extracted = Extracted::of(&head, &MediaTailor::new());
        if extracted.creation(&head.method) == Some(Creation::Hls) {
            let uri = head.uri.clone();
            let (lessons, extract) = (Arc::clone(&self.lessons), Arc::clone(&self.extract));
            let answer = self.inner.call(Request::from_parts(head, body));
            return Box::pin(async move {
                let (response, fresh) = hear(&uri, answer.await?, &*extract).await?;
                if let Some(fresh) = fresh {
                    lessons.made(&fresh.key, fresh.variants);
                }
                Ok(response)
            });
        }
        let Extracted { kind, session } = extracted;
        let pupil = match session {
            // Nothing is to be learned from those, and the session may be as busy after them.
            Ok(Some(key)) if matches!(kind, Kind::Tracking | Kind::Dash) => {
                let lessons = Arc::clone(&self.lessons);
                let answer = self.inner.call(Request::from_parts(head, body));
                return Box::pin(async move {
                    let mut answer = answer.await?;
                    keep_turn(&lessons, &key, &mut answer);
                    Ok(answer)
                });
            }
            Ok(Some(key)) if matches!(kind, Kind::Media | Kind::Multivariant) => Some(Pupil {
                lessons: Arc::clone(&self.lessons),
                key,
                kind,
                method: head.method.clone(),
                uri: head.uri.clone(),
                note: head.extensions.get().cloned(),
                silent: !head.headers.contains_key(header::ACCEPT_ENCODING),
                sent: None,
                probe: head.extensions.get().cloned(),
            }),
            _ => None,
        };
        if let Some(answer) = pupil.as_ref().and_then(|pupil| pupil.known(&head)) {
            return Box::pin(std::future::ready(Ok(answer.into_response())));
        }
        let request = Request::from_parts(head, body);
        let Some(mut pupil) = pupil else { return Box::pin(self.inner.call(request)) };
        let sent = Instant::now();
        let answer = self.inner.call(request);
        pupil.sent = Some(sent);
        Box::pin(async move {
            let mut answer = answer.await;
            pupil.sent = None;
            pupil.learn(sent, &mut answer);
            answer
        })
    }
}

/// Has the turn kept for as long as the session may still be busy after its answer.
fn keep_turn<B>(lessons: &Lessons, key: &SessionKey, response: &mut Response<B>) {
    let gap = lessons.settle.gap(key, Instant::now());
    if !gap.is_zero() {
        response.extensions_mut().insert(KeepTurn(gap));
    }
}

// === impl Pupil ===

impl Pupil {
    /// What there is to say without the upstream: the session may have been lost, or have failed, while this
    /// request waited for its turn.
    fn known(&self, head: &Parts) -> Option<Answer> {
        if self.probe.is_some() {
            return None;
        }
        let known = self.lessons.waits_for(&self.key, head, Instant::now())?;
        let answer = Answer::to(self.lessons.marks.playlist(&self.uri), &known);
        Some(answer.told(&self.key, self.kind, self.note.as_ref()))
    }

    /// That a playlist fails is noted here, since its player may have had a rescue long before.
    fn note_failure(&self, sent: Instant, judgement: &Judgement) {
        let fails = judgement.verdict.may_be_one_playlists() || judgement.flaw == Some(Flaw::Elsewhere);
        if fails && self.method == Method::GET {
            self.lessons.store.fail(&self.key, &self.uri, sent, Instant::now());
        }
    }

    fn learn<B>(&self, sent: Instant, answer: &mut Result<Response<Body<B>>, BoxError>) {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let verdict = Verdict::of_error(&**error);
                self.note_failure(sent, &verdict.into());
                let status = match verdict {
                    Verdict::TimedOut => Some(StatusCode::GATEWAY_TIMEOUT),
                    // It says nothing of the session.
                    Verdict::Incomplete => return,
                    _ => None,
                };
                return self.lessons.fail(&self.key, &self.uri, sent, status);
            }
        };
        let Some(judgement) = response.extensions().get::<Judgement>() else { return };
        let exchange =
            Exchange { kind: self.kind, method: &self.method, uri: &self.uri, sent, silent: self.silent };
        let head = (response.status(), response.headers());
        let other = self.lessons.take(&self.key, exchange, judgement, head, response.body());
        self.note_failure(sent, other.as_ref().unwrap_or(judgement));
        if let Some(other) = other {
            // All that is no playlist by itself was told when it was judged.
            if judgement.verdict.is_playlist() {
                let trace = self.note.as_ref().and_then(Note::trace_id);
                telemetry::judged((Some(&self.key), &self.uri), self.kind, &other, head, trace);
            }
            if let Some(note) = &self.note {
                note.meant(other.verdict);
            }
            response.extensions_mut().insert(other);
        }
        keep_turn(&self.lessons, &self.key, response);
    }
}

impl Drop for Pupil {
    fn drop(&mut self) {
        // It was given up since its time was over, or has panicked.
        if let Some(sent) = self.sent {
            self.note_failure(sent, &Verdict::TimedOut.into());
            match std::thread::panicking() {
                true => self.lessons.fail(&self.key, &self.uri, sent, None),
                false => self.lessons.hang(&self.key, &self.uri, sent),
            }
        }
    }
}
