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
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::time::sleep;
use tower_service::Service;

use super::{
    Config, Error, HostHeader, UpstreamHttp,
    forward::Body,
    reuse::{Knowing, Used},
};

/// The client that speaks to the upstream.
///
/// An upstream may close a kept connection at the moment at which a request goes out on it. Such a request is
/// sent once more, if it may be (RFC 9110 section 9.2.2), after a grace: it may have arrived, and the upstream is
/// thought to work on when its client goes.
///
/// A clone shares the connections.
#[derive(Debug, Clone)]
pub(super) struct Upstreams(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    client: Client<Connector, Body>,
    connector: Connector,
    idle: Duration,
}

type Connector = Knowing<HttpsConnector<HttpConnector>>;

/// After a connection has broken under a request, how long the upstream may still be at work on it. Until then the
/// turn is kept: neither a repeat nor a sibling goes out.
const GRACE: Duration = Duration::from_millis(250);

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
    Ok(Upstreams::over(Knowing(connector), config.upstream_idle))
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

/// Whether the connection that failed had brought an answer before.
fn was_used(error: &legacy::Error) -> bool {
    error.connect_info().is_some_and(|connected| Used::of(connected).is_marked())
}

// === impl Upstreams ===

impl Upstreams {
    fn over(connector: Connector, idle: Duration) -> Self {
        let client = Client::builder(TokioExecutor::new())
            // Without a timer the idle time-out does nothing.
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle)
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            // Bodies that players do not read must not take the window from all the others.
            .http2_initial_connection_window_size(Some(i32::MAX as u32))
            .build(connector.clone());
        Self(Arc::new(Pool { client, connector, idle }))
    }

    /// The same upstream over connections of its own.
    pub(super) fn anew(&self) -> Self {
        Self::over(self.0.connector.clone(), self.0.idle)
    }
}

impl Service<Request<Body>> for Upstreams {
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let again = repeatable(&request);
        let first = self.0.client.request(request);
        let pool = Arc::clone(&self.0);
        Box::pin(async move {
            match (first.await, again) {
                (Ok(mut response), _) => {
                    if let Some(used) = response.extensions_mut().remove::<Used>() {
                        used.mark();
                    }
                    Ok(response)
                }
                (Err(error), _) if error.is_connect() => Err(error),
                (Err(error), again) => {
                    sleep(GRACE).await;
                    match again {
                        Some(again) if is_broken_off(&error) && was_used(&error) => {
                            pool.client.request(again).await
                        }
                        _ => Err(error),
                    }
                }
            }
        })
    }
}
