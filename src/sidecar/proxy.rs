use std::{convert::Infallible, net::IpAddr, pin::Pin};

use http::{Request, Response};
use http_body_util::Either;
use hyper::{body::Incoming, service::Service};
use tower_layer::Layer as _;
use tower_service::Service as _;
use tracing::warn;

use super::{
    Config, Error,
    answer::{self, Body},
    forward::{Forward, Unpassable, strip_hop_by_hop},
    upstream::{self, Upstreams},
};
use crate::{
    serialize::{ErrorKind, Serialize, SerializeLayer},
    session::MediaTailor,
};

/// From a player's request to its answer.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    layer: SerializeLayer,
    lanes: Serialize<Upstreams>,
    forward: Forward,
}

/// The proxy for one connection.
#[derive(Debug, Clone)]
pub(super) struct PerConnection {
    proxy: Proxy,
    viewer: IpAddr,
}

// === impl Proxy ===

impl Proxy {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let extract = MediaTailor::new().upstream(config.upstream.authority());
        let layer = SerializeLayer::with(config.serialize()).extract_with(extract);
        let lanes = layer.layer(upstream::client(config)?);
        Ok(Self { layer, lanes, forward: Forward::new(config) })
    }

    pub(super) fn layer(&self) -> &SerializeLayer {
        &self.layer
    }

    pub(super) fn for_connection(&self, viewer: IpAddr) -> PerConnection {
        PerConnection { proxy: self.clone(), viewer }
    }
}

// === impl PerConnection ===

impl Service<Request<Incoming>> for PerConnection {
    type Response = Response<Body>;
    type Error = Infallible;
    // Boxed, so that a connection holds room for a pointer and not for the largest request.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = match self.proxy.forward.request(request, self.viewer) {
            Ok(request) => request,
            Err(Unpassable(detail, remedy)) => {
                let refusal = answer::bad_request(detail, remedy);
                return Box::pin(std::future::ready(Ok(refusal)));
            }
        };
        let answer = self.proxy.lanes.clone().call(request);
        Box::pin(async move {
            Ok(match answer.await {
                Ok(response) => {
                    let (mut head, body) = response.into_parts();
                    strip_hop_by_hop(&mut head.headers);
                    head.version = http::Version::HTTP_11;
                    Response::from_parts(head, Either::Left(body))
                }
                Err(error) => {
                    if error.kind() == ErrorKind::MalformedSession {
                        warn!(error = %error, "refused");
                    }
                    answer::of_error(&error)
                }
            })
        })
    }
}
