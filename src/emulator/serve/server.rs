use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{Request, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

use super::{service::Service, socket::Socket};
use crate::emulator::{
    Error,
    args::Args,
    fault::{aim::Whose, what::Fault},
    pages::{
        debug::{SessionReport, report},
        tally::Stats,
    },
    play::stage,
    session::latency::Latency,
};

/// How long a connection may take to send a request's head, idle time before it included: longer than clients keep
/// idle connections, so that none is closed while a request is on its way.
const HEAD_WITHIN: Duration = Duration::from_secs(120);

/// A local MediaTailor, from [`Emulator::bind`] until it is dropped or [`Emulator::shutdown`].
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    service: Arc<Service>,
    connections: TaskTracker,
    stop: DropGuard,
}

// === impl Emulator ===

impl Emulator {
    /// Reads the content, listens, and serves in the background of the current runtime.
    ///
    /// # Errors
    ///
    /// An [`Error`] that names the flag whose value cannot be used, and what to do.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is done, nothing is left behind.
    pub async fn bind(args: Args) -> Result<Self, Error> {
        let (timeline, unbroken) = stage::timelines(&args)?;
        let listen = args.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Error(format!(
                "--listen {listen}: cannot listen there ({error}); choose another port, or 0 for any"
            ))
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| Error(format!("--listen {listen}: no local address ({error})")))?;
        let service = Arc::new(Service::new(args, timeline, unbroken));
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        connections.spawn(accept(listener, Arc::clone(&service), connections.clone(), stop.clone()));
        Ok(Self { address, service, connections, stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Totals since the start or the last reset.
    pub fn stats(&self) -> Stats {
        self.service.stats()
    }

    /// Every session that is remembered, in no order, without its last requests.
    pub fn sessions(&self) -> Vec<SessionReport> {
        self.service.sessions.all().map(|session| report(&session, false)).collect()
    }

    /// One session with its last requests, if it is remembered.
    pub fn session(&self, id: &str) -> Option<SessionReport> {
        let session = self.service.sessions.get(&Uuid::try_parse(id).ok()?)?;
        Some(report(&session, true))
    }

    /// Sets all counters to nought, as `POST /__emulator/reset` does.
    pub fn reset(&self) {
        self.service.reset();
    }

    /// Begins a fault behind those that are active, as `POST /__emulator/faults` does.
    ///
    /// # Errors
    ///
    /// When there are 1,000 faults already.
    pub fn add_fault(&self, fault: Fault) -> Result<(), Error> {
        self.service.add_fault(fault).map_err(|why| Error(format!("--fault: {why}")))
    }

    /// Ends all faults, as `DELETE /__emulator/faults` does.
    pub fn clear_faults(&self) {
        self.service.faults.clear();
    }

    /// Sets `--busy-after` for requests that come from now on, as `POST /__emulator/busy-after` does.
    pub fn set_busy_after(&self, time: Latency) {
        self.service.set_busy_after(time);
    }

    /// Ends all sessions, as `POST /__emulator/expire` does; says how many were alive.
    pub fn expire_sessions(&self) -> usize {
        self.service.expire(&Whose::All)
    }

    /// Serves until `shutdown` is done, then stops.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops at once.
    pub async fn run(self, shutdown: impl Future) {
        shutdown.await;
        self.shutdown().await;
    }

    /// Stops at once: open connections are closed, and all is freed when this is done.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has stopped all the same.
    pub async fn shutdown(self) {
        let Self { connections, stop, .. } = self;
        drop(stop);
        connections.close();
        connections.wait().await;
    }
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    builder.http2().timer(TokioTimer::new());
    let builder = Arc::new(builder);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (service, builder, stop) = (Arc::clone(&service), Arc::clone(&builder), stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = connection(stream, service, &builder) => {}
                    }
                });
            }
            // Out of file descriptors, most likely: others may close soon.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>, builder: &Builder<TokioExecutor>) {
    // Playlists are small: each is to leave at once.
    let _ = stream.set_nodelay(true);
    let (socket, resets) = Socket::new(stream);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, resets) = (Arc::clone(&service), Arc::clone(&resets));
        async move {
            // Over HTTP/2 it is a stream that is reset, with others beside it.
            let alone = request.version() != Version::HTTP_2;
            let sent = service.respond(request).await;
            if alone && sent.is_err() {
                resets.store(true, Ordering::Relaxed);
            }
            sent
        }
    });
    if let Err(error) = builder.serve_connection(TokioIo::new(socket), answer).await {
        tracing::debug!(error, "a connection ended early");
    }
}
