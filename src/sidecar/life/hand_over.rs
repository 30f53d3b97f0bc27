//! How a process gives its ports to the next, without one moment at which nobody has them and without two serving at once.
//!
//! The old one listens at a Unix socket. The new one connects there and is sent the listening sockets; when it is ready in all
//! else it says so. Then the old one takes no more connections, finishes its exchanges and ends, and the new one begins to take
//! connections: those that came meanwhile have waited in the socket, which both have had all the time.

use std::{
    fs::{self, Permissions},
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{FileTypeExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpListener, UnixListener, UnixStream},
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    sidecar::{Config, Error},
    telemetry::SIDECAR,
};

/// Where this process waits for its successor.
#[derive(Debug)]
pub(in crate::sidecar) struct HandOver {
    at: UnixListener,
    path: PathBuf,
    /// What it is given: these stay open when the others are closed.
    ports: [OwnedFd; 2],
    /// Whether the path is the successor's by now.
    given: bool,
}

/// The two sockets that players and operators come to.
#[derive(Debug)]
pub(in crate::sidecar) struct Ports {
    pub(in crate::sidecar) listen: TcpListener,
    pub(in crate::sidecar) admin: TcpListener,
}

/// The process that has served so far, and ends when it is told to.
#[derive(Debug)]
pub(in crate::sidecar) struct Predecessor(UnixStream);

/// The process that serves from now on. It waits until this is dropped.
#[derive(Debug)]
pub(in crate::sidecar) struct Successor {
    _waits: UnixStream,
}

/// How long the other process may take to say something.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How often somebody who ends may have been connected to: so many processes may be started at once, less one.
const TRIES: u32 = 8;

/// How long the old process has to finish before the new one begins all the same. Connections wait as long; a player gives up
/// after 8 s, and most exchanges take tenths of a second.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// What is said with the sockets, and what is said back.
const HERE: &[u8] = b"1";
const READY: u8 = b'r';

// === impl Ports ===

impl Ports {
    /// Asks the process at `path` for its ports, if there is one.
    ///
    /// # Errors
    ///
    /// When the path cannot be used, whoever is there does not answer, or its ports are not those that are wanted.
    pub(in crate::sidecar) async fn inherit(
        config: &Config,
        path: &Path,
    ) -> Result<Option<(Self, Predecessor)>, Error> {
        let wrong = |why: &str| Err(Error::hand_over(path, why));
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return wrong("there is something else; name a place of its own for a socket");
        }
        let mut times = 1;
        let (socket, ports) = loop {
            let socket = match UnixStream::connect(path).await {
                Ok(socket) => socket,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    return Ok(None);
                }
                Err(error) => {
                    return wrong(&format!("{error}; name a place for a socket that this process may use"));
                }
            };
            match timeout(ANSWER_WITHIN, receive(&socket)).await {
                Ok(Ok(ports)) => break (socket, ports),
                // Another that was started as well was there first, and is who hands over now.
                Ok(Err(error)) if has_gone(&error) && times < TRIES => times += 1,
                Ok(Err(error)) => {
                    return wrong(&format!("{error}; what listens there is no onelane: name another place"));
                }
                Err(_) => {
                    return wrong(
                        "what listens there does not answer: another process may be taking over, look for one that is \
                         starting; start again once it serves or has ended",
                    );
                }
            }
        };
        for (flag, wanted, port) in
            [("--listen", config.listen, &ports.listen), ("--admin", config.admin, &ports.admin)]
        {
            let has = port.local_addr().map_err(|error| Error::hand_over(path, &error.to_string()))?;
            if !same(wanted, has) {
                let why = format!(
                    "the process there has {flag} {has}, and this {wanted}; give both the same or end it first"
                );
                return wrong(&why);
            }
        }
        Ok(Some((ports, Predecessor(socket))))
    }
}

