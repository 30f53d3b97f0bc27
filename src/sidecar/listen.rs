use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::{debug, warn};

use super::{
    Config, Error,
    connection::{self, Manners},
    proxy::Proxy,
};

/// After the system has refused a connection for want of descriptors or memory, the pause before the next try.
const BREATH: Duration = Duration::from_millis(50);

/// Where connections come in. A clone is the same door.
#[derive(Debug, Clone)]
pub(super) struct Door {
    places: Arc<Semaphore>,
    most: usize,
    open: TaskTracker,
    manners: Manners,
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
        let most = config.connections.min(Semaphore::MAX_PERMITS);
        let manners = Manners { idle: config.idle, stop: CancellationToken::new() };
        Self { places: Arc::new(Semaphore::new(most)), most, open: TaskTracker::new(), manners }
    }

    /// Takes connections and serves each in a task of its own, until the door is closed.
    pub(super) async fn serve(&self, listener: &TcpListener, proxy: &Proxy) {
        // Counted among the connections: no other may come once the last has ended.
        let _taking = self.open.token();
        let next = async || {
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            let (socket, peer) = accept(listener).await;
            Some((socket, peer, place))
        };
        loop {
            let next = tokio::select! {
                biased;
                () = self.manners.stop.cancelled() => return,
                next = next() => next,
            };
            let Some((socket, peer, place)) = next else { return };
            let serving = connection::serve(socket, proxy.clone(), self.manners.clone());
            self.open.spawn(async move {
                if let Err(error) = serving.await {
                    debug!(%peer, %error, "connection ended");
                }
                drop(place);
            });
        }
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }

    /// Closes the door when it is dropped, so that nothing is served that nobody attends to.
    pub(super) fn close_on_drop(&self) -> DropGuard {
        self.manners.stop.clone().drop_guard()
    }

    /// Takes no more connections, ends idle ones and lets the others finish.
    pub(super) fn close(&self) {
        self.manners.stop.cancel();
        self.open.close();
    }

    /// Resolves when the last connection of a closed door has ended.
    pub(super) async fn closed(&self) {
        self.open.wait().await;
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // A playlist is a few packets: none should wait for an acknowledgement.
                if socket.set_nodelay(true).is_ok() {
                    return (socket, peer);
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
