use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Buf;
use http::{Request, Response, Uri, header};
use http_body::Body as HttpBody;
use tokio::time::Instant;
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{Lessons, Verdict, case::Case, playlist::Limits};
use crate::{
    lease::NotAgreed,
    observe::record::Note,
    serialize::Body,
    session::{Extracted, MediaTailor},
    telemetry,
};

/// Judges every answer of the upstream; see [`Judge`].
#[derive(Debug, Clone)]
pub struct JudgeLayer {
    pub(super) limits: Limits,
    pub(super) collect_up_to: usize,
    pub(super) lessons: Option<Arc<Lessons>>,
}

/// A service whose answers carry a [`Judgement`](super::Judgement) in their extensions.
///
/// Playlists and errors are read whole before they are judged, up to 2 MiB by default; a larger body goes on
/// as it comes, and the answer is judged by its head. Segments and the like go on untouched and have no
/// judgement. An error of the inner service stays an error: there is no answer that could carry a judgement.
///
/// # Cancel safety
///
/// Dropping the future drops the inner service's.
#[derive(Debug, Clone)]
pub struct Judge<S> {
    inner: S,
    judge: JudgeLayer,
}

/// A request has it in its extensions that is sent in the place of another, for this URL.
#[derive(Debug, Clone)]
pub(crate) struct InPlaceOf(pub(crate) Uri);

// === impl JudgeLayer ===

impl JudgeLayer {
    /// Reads playlists within these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, collect_up_to: 2 * 1024 * 1024, lessons: None }
    }

    /// The largest body that is read, in bytes. Default: 2 MiB.
    #[must_use]
    pub fn collect_up_to(self, collect_up_to: usize) -> Self {
        Self { collect_up_to, ..self }
    }

    /// Counts the conflicts and the 4xx of every attempt in these lessons.
    #[must_use]
    pub fn teaching(self, lessons: Arc<Lessons>) -> Self {
        Self { lessons: Some(lessons), ..self }
    }
}

impl Default for JudgeLayer {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl<S> Layer<S> for JudgeLayer {
    type Service = Judge<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Judge { inner, judge: self.clone() }
    }
}

// === impl Judge ===

impl<S, Q, B> Service<Request<Q>> for Judge<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: HttpBody + Send + Unpin + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (head, body) = request.into_parts();
        let named = Extracted::of(&head, &MediaTailor::new());
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let conditional = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
            .iter()
            .any(|condition| head.headers.contains_key(condition));
        let in_place_of = head.extensions.get().map(|InPlaceOf(uri)| uri.clone());
        let trace = Note::trace_of(&head.extensions);
        let creates = head.extensions.get().cloned();
        let agreed = head.extensions.get::<NotAgreed>().is_none();
        let (judge, sent) = (self.judge.clone(), Instant::now());
        let case = Case { judge, named, method, uri, in_place_of, conditional, sent, trace, creates, agreed };
        let answer = self.inner.call(Request::from_parts(head, body));
        Box::pin(async move {
            let kind = case.named.kind;
            let answer = answer.await.map_err(Into::into);
            let heard = match answer {
                Ok(response) => case.hear(response).await,
                Err(error) => Err(error),
            };
            heard.inspect_err(|error| telemetry::unanswered(kind, Verdict::of_error(&**error)))
        })
    }
}