/// Whether who was connected to ended before it said anything.
fn has_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// A wanted port of zero is any.
fn same(wanted: SocketAddr, has: SocketAddr) -> bool {
    wanted.ip() == has.ip() && (wanted.port() == 0 || wanted.port() == has.port())
}

// === impl Predecessor ===

impl Predecessor {
    /// Tells it to finish, if there is one, and waits until it has, or has had its time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the ports without anybody who serves there, once it has begun.
    pub(in crate::sidecar) async fn finished(before: Option<Self>) {
        if let Some(before) = before {
            before.finish().await;
        }
    }

    async fn finish(mut self) {
        let finished = async {
            self.0.write_all(&[READY]).await?;
            self.0.read(&mut [0]).await
        };
        match timeout(FINISH_WITHIN, finished).await {
            Ok(_) => info!(target: SIDECAR, "the process before has finished"),
            Err(_) => {
                info!(target: SIDECAR, waited = ?FINISH_WITHIN, "serving, while the process before still has exchanges in flight")
            }
        }
    }
}

// === impl HandOver ===

impl HandOver {
    /// Waits at `path` from now on, in the place of whoever was there.
    pub(in crate::sidecar) fn at(path: &Path, ports: &Ports) -> Result<Self, Error> {
        let bind = || {
            let ports =
                [ports.listen.as_fd().try_clone_to_owned()?, ports.admin.as_fd().try_clone_to_owned()?];
            // Under another name first: the path is at no time one that nobody listens at or that everybody may use.
            let new = path.with_extension(std::process::id().to_string());
            let at = UnixListener::bind(&new)?;
            fs::set_permissions(&new, Permissions::from_mode(0o600))?;
            fs::rename(&new, path)?;
            Ok(Self { at, path: path.to_owned(), ports, given: false })
        };
        bind().map_err(|error: io::Error| {
            let why = format!("{error}; name a place for a socket that this process may write to");
            Error::hand_over(path, &why)
        })
    }

    /// Resolves when a successor has the ports and is ready to serve.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future turns a successor away that is not ready yet.
    pub(in crate::sidecar) async fn successor(&mut self) -> Successor {
        loop {
            let Ok((mut socket, _)) = self.at.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if let Err(error) = send(&socket, &self.ports).await {
                warn!(target: SIDECAR, %error, "the ports cannot be handed over");
                continue;
            }
            // It may take its time, to reach the upstream for example; if it fails it ends, and this goes on.
            let mut said = [0];
            if socket.read_exact(&mut said).await.is_ok() && said == [READY] {
                self.given = true;
                return Successor { _waits: socket };
            }
            info!(target: SIDECAR, "a process that was to take over ended before it was ready");
        }
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if !self.given {
            let _gone_already = fs::remove_file(&self.path);
        }
    }
}

async fn send(socket: &UnixStream, [listen, admin]: &[OwnedFd; 2]) -> io::Result<()> {
    let sockets = [listen.as_fd(), admin.as_fd()];
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        with.push(SendAncillaryMessage::ScmRights(&sockets));
        sendmsg(socket, &[IoSlice::new(HERE)], &mut with, SendFlags::NOSIGNAL)?;
        Ok(())
    };
    socket.async_io(Interest::WRITABLE, send).await
}

async fn receive(socket: &UnixStream) -> io::Result<Ports> {
    let receive = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut with = RecvAncillaryBuffer::new(&mut space);
        let mut said = [0];
        recvmsg(socket, &mut [IoSliceMut::new(&mut said)], &mut with, RecvFlags::CMSG_CLOEXEC)?;
        let sockets = with.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        });
        Ok(sockets.flatten().collect::<Vec<OwnedFd>>())
    };
    let sockets = socket.async_io(Interest::READABLE, receive).await?;
    let [listen, admin] = sockets.try_into().map_err(|_| io::Error::other("it did not send two sockets"))?;
    let listener = |socket: OwnedFd| {
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    Ok(Ports { listen: listener(listen)?, admin: listener(admin)? })
}
