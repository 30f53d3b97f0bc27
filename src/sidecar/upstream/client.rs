use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::time::timeout;
use tower::BoxError;
use tower_service::Service;

use super::{counted::Counting, sent::Sent};
use crate::{
    sidecar::{Config, Error, HostHeader, UpstreamHttp, listen::connection::HEAD, relay::forward::Body},
    telemetry::Chain,
    upstream::Afresh,
};

/// The client that speaks to the upstream. A clone shares the connections.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Upstreams(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    client: Client<Counting<Connector>, Body>,
    /// The same, for what a kept connection has failed: it keeps none.
    afresh: Client<Counting<Connector>, Body>,
    connector: Counting<Connector>,
    idle: Duration,
}

pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// The most headers of one head over HTTP/1.1, either way: as many as fill it with 128 bytes each. hyper's
/// own 100 is less than what CDNs and load balancers, one behind the other, may add to a player's.
pub(crate) const HEADERS: usize = HEAD / 128;

/// How often an HTTP/2 connection to the upstream is asked whether it still lives.
const PING: Duration = Duration::from_secs(10);

/// A pool of connections kept alive, over TLS with the system's roots where the upstream's scheme says so.
pub(in crate::sidecar) fn client(config: &Config) -> Result<Upstreams, Error> {
    // Over HTTP/2 the viewer's host would have to be the connection's own name.
    let http1_only = config.upstream_http == UpstreamHttp::Http1 || config.host == HostHeader::Preserve;
    let connector = connector(config.connect_within, config.upstream_idle, http1_only)?;
    Ok(Upstreams::over(Counting::new(connector, config.connect_within), config.upstream_idle))
}

/// Asks the upstream for anything at all.
///
/// # Errors
///
/// When it does not answer, whatever it would have said.
pub(in crate::sidecar) async fn reach(config: &Config, mut upstreams: Upstreams) -> Result<(), Error> {
    let unusable = |why: &dyn std::fmt::Display| Error::unusable(&config.upstream, why);
    let request = Request::head(format!("{}/", config.upstream)).body(Body::default());
    let request = request.map_err(|error| unusable(&error))?;
    match timeout(config.answer_within, upstreams.call(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unusable(&Chain(&*error))),
        Err(_) => Err(unusable(&"no answer within --answer-within")),
    }
}

/// Connects by TCP, and over TLS with the system's roots.
pub(crate) fn connector(within: Duration, idle: Duration, http1_only: bool) -> Result<Connector, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(within));
    tcp.set_keepalive(Some(idle));

    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(Error::certificates)?
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    Ok(match http1_only {
        true => connector.enable_http1().wrap_connector(tcp),
        false => connector.enable_all_versions().wrap_connector(tcp),
    })
}

// === impl Upstreams ===

impl Upstreams {
    fn over(connector: Counting<Connector>, idle: Duration) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            // Without a timer the idle time-out does nothing.
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle)
            .timer(TokioTimer::new())
            // An answer may have as many headers as a request: who stands in between adds to both.
            .http1_max_headers(HEADERS)
            .http2_max_header_list_size(HEAD as u32)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            // Bodies that players do not read must not take the window from all the others.
            .http2_initial_connection_window_size(Some(i32::MAX as u32));
        let client = builder.build(connector.clone());
        let afresh = builder.pool_max_idle_per_host(0).build(connector.clone());
        Self(Arc::new(Pool { client, afresh, connector, idle }))
    }

    /// The same upstream over connections of its own.
    pub(in crate::sidecar) fn anew(&self) -> Self {
        Self::over(self.0.connector.clone(), self.0.idle)
    }

    /// How many connections are open, those of all that were made [anew](Self::anew) as well.
    pub(in crate::sidecar) fn connections(&self) -> usize {
        self.0.connector.open()
    }
}

impl Service<Request<Body>> for Upstreams {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Sent;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Pool { client, afresh, .. } = &*self.0;
        let client = if request.extensions().get::<Afresh>().is_some() { afresh } else { client };
        let broke_off = request.extensions().get().cloned();
        Sent::new(client.request(request), broke_off)
    }
}
