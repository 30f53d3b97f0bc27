use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::{debug, warn};

use super::{Config, Error, proxy::Proxy};

/// The largest head of a request, in bytes. MediaTailor takes ad-server URLs of 25,000 characters.
const HEAD: usize = 64 * 1024;

/// The most requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;

/// After the system has refused a connection for want of descriptors or memory, the pause before the next try.
const BREATH: Duration = Duration::from_millis(50);

/// Where connections come in.
pub(super) struct Door {
    connections: Arc<Semaphore>,
    http: auto::Builder<TokioExecutor>,
    open: GracefulShutdown,
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
        http.http1().timer(TokioTimer::new()).header_read_timeout(config.idle).max_buf_size(HEAD);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(config.idle)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD as u32);
        Self {
            connections: Arc::new(Semaphore::new(config.connections.min(Semaphore::MAX_PERMITS))),
            http,
            open: GracefulShutdown::new(),
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
            let serving = self.http.serve_connection(io, proxy.for_connection(peer.ip())).into_owned();
            let serving = self.open.watch(serving);
            tokio::spawn(async move {
                if let Err(error) = serving.await {
                    debug!(%peer, %error, "connection ended");
                }
                drop(place);
            });
        }
    }

    /// Ends idle connections, lets the others finish, and resolves when the last has ended.
    pub(super) async fn closed(self) {
        self.open.shutdown().await;
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
