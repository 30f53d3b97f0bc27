use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{HttpConnector, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use tower_service::Service;

use super::{
    Config, Error, HostHeader, UpstreamHttp,
    forward::Body,
    reuse::{Knowing, Used},
};

/// The client that speaks to the upstream.
///
/// An upstream may close a kept connection at the moment at which a request goes out on it. Such a request is
/// sent once more, if it may be (RFC 9110 section 9.2.2): its first connection is gone, so that within its turn
/// there is still one in flight.
#[derive(Debug, Clone)]
pub(super) struct Upstreams(Client<Knowing<HttpsConnector<HttpConnector>>, Body>);

/// How often an HTTP/2 connection to the upstream is asked whether it still lives.
const PING: Duration = Duration::from_secs(10);

/// A pool of connections kept alive, over TLS with the system's roots where the upstream's scheme says so.
pub(super) fn client(config: &Config) -> Result<Upstreams, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(config.connect_within));
    tcp.set_keepalive(Some(config.upstream_idle));

    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(Error::certificates)?
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    // Over HTTP/2 the viewer's host would have to be the connection's own name.
    let http1_only = config.upstream_http == UpstreamHttp::Http1 || config.host == HostHeader::Preserve;
    let connector = match http1_only {
        true => connector.enable_http1().wrap_connector(tcp),
        false => connector.enable_all_versions().wrap_connector(tcp),
    };
    let client = Client::builder(TokioExecutor::new())
        // Without a timer the idle time-out does nothing.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(config.upstream_idle)
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PING)
        .build(Knowing(connector));
    Ok(Upstreams(client))
}

/// The same request once more, if it may be repeated and needs no body for that.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let mut again = Request::new(Either::Right(Empty::new()));
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

/// Whether the connection ended before there was an answer.
fn is_broken_off(error: &legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(hyper::Error::is_incomplete_message) {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        }
        cause = error.source();
    }
    false
}

// === impl Upstreams ===

impl Service<Request<Body>> for Upstreams {
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        let again = repeatable(&request);
        let sent_on = capture_connection(&mut request);
        let first = client.request(request);
        Box::pin(async move {
            let error = match first.await {
                Ok(response) => {
                    Used::of(&sent_on).mark();
                    return Ok(response);
                }
                Err(error) => error,
            };
            match again {
                Some(again) if is_broken_off(&error) && Used::of(&sent_on).is_marked() => {
                    client.request(again).await
                }
                _ => Err(error),
            }
        })
    }
}
