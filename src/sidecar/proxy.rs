use std::{convert::Infallible, net::IpAddr, pin::Pin, sync::Arc};

use http::{Request, Response, header};
use hyper::{body::Incoming, service::Service};
use tokio::time::timeout;
use tower::util::Either;
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::{
    Config, Error,
    activity::{Activity, BusyBody},
    answer::{self, Body},
    forward::{self, Forward, Unpassable, Viewer},
    upstream::{self, Upstreams},
};
use crate::{
    serialize::SerializeLayer,
    session::MediaTailor,
    stack::{MayResume, Stack, Stacked},
    telemetry::Chain,
};

/// From a player's request to its answer.
#[derive(Debug, Clone)]
pub(super) struct Proxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stack: Stack<MediaTailor, MayResume>,
    service: Stacked<Upstreams, MediaTailor, MayResume>,
    forward: Forward,
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
        let stack = Stack::new(config.stack()).extract_with(extract).resume(config.resume());
        let service = stack.layer(upstream::client(config)?);
        Ok(Self(Arc::new(Inner { stack, service, forward: Forward::new(config) })))
    }

    /// The same lanes over connections of their own to the upstream, for another thread.
    pub(super) fn anew(&self) -> Self {
        let Inner { stack, forward, .. } = &*self.0;
        let service = stack.layer(self.upstreams().anew());
        Self(Arc::new(Inner { stack: stack.clone(), service, forward: forward.clone() }))
    }

    /// The layer of the lanes.
    pub(super) fn layer(&self) -> &SerializeLayer {
        self.0.stack.serialize()
    }

    /// Asks the upstream for anything at all.
    ///
    /// # Errors
    ///
    /// When it does not answer, whatever it would have said.
    pub(super) async fn reach(&self, config: &Config) -> Result<(), Error> {
        let unusable = |why: &dyn std::fmt::Display| Error::unusable(&config.upstream, why);
        let request = Request::head(format!("{}/", config.upstream)).body(forward::Body::default());
        let request = request.map_err(|error| unusable(&error))?;
        let mut upstreams = self.upstreams().anew();
        match timeout(config.answer_within, upstreams.call(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(unusable(&Chain(&error))),
            Err(_) => Err(unusable(&"no answer within --answer-within")),
        }
    }

    /// Shows the gauges as they are now.
    pub(super) fn show_levels(&self) {
        self.0.stack.show_levels();
    }

    fn upstreams(&self) -> &Upstreams {
        // From the outermost stage to the upstream: strip, name, observe, remap, rescue, shield, serialize, learn, resume, retry,
        // judge.
        let lanes = self.0.service.get_ref().get_ref().get_ref().get_ref().get_ref().get_ref();
        let retry = match lanes.get_ref().get_ref() {
            Either::Left(resume) => resume.get_ref(),
            Either::Right(retry) => retry,
        };
        retry.get_ref().get_ref()
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
        let Inner { service, forward, .. } = &*self.proxy.0;
        let origin = request.headers().get(header::ORIGIN).cloned();
        let answer = match forward.request(request, &self.viewer) {
            Ok(request) => service.clone().call(request),
            Err(Unpassable(detail, remedy)) => {
                let refusal =
                    answer::bad_request(detail, remedy, origin.as_ref()).map(|body| busy.body(body));
                return Box::pin(std::future::ready(Ok(refusal)));
            }
        };
        Box::pin(async move {
            let response = answer::of_stack(answer.await.unwrap_or_else(|never| match never {}));
            Ok(response.map(|body| busy.body(body)))
        })
    }
}
