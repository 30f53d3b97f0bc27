use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode, Uri, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use super::record::{Note, Recorder};
use crate::{
    remap::REASON,
    session::{Extracted, Kind, MediaTailor, Route, SessionKey},
    telemetry::{self, Meters, Name, Traces},
    upstream::Verdict,
};

/// Counts every request and times it; see [`Observe`].
#[derive(Debug, Clone, Default)]
pub struct ObserveLayer {
    recorder: Option<Arc<Recorder>>,
    traces: Option<Traces>,
    upstream: Option<Arc<str>>,
}

/// A service whose requests are counted by what their players got.
///
/// An answer counts when its head is there; playlists have been collected by then. The lines that are logged
/// meanwhile are in a span of [`telemetry::REQUEST`], at debug level.
///
/// # Cancel safety
///
/// A future that is dropped before its answer counts as a player that left.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    recorder: Option<Arc<Recorder>>,
    traces: Option<Traces>,
    upstream: Option<Arc<str>>,
}

/// A request on its way, for the count.
#[derive(Debug)]
struct Seen {
    whose: Whose,
    key: Option<SessionKey>,
    kind: Kind,
    at: Instant,
    note: Option<Note>,
    counted: bool,
}

/// Whose playback configuration it is for.
#[derive(Debug)]
enum Whose {
    Known(Name),
    /// The first of its configuration, or without a session.
    New {
        scope: Option<u64>,
        uri: Uri,
        upstream: Option<Arc<str>>,
    },
}

pin_project! {
    /// The future of [`Observe`].
    #[derive(Debug)]
    pub struct ObserveFuture<F> {
        #[pin]
        answer: F,
        seen: Seen,
        span: Span,
    }
}

// === impl ObserveLayer ===

impl ObserveLayer {
    /// Counts into the metrics recorder of the process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes what becomes of each request of a session as well.
    #[must_use]
    pub fn recording(self, recorder: Option<Arc<Recorder>>) -> Self {
        Self { recorder, ..self }
    }

    /// Makes traces of requests as well.
    #[cfg(feature = "otlp")]
    #[must_use]
    pub fn tracing(self, traces: Option<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// Names the upstream, where there are several.
    #[must_use]
    pub fn for_upstream(&self, name: Arc<str>) -> Self {
        Self { upstream: Some(name), ..self.clone() }
    }

    /// What the upstream is called, where there are several.
    pub fn upstream(&self) -> Option<&Arc<str>> {
        self.upstream.as_ref()
    }

    /// What makes traces of them, if that is asked for.
    #[cfg(feature = "sidecar")]
    pub(crate) fn traces(&self) -> Option<&Traces> {
        self.traces.as_ref()
    }

    /// The recorder in which that is noted, if there is one.
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { recorder, traces, upstream } = self.clone();
        Observe { inner, recorder, traces, upstream }
    }
}

// === impl Observe ===

impl<S> Observe<S> {
    /// Where it is written down what becomes of a request, if it is.
    fn note(&self, at: Instant, named: &Extracted, head: &mut Parts) -> Option<Note> {
        let upstream = self.upstream.as_ref();
        let recorded = self.recorder.as_ref().zip(named.key());
        let note = recorded.map(|(recorder, key)| recorder.begin(at, key, upstream, named.kind, &head.uri));
        match &self.traces {
            Some(traces) => Some(traces.begin(at, note, named, upstream, head)),
            None => note,
        }
    }
}

impl<S, Q, B> Service<Request<Q>> for Observe<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let named = Extracted::of(&head, &MediaTailor::new());
        let at = Instant::now();
        let note = self.note(at, &named, &mut head);
        if let Some(note) = &note {
            head.extensions.insert(note.clone());
        }
        let span = telemetry::request(named.key(), named.kind);
        let seen = Seen::of(at, named, note, &head.uri, self.upstream.as_ref());
        let answer = span.in_scope(|| self.inner.call(Request::from_parts(head, body)));
        ObserveFuture { answer, seen, span }
    }
}

