use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::time::{Instant, sleep_until};
use tower::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{Accept, NoRescue};
use crate::{
    observe::record::Note,
    session::{Extracted, Kind, MediaTailor, SessionKey},
    shield::{AskAgainIn, InDoubt},
    telemetry::{self, TraceId},
    upstream::{Judgement, Lessons, Verdict},
};

/// The header of an answer that is a rescue: the verdict that it bridges, or `slow`.
pub const RESCUE: HeaderName = HeaderName::from_static("x-onelane-rescue");

/// What that says where the answer was slow.
pub(crate) const SLOW: &str = "slow";

/// Clocks overflow somewhere, and nobody waits for so long.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Gives players the last good playlist where the upstream fails or is slow; see [`RescueService`].
#[derive(Debug, Clone)]
pub struct RescueLayer {
    lessons: Arc<Lessons>,
}

/// A service that answers with the last good playlist, within the limits that the [module](super) names,
/// - where the answer is one that an earlier playlist [can bridge](Judgement::survivable), and
/// - where neither an answer to the request nor any other of its session has come for
///   [`Config::after`](super::Config::after): the exchange then goes on without the player, and
///   refreshes the store.
///
/// # Cancel safety
///
/// Dropping the future drops the inner service's.
#[derive(Debug, Clone)]
pub struct RescueService<S> {
    inner: S,
    lessons: Arc<Lessons>,
}

/// An answer that is a rescue has it in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rescued;

/// An answer has it in its extensions that is not bridged, since its player is better off with another variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftAlone;

/// Who asks for what, and takes it how.
struct Asked {
    lessons: Arc<Lessons>,
    key: SessionKey,
    kind: Kind,
    method: Method,
    uri: Uri,
    /// The lines of `Accept-Encoding`, which few requests need to have read.
    accept: Vec<HeaderValue>,
    trace: Option<TraceId>,
}

// === impl RescueLayer ===

impl RescueLayer {
    /// Rescues from what these lessons keep.
    pub fn new(lessons: Arc<Lessons>) -> Self {
        Self { lessons }
    }
}

impl<S> Layer<S> for RescueLayer {
    type Service = RescueService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RescueService { inner, lessons: Arc::clone(&self.lessons) }
    }
}

// === impl RescueService ===

impl<S, Q, B> Service<Request<Q>> for RescueService<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<BoxError> + 'static,
    S::Future: Send + 'static,
    B: From<Bytes> + Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (head, body) = request.into_parts();
        let Extracted { kind, session } = Extracted::of(&head, &MediaTailor::new());
        let asked = match session {
            Ok(Some(key))
                if !self.lessons.store.is_off()
                    && matches!(kind, Kind::Media | Kind::Multivariant)
                    && matches!(head.method, Method::GET | Method::HEAD) =>
            {
                Some(Asked {
                    lessons: Arc::clone(&self.lessons),
                    key,
                    kind,
                    method: head.method.clone(),
                    uri: head.uri.clone(),
                    accept: head.headers.get_all(header::ACCEPT_ENCODING).iter().cloned().collect(),
                    trace: Note::trace_of(&head.extensions),
                })
            }
            _ => None,
        };
        let answer = self.inner.call(Request::from_parts(head, body));
        match asked {
            Some(asked) => Box::pin(asked.answer(answer)),
            None => Box::pin(async move { answer.await.map_err(Into::into) }),
        }
    }
}

// === impl Asked ===

impl Asked {
    /// The answer, or the last good playlist in its place.
    async fn answer<F, B, E>(self, answer: F) -> Result<Response<B>, BoxError>
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: From<Bytes> + Send + 'static,
        E: Into<BoxError>,
    {
        // Boxed, so that it can go on without the player.
        let mut answer = Box::pin(async move { answer.await.map_err(Into::into) });
        let store = &self.lessons.store;
        let after = store.config().after.min(LONGEST);
        let mut due = Instant::now() + after;
        loop {
            tokio::select! {
                biased;
                answer = answer.as_mut() => return self.bridge(answer),
                () = sleep_until(due) => {}
            }
            // Where the session's exchanges come back one after the other, it is the lane that takes its time
            // and not the upstream: what is old would put the session's playlists out of step.
            match store.confirmed(&self.key).map(|progress| progress + after) {
                Some(next) if next > due => due = next,
                _ => break,
            }
        }
        let answered = match self.last_good(SLOW, true) {
            Err(NoRescue::Alone) => leave_alone(Err(SLOW.into()), Verdict::TimedOut),
            Err(_) => return self.bridge(answer.await),
            Ok(rescue) => rescue,
        };
        // The exchange's players bound its wait, and this one stays: it is to refresh the store, as long as that is of use.
        let ending = self.lessons.ending.clone();
        tokio::spawn(telemetry::bridged(async move {
            tokio::select! {
                answer = answer => drop(answer),
                () = ending.begun() => {}
            }
        }));
        Ok(answered)
    }

    fn bridge<B: From<Bytes>>(&self, answer: Result<Response<B>, BoxError>) -> Result<Response<B>, BoxError> {
        let verdict = match &answer {
            Ok(response) => {
                let in_doubt = response.extensions().get::<InDoubt>().is_some();
                let survivable = |judgement: &&Judgement| in_doubt || judgement.survivable();
                response.extensions().get().filter(survivable).map(|judgement| judgement.verdict)
            }
            Err(error) => Some(Verdict::of_error(&**error)).filter(|verdict| verdict.survivable()),
        };
        let Some(verdict) = verdict else { return answer };
        // What is all the session's is no reason to leave a variant, whatever was before.
        let may_leave = verdict.may_be_one_playlists();
        if may_leave {
            self.lessons.store.still_fails(&self.key, &self.uri, Instant::now());
        }
        match self.last_good(verdict.as_str(), may_leave) {
            Ok(rescue) => Ok(rescue),
            Err(NoRescue::Alone) => Ok(leave_alone(answer, verdict)),
            Err(_) => answer,
        }
    }

    fn last_good<B: From<Bytes>>(
        &self,
        reason: &'static str,
        may_leave: bool,
    ) -> Result<Response<B>, NoRescue> {
        let (store, accept) = (&self.lessons.store, Accept::of_lines(&self.accept));
        if self.lessons.is_lost_for(&self.key, &self.uri, Instant::now()) {
            return Err(NoRescue::Unknown);
        }
        let rescue = store.rescue(&self.key, &self.uri, accept, may_leave, Instant::now())?;
        telemetry::rescued(&self.key, self.kind, reason, rescue.age(), self.trace);
        let mut response = rescue.into_response(&self.method).map(B::from);
        let headers = response.headers_mut();
        headers.insert(RESCUE, HeaderValue::from_static(reason));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(Rescued);
        Ok(response)
    }
}

/// Media3 goes to another variant after a 500, and tries the same again after a 502 or 504; to others all are the same.
fn leave_alone<B: From<Bytes>>(answer: Result<Response<B>, BoxError>, verdict: Verdict) -> Response<B> {
    let mut response = answer.unwrap_or_else(|_| {
        let mut response = Response::new(B::from(Bytes::new()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(Judgement::from(verdict));
        // As what the shield answers, it has nothing in it that is the upstream's.
        response.extensions_mut().insert(AskAgainIn(Duration::ZERO));
        response
    });
    response.extensions_mut().insert(LeftAlone);
    response
}
