use std::task::{Context, Poll};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::directives;

/// Takes the delivery directives of low-latency HLS off requests; see [`StripDirectives`].
#[derive(Debug, Clone, Copy)]
pub struct StripDirectivesLayer {
    on: bool,
}

/// A service that takes `_HLS_msn`, `_HLS_part` and `_HLS_skip` (RFC 8216bis section 6.2.5) off requests, so
/// that the inner service never sees them. No request, and with it its session's turn, is then held upstream,
/// and no two requests differ by these directives alone. The rest of the query stays as it is.
///
/// It is for an upstream that fails at them, or whose held requests keep a session's other playlists waiting
/// for too long. A player whose playlist promises blocking reloads then gets each answer at once, and may ask
/// again just as fast.
#[derive(Debug, Clone)]
pub struct StripDirectives<S> {
    inner: S,
    on: bool,
}

// === impl StripDirectivesLayer ===

impl StripDirectivesLayer {
    /// Takes the directives off if `on`; otherwise requests pass as they are.
    pub fn new(on: bool) -> Self {
        Self { on }
    }
}

impl<S> Layer<S> for StripDirectivesLayer {
    type Service = StripDirectives<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StripDirectives { inner, on: self.on }
    }
}

// === impl StripDirectives ===

impl<S, B> Service<Request<B>> for StripDirectives<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if self.on
            && let Some(uri) = directives::stripped(request.uri())
        {
            *request.uri_mut() = uri;
        }
        self.inner.call(request)
    }
}
