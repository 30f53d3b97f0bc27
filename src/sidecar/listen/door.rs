use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use listenfd::ListenFd;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::{debug, warn};

use super::{
    connection::{self, Manners},
    tls::Tls,
};
use crate::{
    sidecar::{Config, Error, relay::proxy::Proxy, upstream::counted::Place},
    telemetry::{SIDECAR, Seldom},
};

/// After the system has refused a connection for want of descriptors or memory, the pause before the next try.
const BREATH: Duration = Duration::from_millis(50);

/// Once the door is closed, how long those are let in who had come before.
const LAST_CALL: Duration = Duration::from_millis(10);

/// Connections that the system keeps until they are taken: those of a burst.
const BACKLOG: u32 = 1_024;

/// Where connections come in. A clone is the same door.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Door {
    /// Each thread has one for the connection that it takes next.
    places: Arc<Semaphore>,
    connections: Arc<AtomicUsize>,
    most: usize,
    open: TaskTracker,
    manners: Manners,
}

/// Takes the port of `--listen`: the one that systemd has opened for this, if it has.
pub(in crate::sidecar) fn open(config: &Config) -> Result<TcpListener, Error> {
    let flag = "--listen";
    let inherited = ListenFd::from_env().take_tcp_listener(0).and_then(|inherited| {
        let Some(listener) = inherited else { return Ok(None) };
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Some)
    });
    match inherited {
        Ok(Some(listener)) => Ok(listener),
        Ok(None) => bind(flag, config.listen, config.reuse_port),
        Err(error) => Err(Error::port("LISTEN_FDS for --listen", config.listen, error)),
    }
}

/// Takes a port, with others that do the same if it is to be shared.
pub(in crate::sidecar) fn bind(flag: &str, address: SocketAddr, shared: bool) -> Result<TcpListener, Error> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As std's own does: a port in TIME_WAIT is free.
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(shared)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| Error::port(flag, address, error))
}

pub(in crate::sidecar) fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}

// === impl Door ===

impl Door {
    pub(in crate::sidecar) fn new(config: &Config, tls: Option<Tls>) -> Self {
        let most = config.connections.min(Semaphore::MAX_PERMITS);
        let manners = Manners { idle: config.idle, tls, stop: CancellationToken::new() };
        Self {
            places: Arc::new(Semaphore::new(most)),
            connections: Arc::default(),
            most,
            open: TaskTracker::new(),
            manners,
        }
    }

    /// Takes connections and serves each in a task of its own, until the door is closed.
    pub(in crate::sidecar) async fn serve(&self, listener: TcpListener, proxy: &Proxy) {
        // Counted among the connections: no other may come once the last has ended, and the port is closed by then.
        let _taking = self.open.token();
        let listener = listener;
        let next = async || {
            let place = self.place().await?;
            let (socket, peer) = accept(&listener).await;
            Some((socket, peer, place))
        };
        loop {
            let next = tokio::select! {
                biased;
                () = self.manners.stop.cancelled() => break,
                next = next() => next,
            };
            let Some((socket, peer, place)) = next else { return };
            self.take(socket, peer, place, proxy);
        }
        // What the system has already taken for this would be reset with the port.
        let end = Instant::now() + LAST_CALL;
        while let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
            && let Ok((socket, peer)) = timeout_at(end, accept(&listener)).await
        {
            self.take(socket, peer, place, proxy);
        }
    }

    /// A place for one more connection; `None` where there will be none.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        static SELDOM: Seldom = Seldom::new();
        // Otherwise another thread has the last place, for the connection that it takes next.
        if self.connections() >= self.most
            && let Some(silent) = SELDOM.due()
        {
            let most = self.most;
            warn!(target: SIDECAR, most, silent, "as many client connections as --connections allows: more have to wait");
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn take(&self, socket: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit, proxy: &Proxy) {
        let (proxy, manners) = (proxy.clone(), self.manners.clone());
        let counted = Place::new(Arc::clone(&self.connections));
        self.open.spawn(async move {
            // Made in here: a future that is moved in and then awaited has its room twice.
            if let Err(error) = connection::serve(socket, proxy, manners).await {
                debug!(target: SIDECAR, %peer, %error, "connection ended");
            }
            drop((counted, place));
        });
    }

    /// How many connections there are.
    pub(in crate::sidecar) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// How many there may be.
    pub(in crate::sidecar) fn most_connections(&self) -> usize {
        self.most
    }

    /// When the certificate that players are shown expires, if they are shown one.
    pub(in crate::sidecar) fn certificate_expires(&self) -> Option<SystemTime> {
        self.manners.tls.as_ref().and_then(Tls::expires)
    }

    /// Closes the door when it is dropped, so that nothing is served that nobody attends to.
    pub(in crate::sidecar) fn close_on_drop(&self) -> DropGuard {
        self.manners.stop.clone().drop_guard()
    }

    /// Takes no more connections, ends idle ones and lets the others finish.
    pub(in crate::sidecar) fn close(&self) {
        self.manners.stop.cancel();
        self.open.close();
    }

    /// The same door, open again. Connections that were told to finish still do.
    pub(in crate::sidecar) fn reopened(&self) -> Self {
        self.open.reopen();
        let manners = Manners { stop: CancellationToken::new(), ..self.manners.clone() };
        Self { manners, ..self.clone() }
    }

    /// Resolves when the last connection of a closed door has ended.
    pub(in crate::sidecar) async fn closed(&self) {
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
            Err(error) if is_the_peers(&error) => {
                debug!(target: SIDECAR, %error, "a connection went before it was taken")
            }
            Err(error) => {
                static SELDOM: Seldom = Seldom::new();
                if let Some(silent) = SELDOM.due() {
                    warn!(target: SIDECAR, %error, silent, "cannot take connections; is the limit of open files too low?");
                }
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
