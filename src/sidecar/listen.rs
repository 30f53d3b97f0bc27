use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Config, Error, activity::Activity, proxy::Proxy};

/// The largest head of a request, in bytes. MediaTailor takes ad-server URLs of 25,000 characters.
const HEAD: usize = 64 * 1024;

/// The most requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;

/// After the system has refused a connection for want of descriptors or memory, the pause before the next try.
const BREATH: Duration = Duration::from_millis(50);

/// Once no more requests are taken, how long a connection without an open one has for its last bytes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where connections come in.
pub(super) struct Door {
    connections: Arc<Semaphore>,
    http: auto::Builder<TokioExecutor>,
    open: GracefulShutdown,
    idle: Duration,
    closing: CancellationToken,
}

pub(super) async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| Error::port(flag, address, error))
}

pub(super) fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}

// === impl Door ===

impl Door {
    pub(super) fn new(config: &Config) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        // Idle time is measured by `Activity`.
        http.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(config.idle)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD as u32);
        Self {
            connections: Arc::new(Semaphore::new(config.connections.min(Semaphore::MAX_PERMITS))),
            http,
            open: GracefulShutdown::new(),
            idle: config.idle,
            closing: CancellationToken::new(),
        }
    }

    /// Takes connections and serves each in a task of its own.
    pub(super) async fn serve(&self, listener: &TcpListener, proxy: &Proxy) {
        loop {
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            let (connection, peer) = accept(listener).await;
            let io = TokioIo::new(connection);
            let activity = Activity::new();
            let service = proxy.for_connection(peer.ip(), activity.clone());
            // Boxed, since a task has room for what it is given and for what it waits on: twice the same.
            let serving = Box::pin(self.open.watch(self.http.serve_connection(io, service).into_owned()));
            let idle = idle(activity, self.idle, self.closing.clone());
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    ended = serving => if let Err(error) = ended {
                        debug!(%peer, %error, "connection ended");
                    },
                    () = idle => debug!(%peer, "connection idle for too long"),
                }
                drop(place);
            });
        }
    }

    /// Ends idle connections, lets the others finish, and resolves when the last has ended.
    pub(super) async fn closed(self) {
        let closing = async {
            self.closing.cancel();
        };
        // In this order: connections say goodbye before they are idle.
        tokio::join!(biased; self.open.shutdown(), closing);
    }
}

async fn idle(activity: Activity, limit: Duration, closing: CancellationToken) {
    let last_words = async {
        closing.cancelled().await;
        activity.idle(LAST_WORDS).await;
    };
    tokio::select! {
        () = activity.idle(limit) => {}
        () = last_words => {}
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((connection, peer)) => {
                // A playlist is a few packets: none should wait for an acknowledgement.
                if connection.set_nodelay(true).is_ok() {
                    return (connection, peer);
                }
            }
            Err(error) if is_the_peers(&error) => debug!(%error, "a connection went before it was taken"),
            Err(error) => {
                warn!(%error, "cannot take connections; is the limit of open files too low?");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
