use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{Asker, Config, Problem, Profile, made_here, preflight::Preflight, problem::expose};
use crate::{
    rescue::{LeftAlone, Rescued},
    shield::AskAgainIn,
    telemetry,
    upstream::{Judgement, Verdict, directives},
};

/// Makes every answer one that players survive; see [`Remap`].
#[derive(Debug, Clone)]
pub struct RemapLayer {
    shared: Arc<Shared>,
}

/// A service whose answers are playlists as they came, or what the [module](super) says of errors.
///
/// It never fails: what the inner service fails with has a verdict as well.
///
/// # Cancel safety
///
/// Dropping the future drops the inner service's.
#[derive(Debug)]
pub struct Remap<S> {
    inner: S,
    shared: Arc<Shared>,
    /// Why the inner service will not be ready: the answer to the next request.
    unready: Option<BoxError>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    /// The upstream's good answers allow pages to send credentials: errors must say the same to be read.
    credentials: AtomicBool,
}

pin_project! {
    /// The future of [`Remap`].
    #[derive(Debug)]
    pub struct RemapFuture<F> {
        #[pin]
        answer: Asked<F>,
        shared: Arc<Shared>,
        origin: Option<HeaderValue>,
        is_head: bool,
        preflight: Option<Box<Preflight>>,
        blocking: bool,
    }
}

pin_project! {
    #[project = AskedProjection]
    #[derive(Debug)]
    enum Asked<F> {
        Inner { #[pin] answer: F },
        Unready { error: Option<BoxError> },
    }
}

// === impl RemapLayer ===

impl RemapLayer {
    /// By these rules.
    pub fn new(config: Config) -> Self {
        Self { shared: Arc::new(Shared { config, credentials: AtomicBool::new(false) }) }
    }

    /// By other rules, with what was learned of the upstream's headers.
    #[must_use]
    pub fn reconfigured(&self, config: Config) -> Self {
        let credentials = AtomicBool::new(self.shared.credentials.load(Ordering::Relaxed));
        Self { shared: Arc::new(Shared { config, credentials }) }
    }
}

impl Default for RemapLayer {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl<S> Layer<S> for RemapLayer {
    type Service = Remap<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Remap { inner, shared: Arc::clone(&self.shared), unready: None }
    }
}

// === impl Remap ===

impl<S: Clone> Clone for Remap<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared), unready: None }
    }
}

impl<S, Q, B> Service<Request<Q>> for Remap<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = RemapFuture<S::Future>;

    /// As the inner service is. One that fails before it is ready has a verdict as well: the next request is answered
    /// by that.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.unready.is_none() {
            self.unready = ready!(self.inner.poll_ready(cx)).map_err(Into::into).err();
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let is_head = request.method() == Method::HEAD;
        let is_transparent = self.shared.config.profile == Profile::Transparent;
        let preflight = Preflight::of(&request).filter(|_| !is_transparent).map(Box::new);
        let blocking = directives::is_blocking(request.uri());
        let answer = match self.unready.take() {
            None => Asked::Inner { answer: self.inner.call(request) },
            Some(error) => Asked::Unready { error: Some(error) },
        };
        RemapFuture { answer, shared: Arc::clone(&self.shared), origin, is_head, preflight, blocking }
    }
}

// === impl RemapFuture ===

impl<F, B, E> Future for RemapFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: From<Bytes>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.answer.project() {
            AskedProjection::Inner { answer } => match answer.poll(cx) {
                Poll::Ready(answer) => answer.map_err(Into::into),
                Poll::Pending => {
                    let Some(preflight) = this.preflight else { return Poll::Pending };
                    ready!(preflight.poll_late(cx));
                    return Poll::Ready(Ok(this.shared.grant(preflight, Verdict::TimedOut)));
                }
            },
            AskedProjection::Unready { error } => {
                Err(error.take().expect("polled after it was ready, against the contract of futures"))
            }
        };
        Poll::Ready(Ok(match this.preflight {
            Some(preflight) => this.shared.answer_preflight(answer, preflight),
            None => {
                let asker = Asker { origin: this.origin.as_ref(), is_head: *this.is_head };
                this.shared.answer(answer, asker, *this.blocking)
            }
        }))
    }
}

