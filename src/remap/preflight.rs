use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::time::{Sleep, sleep};

use super::{REASON, problem::open};
use crate::{
    session::{Kind, Route},
    upstream::Verdict,
};

/// How long a page waits for word of it: as long as a player by default for a playlist that can be bridged.
const AFTER: Duration = Duration::from_secs(2);

/// What a page of another origin asks before it may send a request (Fetch standard, "CORS-preflight request"): as long as
/// this fails, it never gets what could be given to the request itself.
#[derive(Debug)]
pub(super) struct Preflight {
    origin: HeaderValue,
    method: HeaderValue,
    headers: Option<HeaderValue>,
    /// When it has taken too long.
    due: Option<Pin<Box<Sleep>>>,
}

// === impl Preflight ===

impl Preflight {
    /// That of a request for a playlist, which changes nothing: what else a page may send is the upstream's to say.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let is_of_playlist =
            |uri: &Uri| matches!(Route::of(uri.path(), uri.query()).kind, Kind::Media | Kind::Multivariant);
        if request.method() != Method::OPTIONS || !is_of_playlist(request.uri()) {
            return None;
        }
        let header = |name| request.headers().get(name).cloned();
        let changes_nothing = |method: &HeaderValue| method == "GET" || method == "HEAD";
        Some(Self {
            origin: header(header::ORIGIN)?,
            method: header(header::ACCESS_CONTROL_REQUEST_METHOD).filter(changes_nothing)?,
            headers: header(header::ACCESS_CONTROL_REQUEST_HEADERS),
            due: None,
        })
    }

    pub(super) fn origin(&self) -> &HeaderValue {
        &self.origin
    }

    /// Whether it has taken too long, while no answer is there.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.due.get_or_insert_with(|| Box::pin(sleep(AFTER))).as_mut().poll(cx)
    }

    /// Whether an answer says nothing of what the page may do, but that something is broken.
    pub(super) fn is_failed_by(status: StatusCode) -> bool {
        let is_passing = matches!(
            status,
            StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
        status.is_server_error() || is_passing
    }

    /// The page may ask.
    pub(super) fn granted<B: From<Bytes>>(&self, verdict: Verdict, credentials: bool) -> Response<B> {
        let mut head = HeaderMap::with_capacity(8);
        head.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        head.insert(REASON, HeaderValue::from_static(verdict.as_str()));
        head.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.method.clone());
        if let Some(headers) = &self.headers {
            head.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        open(&mut head, Some(&self.origin), credentials);
        let mut response = Response::new(B::from(Bytes::new()));
        *response.headers_mut() = head;
        response
    }
}
