use std::{convert::Infallible, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use tokio::time::timeout;
use tower_layer::Layer as _;
use tower_service::Service as _;
use tracing::warn;

use super::{
    Config, Error,
    activity::{Activity, BusyBody},
    answer::{self, Body},
    forward::{Forward, Unpassable, Viewer},
    upstream::{self, Upstreams},
};
use crate::{
    serialize::{self, ErrorKind, Serialize, SerializeLayer},
    session::MediaTailor,
};

/// From a player's request to its answer.
#[derive(Debug, Clone)]
pub(super) struct Proxy(Arc<Stack>);

#[derive(Debug)]
struct Stack {
    layer: SerializeLayer,
    lanes: Serialize<Upstreams>,
    forward: Forward,
    answer_within: Duration,
}

/// The proxy for one connection.
#[derive(Debug, Clone)]
pub(super) struct PerConnection {
    proxy: Proxy,
    viewer: Viewer,
    activity: Activity,
}

// === impl Proxy ===

impl Proxy {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let extract = MediaTailor::new().upstream(config.upstream.authority());
        let layer = SerializeLayer::with(config.serialize()).extract_with(extract);
        let lanes = layer.layer(upstream::client(config)?);
        let (forward, answer_within) = (Forward::new(config), config.answer_within);
        Ok(Self(Arc::new(Stack { layer, lanes, forward, answer_within })))
    }

    /// The same lanes over connections of their own to the upstream, for another thread.
    pub(super) fn anew(&self) -> Self {
        let Stack { layer, lanes, forward, answer_within } = &*self.0;
        let lanes = layer.layer(lanes.get_ref().anew());
        let stack =
            Stack { layer: layer.clone(), lanes, forward: forward.clone(), answer_within: *answer_within };
        Self(Arc::new(stack))
    }

    pub(super) fn layer(&self) -> &SerializeLayer {
        &self.0.layer
    }
}

// === impl PerConnection ===

impl PerConnection {
    pub(super) fn new(proxy: Proxy, viewer: IpAddr, activity: Activity) -> Self {
        Self { proxy, viewer: Viewer::at(viewer), activity }
    }
}

impl Service<Request<Incoming>> for PerConnection {
    type Response = Response<BusyBody<Body>>;
    type Error = Infallible;
    // Boxed, so that a connection holds room for a pointer and not for the largest request.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.busy();
        let Stack { lanes, forward, answer_within, .. } = &*self.proxy.0;
        let request = match forward.request(request, &self.viewer) {
            Ok(request) => request,
            Err(Unpassable(detail, remedy)) => {
                let refusal = answer::bad_request(detail, remedy).map(|body| busy.body(body));
                return Box::pin(std::future::ready(Ok(refusal)));
            }
        };
        let answer = lanes.clone().call(request);
        if answer.keeps_time() {
            return Box::pin(async move { Ok(told(answer.await).map(|body| busy.body(body))) });
        }
        let answer = timeout(*answer_within, answer);
        Box::pin(async move {
            let response = answer.await.map_or_else(|_| answer::too_late(), told);
            Ok(response.map(|body| busy.body(body)))
        })
    }
}

/// What a player is told.
fn told(answer: Result<Response<serialize::Body<Incoming>>, serialize::Error>) -> Response<Body> {
    match answer {
        Ok(response) => answer::of_upstream(response),
        Err(error) => {
            if error.kind() == ErrorKind::MalformedSession {
                warn!(%error, "refused");
            }
            answer::of_error(&error)
        }
    }
}
