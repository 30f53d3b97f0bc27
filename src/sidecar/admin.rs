use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::{listen::Door, metrics::Metrics, proxy::Proxy};

/// How long the head of an admin request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Whether a load balancer should send players here.
#[derive(Debug, Clone, Default)]
pub(super) struct Readiness {
    draining: Arc<AtomicBool>,
}

/// What the admin port tells of.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) readiness: Readiness,
    pub(super) metrics: Metrics,
    pub(super) proxy: Proxy,
    pub(super) door: Door,
}

/// Serves `/healthz`, `/readyz` and `/metrics` until it is dropped.
pub(super) async fn serve(listener: TcpListener, told: Told) {
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let told = told.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let answer = told.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .serve_connection(TokioIo::new(connection), answer);
        tokio::spawn(async move {
            let _ended = serving.await;
        });
    }
}

// === impl Told ===

impl Told {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let asks = request.method() == Method::GET || request.method() == Method::HEAD;
        let (status, text) = match request.uri().path() {
            "/healthz" | "/readyz" | "/metrics" if !asks => {
                (StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned())
            }
            "/healthz" => (StatusCode::OK, "alive\n".to_owned()),
            "/readyz" if self.readiness.is_ready() => (StatusCode::OK, "ready\n".to_owned()),
            "/readyz" => {
                let left = self.proxy.layer().exchanges();
                (StatusCode::SERVICE_UNAVAILABLE, format!("draining: {left} exchanges left\n"))
            }
            "/metrics" => match self.metrics.render(&self.proxy, &self.door) {
                Some(text) => (StatusCode::OK, text),
                None => (StatusCode::NOT_FOUND, "the process has a recorder of its own\n".to_owned()),
            },
            _ => (StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        response
    }
}

// === impl Readiness ===

impl Readiness {
    pub(super) fn unready(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}
