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

use crate::serialize::SerializeLayer;

/// How long the head of an admin request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Whether a load balancer should send players here.
#[derive(Debug, Clone, Default)]
pub(super) struct Readiness {
    draining: Arc<AtomicBool>,
}

/// Serves `/healthz` and `/readyz` until it is dropped.
pub(super) async fn serve(listener: TcpListener, readiness: Readiness, layer: SerializeLayer) {
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (readiness, layer) = (readiness.clone(), layer.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let answer = answer(&request, &readiness, &layer);
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

fn answer<B>(request: &Request<B>, readiness: &Readiness, layer: &SerializeLayer) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "alive\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") if readiness.is_ready() => {
            (StatusCode::OK, "ready\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, "/readyz") => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("draining: {} exchanges left\n", layer.exchanges()))
        }
        (_, "/healthz" | "/readyz") => (StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "here are /healthz and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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
