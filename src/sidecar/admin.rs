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
use tokio::{net::TcpListener, task::spawn_blocking};

use super::{listen::Door, metrics::Metrics, proxy::Proxy, reload::Reload};

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
    pub(super) reload: Reload,
}

/// Serves `/healthz`, `/readyz`, `/metrics` and `/reload` until it is dropped.
pub(super) async fn serve(listener: TcpListener, told: Told) {
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let told = told.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let told = told.clone();
            async move {
                Ok::<_, Infallible>(match (request.method(), request.uri().path()) {
                    (&Method::POST, "/reload") => told.reload().await,
                    _ => told.answer(&request),
                })
            }
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
            "/reload" => (StatusCode::METHOD_NOT_ALLOWED, "use POST\n".to_owned()),
            _ => {
                (StatusCode::NOT_FOUND, "here are /healthz, /readyz, /metrics and POST /reload\n".to_owned())
            }
        };
        of_text(status, text)
    }

    /// Reads the settings again and tells what came of it.
    async fn reload(self) -> Response<Full<Bytes>> {
        let Self { reload, .. } = self;
        match spawn_blocking(move || reload.all()).await {
            Ok(Ok(changed)) => of_text(StatusCode::OK, format!("reloaded: {changed}\n")),
            Ok(Err(why)) => refused(&why),
            // The process ends.
            Err(_) => of_text(StatusCode::SERVICE_UNAVAILABLE, "ending\n".to_owned()),
        }
    }
}

/// A reload that changes nothing (RFC 9457).
fn refused(why: &str) -> Response<Full<Bytes>> {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "not reloaded: nothing changes",
        "status": status.as_u16(),
        "detail": why,
    });
    let mut response = of_text(status, format!("{problem}\n"));
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn of_text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
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