// === impl ObserveFuture ===

impl<F, B, E> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let answer = ready!(this.answer.poll(cx));
        this.seen.answered(answer.as_ref().ok());
        Poll::Ready(answer)
    }
}

// === impl Seen ===

impl Seen {
    fn of(at: Instant, named: Extracted, note: Option<Note>, uri: &Uri, upstream: Option<&Arc<str>>) -> Self {
        let scope = named.key().map(SessionKey::scope_id);
        let whose = match scope.and_then(|scope| Meters::get().known(scope)) {
            Some(name) => Whose::Known(name),
            None if named.kind == Kind::Other => Whose::Known(Name::NONE),
            None => Whose::New { scope, uri: uri.clone(), upstream: upstream.cloned() },
        };
        let Extracted { kind, session } = named;
        let key = session.ok().flatten();
        Self { whose, key, kind, at, note, counted: false }
    }

    fn answered<B>(&mut self, answer: Option<&Response<B>>) {
        let now = Instant::now();
        // Errors alone are looked at: it is they that are made here.
        let reason = answer
            .filter(|answer| answer.status().as_u16() >= 400)
            .and_then(|answer| answer.headers().get(REASON)?.to_str().ok()?.parse().ok());
        // Whose request broke off has left.
        let status = answer.map(Response::status).filter(|_| reason != Some(Verdict::Incomplete));
        self.count(now, status);
        let Some(answer) = answer else { return };
        if let Some(note) = &self.note {
            note.answered(now, answer.status(), answer.headers());
        }
        if let Some(reason) = reason {
            telemetry::made_here(self.key.as_ref(), self.kind, reason, answer.status());
        }
    }

    fn count(&mut self, now: Instant, status: Option<StatusCode>) {
        self.counted = true;
        let meters = Meters::get();
        let name = match &self.whose {
            Whose::Known(name) => *name,
            Whose::New { scope, uri, upstream } => {
                let configuration = Route::of(uri.path(), uri.query()).configuration;
                match status.is_some_and(|status| status.is_success()) {
                    true => meters.name(*scope, configuration, upstream.clone()),
                    // Only what the upstream knows gets a name.
                    false => meters.named(configuration),
                }
            }
        };
        meters.request(name, self.kind, status, now - self.at);
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if !self.counted {
            let now = Instant::now();
            self.count(now, None);
            if let Some(note) = &self.note {
                note.left(now);
            }
        }
    }
}

#[cfg(all(test, feature = "sidecar"))]
mod tests {
    use std::{convert::Infallible, sync::Mutex};

    use tower::service_fn;
    use tracing::{Event, Subscriber};
    use tracing_subscriber::{
        layer::{self, Context as At, SubscriberExt as _},
        registry,
        registry::LookupSpan,
    };

    use super::*;

    /// Notes in which span each event is.
    #[derive(Clone, Default)]
    struct Places(Arc<Mutex<Vec<Option<String>>>>);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> layer::Layer<S> for Places {
        fn on_event(&self, event: &Event<'_>, at: At<'_, S>) {
            let place =
                at.event_span(event).map(|span| format!("{} {}", span.metadata().target(), span.name()));
            self.0.lock().expect("no panic").push(place);
        }
    }

    #[tokio::test]
    async fn what_happens_to_a_request_is_in_its_span() {
        let places = Places::default();
        let _default = tracing::subscriber::set_default(registry().with(places.clone()));
        let inner = service_fn(async |_: Request<()>| {
            tracing::info!(target: "test", "on its way");
            Ok::<_, Infallible>(Response::new(()))
        });
        let request = Request::get("/v1/manifest/a/c/6f1b7c52-30aa-4c1e-9d0f-000000000001/0.m3u8");
        ObserveLayer::new().layer(inner).call(request.body(()).expect("a request")).await.expect("an answer");
        tracing::info!(target: "test", "it is answered");
        let within = Some(format!("{} request", telemetry::REQUEST));
        assert_eq!(*places.0.lock().expect("no panic"), [within, None]);
    }
}