// === impl Shared ===

impl Shared {
    fn answer<B: From<Bytes>>(
        &self,
        answer: Result<Response<B>, BoxError>,
        asker: Asker<'_>,
        blocking: bool,
    ) -> Response<B> {
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => return self.refuse(Verdict::of_error(&*error), None, asker, blocking),
        };
        if response.extensions().get::<Rescued>().is_some() {
            expose(response.headers_mut(), asker.origin);
            return response;
        }
        let verdict = response.extensions().get().map(|judgement: &Judgement| judgement.verdict);
        match verdict {
            None | Some(Verdict::Passed) => response,
            Some(Verdict::Playlist) => {
                if response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS) {
                    self.credentials.store(true, Ordering::Relaxed);
                }
                response
            }
            // An answer of the shield has nothing in it.
            Some(_) if self.config.profile == Profile::Transparent && !is_the_shields(&response) => response,
            Some(verdict) => self.refuse(verdict, Some(&response), asker, blocking),
        }
    }

    fn answer_preflight<B: From<Bytes>>(
        &self,
        answer: Result<Response<B>, BoxError>,
        preflight: &Preflight,
    ) -> Response<B> {
        let verdict = match &answer {
            Ok(response) if !Preflight::is_failed_by(response.status()) => {
                let asker = Asker { origin: Some(preflight.origin()), is_head: false };
                return self.answer(answer, asker, false);
            }
            Ok(response) => {
                response.extensions().get().map_or(Verdict::Failed, |judgement: &Judgement| judgement.verdict)
            }
            Err(error) => Verdict::of_error(&**error),
        };
        self.grant(preflight, verdict)
    }

    fn grant<B: From<Bytes>>(&self, preflight: &Preflight, verdict: Verdict) -> Response<B> {
        telemetry::remapped(verdict, StatusCode::OK);
        preflight.granted(verdict, self.credentials.load(Ordering::Relaxed))
    }

    /// The answer in place of one that players would not survive, or of none.
    fn refuse<B: From<Bytes>>(
        &self,
        verdict: Verdict,
        response: Option<&Response<B>>,
        asker: Asker<'_>,
        blocking: bool,
    ) -> Response<B> {
        let rule = self.config.of(verdict);
        let own = response.map_or(StatusCode::BAD_GATEWAY, Response::status);
        let status = match verdict {
            // Players then ask without directives, which can be bridged: RFC 8216bis section 6.2.5.2, and Media3 as it is.
            _ if blocking && verdict.survivable() => StatusCode::SERVICE_UNAVAILABLE,
            // Media3 changes variant at 500 and 503, not at 502 or 504; and at 503 a CDN may ask another instance.
            _ if response.is_some_and(|response| response.extensions().get::<LeftAlone>().is_some()) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => rule.map_or(own, |rule| rule.to_status()),
        };
        telemetry::remapped(verdict, status);
        let again = response.and_then(|response| response.extensions().get::<AskAgainIn>());
        let again = again.map(|AskAgainIn(again)| (*again + Duration::from_millis(999)).as_secs().max(1));
        let problem = Problem {
            verdict,
            status,
            detail: verdict.meaning(),
            remedy: verdict.remedy(),
            retry_after: rule.and_then(|rule| rule.to_retry_after()).map(u64::from).or(again),
        };
        made_here(&problem, asker, self.credentials.load(Ordering::Relaxed), response.map(Response::headers))
    }
}

fn is_the_shields<B>(response: &Response<B>) -> bool {
    response.extensions().get::<AskAgainIn>().is_some()
}
