use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::{fs::FileTypeExt as _, net},
    },
    path::{Path, PathBuf},
};

use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    time::{Instant, timeout},
};
use tracing::info;

use super::{
    ANSWER_WITHIN, FINISH_WITHIN, HandOver, Ports,
    words::{self, DONE, HERE, PORTS, READY, TAKEN, YOURS},
};
use crate::{
    sidecar::{Config, Error, listen::door},
    telemetry::SIDECAR,
};

/// The process that serves so far, as the next one sees it.
#[derive(Debug)]
pub(in crate::sidecar) struct Predecessor {
    socket: UnixStream,
    path: PathBuf,
    /// Where players come.
    listen: SocketAddr,
    /// When it was found.
    since: Instant,
}

/// What it has given.
#[derive(Debug)]
pub(super) struct Given<T> {
    pub(super) ports: Ports,
    pub(super) hand_over: HandOver,
    /// What was made ready to serve there.
    pub(super) with: T,
}

/// How many times a process that is ending may have been connected to: this many processes may be started
/// at once, less one.
const TRIES: u32 = 8;

const SILENT: &str = "what listens there does not answer: another process may be taking over, look for one that is \
                      starting; start again once it serves or has ended";

// === impl Predecessor ===

impl Predecessor {
    /// Who is at `path`, if there is somebody. One that has closed its ports is waited for.
    ///
    /// # Errors
    ///
    /// When the path cannot be used, whoever is there does not answer or end, or its ports are not those
    /// that are wanted.
    pub(super) async fn at(path: &Path, config: &Config) -> Result<Option<Self>, Error> {
        let wrong = |why: &str| Error::hand_over(path, why);
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(wrong("there is something else; name a place of its own for a socket"));
        }
        let mut times = 1;
        loop {
            let socket = match UnixStream::connect(path).await {
                Ok(socket) => socket,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    return Ok(None);
                }
                Err(error) => {
                    return Err(wrong(&format!(
                        "{error}; name a place for a socket that this process may use"
                    )));
                }
            };
            match timeout(ANSWER_WITHIN, words::hear(&socket)).await {
                Ok(Ok((HERE, sockets))) if sockets.is_empty() => {
                    info!(target: SIDECAR, "the process before is ending: waiting for it");
                    let limit = config.drain.saturating_add(FINISH_WITHIN);
                    if timeout(limit, end(&socket)).await.is_err() {
                        return Err(wrong(
                            "the process there is ending, and has yet to finish; start again once it has",
                        ));
                    }
                }
                Ok(Ok((HERE, sockets))) => {
                    // They are looked at and closed: while this starts, the other is the only one who has them.
                    let ports = received(sockets).and_then(Ports::from);
                    let ports = ports.map_err(|error| wrong(&error.to_string()))?;
                    ports.fit(config).map_err(|why| wrong(&why))?;
                    let (path, listen) = (path.to_owned(), door::address(&ports.listen));
                    return Ok(Some(Self { socket, path, listen, since: Instant::now() }));
                }
                // Another that was started as well was there first, and is who hands over now.
                Ok(Err(error)) if has_gone(&error) && times < TRIES => times += 1,
                Ok(_) => {
                    return Err(wrong(
                        "what listens there is no onelane, or one whose hand-over is another: stop it first, or name another place",
                    ));
                }
                Err(_) => return Err(wrong(SILENT)),
            }
        }
    }

    pub(super) fn listen(&self) -> SocketAddr {
        self.listen
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Says that this is ready, and takes the ports; `prepare` has what it takes to serve there. `None` when
    /// it is not, or no longer, who hands over to this.
    ///
    /// # Errors
    ///
    /// When it does not answer, or `prepare` fails. It goes on serving then.
    pub(super) async fn gives<T>(
        self,
        prepare: impl FnOnce(&TcpListener) -> Result<T, Error>,
    ) -> Result<Option<Given<T>>, Error> {
        // One that has ended may have left the ports in here.
        let _has_ended = words::say(&self.socket, READY, &[]);
        let sockets = match timeout(ANSWER_WITHIN, words::hear(&self.socket)).await {
            Ok(Ok((PORTS, sockets))) => sockets,
            Ok(_) => return Ok(None),
            Err(_) => return Err(self.wrong(SILENT)),
        };
        let taken = || {
            let [listen, admin, at] = received(sockets)?;
            let ports = Ports::from([listen, admin])?;
            let given = ports.given()?;
            let at = net::UnixListener::from(at);
            at.set_nonblocking(true)?;
            Ok((ports, given, UnixListener::from_std(at)?))
        };
        let (ports, given, at) = taken().map_err(|error: io::Error| self.wrong(&error.to_string()))?;
        let with = prepare(&ports.listen)?;
        let _has_ended = words::say(&self.socket, TAKEN, &[]);
        match timeout(ANSWER_WITHIN, words::hear(&self.socket)).await {
            Ok(Ok((YOURS, _))) => {}
            Ok(_) => return Ok(None),
            Err(_) => return Err(self.wrong(SILENT)),
        }
        info!(target: SIDECAR, "the process before has yet to finish");
        let hand_over = HandOver::new(self.path.clone(), at, given, Some(self));
        Ok(Some(Given { ports, hand_over, with }))
    }

    /// Waits until it has finished, or has had its time; whether it has finished.
    pub(super) async fn finished(&self) -> bool {
        let finished = timeout(FINISH_WITHIN, end(&self.socket)).await.is_ok();
        if finished {
            info!(target: SIDECAR, "the process before has finished");
        } else {
            info!(target: SIDECAR, waited = ?FINISH_WITHIN, "serving, while the process before still has exchanges in flight");
        }
        finished
    }

    /// This process has taken so long to be ready that nobody may expect it any more.
    pub(super) fn late(&self) -> Error {
        self.wrong("this was not ready in time, and another serves there; start it again")
    }

    fn wrong(&self, why: &str) -> Error {
        Error::hand_over(&self.path, why)
    }

    /// It need not step in for this process any more.
    pub(super) fn relieve(self) {
        let _has_ended = words::say(&self.socket, DONE, &[]);
    }
}

async fn end(socket: &UnixStream) {
    while words::hear(socket).await.is_ok() {}
}

/// This many sockets.
fn received<const N: usize>(sockets: Vec<OwnedFd>) -> io::Result<[OwnedFd; N]> {
    let lost = |_| io::Error::other("the sockets did not come; allow this process more open files");
    sockets.try_into().map_err(lost)
}

/// Whether who was connected to ended before it said anything.
fn has_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}
