//! The admin port: what an operator and their tools look at.

mod answer;
mod guard;
mod guests;
pub(super) mod healthcheck;
mod history;
mod live;
pub(super) mod metrics;
mod overview;
mod page;
mod session;

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use self::{
    answer::Body,
    guests::{Guest, Guests},
    live::Live,
    metrics::Metrics,
    overview::Overview,
};
use crate::{
    lease::Leases,
    sidecar::{
        life::reload::Reload,
        listen::{door::Door, watched::Watched},
        relay::proxy::Proxy,
    },
};

/// How long the head of an admin request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may take in all, but for who hears of news.
const CONNECTION_WITHIN: Duration = Duration::from_secs(60);

/// The most connections at once; of more, who says nothing goes. The most who may hear of news are some of them.
const CONNECTIONS: usize = 128;

/// What there is, for who asks for something else.
const PATHS: &str = "here are /, /healthz, /readyz, /metrics, POST /reload, /api/overview, /api/events and /api/sessions/ID\n";

/// Whether a load balancer should send players here.
#[derive(Debug, Clone, Default)]
pub(super) struct Readiness {
    draining: Arc<AtomicBool>,
}

/// What the admin port tells of.
#[derive(Debug, Clone)]
pub(super) struct Told(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: String,
    readiness: Readiness,
    metrics: Metrics,
    proxy: Proxy,
    door: Door,
    reload: Reload,
    live: Live,
}

/// Serves the admin port until it is dropped.
pub(super) async fn serve(listener: TcpListener, told: Told) {
    tokio::join!(told.watch(), accept(listener, &told));
}

async fn accept(listener: TcpListener, told: &Told) {
    let guests = Guests::new(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let guest = guests.take_in().await;
                tokio::spawn(converse(connection, told.clone(), guest));
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Answers on one connection until it has had its time, or has to make room. Whoever hears of news has as
/// long as it reads them.
async fn converse(connection: TcpStream, told: Told, guest: Guest) {
    let listening = Arc::new(AtomicUsize::new(0));
    let answer = service_fn(|request: Request<Incoming>| {
        let (told, listening, busy) = (told.clone(), Arc::clone(&listening), guest.activity().busy());
        async move {
            let answer = match (request.method(), request.uri().path()) {
                (&Method::POST, "/reload") => told.reload(request.headers()).await,
                _ => told.answer(&request, &listening),
            };
            Ok::<_, Infallible>(answer.map(|body| busy.body(body)))
        }
    });
    let connection = Watched::new(connection, guest.activity().clone());
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(connection), answer);
    let mut serving = pin!(serving);
    let had_its_time = async {
        loop {
            sleep(CONNECTION_WITHIN).await;
            if listening.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    };
    tokio::select! {
        _ended = serving.as_mut() => return,
        () = guest.has_to_leave() => return,
        () = had_its_time => {}
    }
    // What is being answered still is.
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        _ended = timeout(HEAD_WITHIN, serving) => {}
        () = guest.has_to_leave() => {}
    }
}

// === impl Told ===

impl Told {
    pub(super) fn new(
        upstream: String,
        readiness: Readiness,
        metrics: Metrics,
        proxy: Proxy,
        door: Door,
        reload: Reload,
    ) -> Self {
        Self(Arc::new(Inner { upstream, readiness, metrics, proxy, door, reload, live: Live::new() }))
    }

    /// Looks at how it goes once a second, and tells who listens.
    async fn watch(&self) {
        self.0.live.run(self.overview()).await;
    }

    fn overview(&self) -> Overview<'_> {
        let Inner { upstream, readiness, proxy, door, .. } = &*self.0;
        Overview { upstream, readiness, proxy, door }
    }

    fn answer<B>(&self, request: &Request<B>, listening: &Arc<AtomicUsize>) -> Response<Body> {
        let path = request.uri().path();
        let mut response = match request.method() {
            _ if path == "/reload" => answer::text(StatusCode::METHOD_NOT_ALLOWED, "use POST\n".to_owned()),
            &Method::GET | &Method::HEAD => self.get(path, request, listening),
            _ => answer::text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned()),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = if path == "/reload" { "POST" } else { "GET, HEAD" };
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    /// Reads the settings again and tells what came of it. By any name, as tools have it, but never for
    /// another site's page.
    async fn reload(&self, headers: &HeaderMap) -> Response<Body> {
        if let Err(refused) = guard::check_unless_tool(headers) {
            return refused;
        }
        let reload = self.0.reload.clone();
        match spawn_blocking(move || reload.unless_under_way()).await {
            Ok(None) => answer::reloading(),
            Ok(Some(Ok(changed))) => answer::text(StatusCode::OK, format!("reloaded: {changed}\n")),
            Ok(Some(Err(why))) => answer::not_reloaded(&why),
            // The process ends.
            Err(_) => answer::text(StatusCode::SERVICE_UNAVAILABLE, "ending\n".to_owned()),
        }
    }

    fn get<B>(&self, path: &str, request: &Request<B>, listening: &Arc<AtomicUsize>) -> Response<Body> {
        let Inner { readiness, metrics, proxy, door, live, .. } = &*self.0;
        match path {
            "/healthz" => answer::text(StatusCode::OK, "alive\n".to_owned()),
            "/readyz" if readiness.is_ready() => {
                // It serves all the same; for people, and for who asks why sessions conflict.
                let trouble = proxy.layer().leases().and_then(Leases::trouble);
                let detail = trouble.map(|why| format!("without leases: {why}\n")).unwrap_or_default();
                answer::text(StatusCode::OK, format!("ready\n{detail}"))
            }
            "/readyz" => {
                let left = proxy.exchanges();
                answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("draining: {left} exchanges left\n"))
            }
            "/metrics" => match metrics.render(proxy, door) {
                Some(text) => answer::text(StatusCode::OK, text),
                None => {
                    answer::text(StatusCode::NOT_FOUND, "the process has a recorder of its own\n".to_owned())
                }
            },
            // What is for people's browsers, and for nobody else's pages in them.
            _ => match guard::check(request.headers()) {
                Err(refused) => refused,
                Ok(()) => match path {
                    "/api/overview" => answer::json(&self.overview().whole(live)),
                    "/api/events" => live.listen(request.method() == Method::HEAD, listening),
                    _ => match path.strip_prefix("/api/sessions/") {
                        Some(id) => session::find(proxy.recorder(), id),
                        None => page::file(path)
                            .unwrap_or_else(|| answer::text(StatusCode::NOT_FOUND, PATHS.to_owned())),
                    },
                },
            },
        }
    }
}

// === impl Readiness ===

impl Readiness {
    pub(super) fn unready(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn ready(&self) {
        self.draining.store(false, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}
