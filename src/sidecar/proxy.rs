use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Either;
use hyper::{body::Incoming, service::Service};
use pin_project_lite::pin_project;
use tower_layer::Layer as _;
use tower_service::Service as _;
use tracing::warn;

use super::{
    Config, Error,
    answer::{self, Body},
    forward::{Forward, Unpassable, strip_hop_by_hop},
    upstream::Upstreams,
    wire::{Activity, Busy},
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
}

/// The proxy for one connection.
#[derive(Debug, Clone)]
pub(super) struct PerConnection {
    proxy: Proxy,
    viewer: IpAddr,
    activity: Activity,
}

pin_project! {
    /// An answer's body, while which the connection is busy.
    #[derive(Debug)]
    pub(super) struct Answering {
        #[pin]
        body: Body,
        busy: Busy,
    }
}

// === impl Proxy ===

impl Proxy {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let extract = MediaTailor::new().upstream(config.upstream.authority());
        let layer = SerializeLayer::with(config.serialize()).extract_with(extract);
        let lanes = layer.layer(Upstreams::new(config)?);
        Ok(Self(Arc::new(Stack { layer, lanes, forward: Forward::new(config) })))
    }

    pub(super) fn layer(&self) -> &SerializeLayer {
        &self.0.layer
    }
}

// === impl PerConnection ===

impl PerConnection {
    pub(super) fn new(proxy: Proxy, viewer: IpAddr, activity: Activity) -> Self {
        Self { proxy, viewer, activity }
    }
}

impl Service<Request<Incoming>> for PerConnection {
    type Response = Response<Answering>;
    type Error = Infallible;
    // Boxed, so that a connection holds room for a pointer and not for the largest request.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.begin();
        let answer = match self.proxy.0.forward.request(request, self.viewer) {
            Ok(request) => self.proxy.0.lanes.clone().call(request),
            Err(Unpassable(detail, remedy)) => {
                let refusal = answer::bad_request(detail, remedy);
                return Box::pin(async move { Ok(refusal.map(|body| Answering { body, busy })) });
            }
        };
        Box::pin(async move {
            let response = match answer.await {
                Ok(response) => pass_on(response),
                Err(error) => {
                    if error.kind() == ErrorKind::MalformedSession {
                        warn!(%error, "refused");
                    }
                    answer::of_error(&error)
                }
            };
            Ok(response.map(|body| Answering { body, busy }))
        })
    }
}

fn pass_on(response: Response<serialize::Body<Incoming>>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    Response::from_parts(head, Either::Left(body))
}

// === impl Answering ===

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
