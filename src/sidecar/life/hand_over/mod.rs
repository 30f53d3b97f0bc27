//! How a process gives its ports to the next, without one moment at which nobody has them and without two
//! serving at once.
//!
//! The old one listens at a Unix socket, and candidates connect there and start. The first that says that it
//! is ready is given the listening sockets, that Unix socket among them, says that it has them, and is told
//! that they are its own. Then the old one takes no more connections, finishes its exchanges and ends, and
//! the new one begins to take connections: those that came meanwhile have waited in the sockets, which both
//! have had all the time.
//!
//! Nobody but the old one and one other ever has the ports, so that the process that is left when another is
//! killed needs no agreement:
//!
//! - A candidate that is not chosen looks again for who is there, and is a candidate of that one, or takes
//!   the ports if they are free.
//! - The new one keeps its connection for as long as it serves. If it is killed while the old one still
//!   finishes, the old one serves again; if it stops in order or hands over in its turn, it says so first.
//! - One that is stopped leaves the ports to a candidate that is still starting, which begins when the
//!   connection ends. Where there is none it closes them, and a candidate that comes now waits for the end.

mod candidate;
mod place;
mod ports;
mod predecessor;
mod words;

use std::{
    fs::{self, Permissions},
    io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::{UnixListener, UnixStream},
    time::sleep,
};
use tracing::{error, warn};

use self::{candidate::Candidates, predecessor::Predecessor};
pub(in crate::sidecar) use self::{place::Place, ports::Ports};
use crate::{sidecar::Error, telemetry::SIDECAR};

/// Where this process has the ports from, and to whom it gives them.
#[derive(Debug)]
pub(in crate::sidecar) struct HandOver {
    path: PathBuf,
    /// Shared with the successor: the process that serves is the one that accepts here.
    at: UnixListener,
    /// What is given: these stay open when the others are closed. `None` once nobody is to have them from here.
    ports: Option<[OwnedFd; 2]>,
    /// Who served before, and has yet to finish.
    before: Option<Predecessor>,
    candidates: Candidates,
    /// The process that has the ports by now. It waits for the end of this connection, and its own end of
    /// it ends with it.
    successor: Option<UnixStream>,
}

/// How long the other process may take to say something. Longer than one that has taken over waits for its predecessor.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How long the old process has to finish before the new one begins all the same. Connections wait as long; a
/// player gives up after 8 s, and most exchanges take tenths of a second.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// How long a candidate may take to be ready. One that has hung for longer would take over when nobody
/// expects it any more.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// After the system has refused something, the pause before the next try.
const BREATH: Duration = Duration::from_millis(50);

// === impl HandOver ===

impl HandOver {
    /// Waits at `path` from now on, with ports that nobody had before.
    fn at(path: &Path, ports: &Ports) -> Result<Self, Error> {
        let bind = || {
            let ports = ports.given()?;
            // Under another name first: the path is at no time one that nobody listens at or that everybody may use.
            let new = path.with_extension(std::process::id().to_string());
            let at = UnixListener::bind(&new)?;
            fs::set_permissions(&new, Permissions::from_mode(0o600))?;
            fs::rename(&new, path)?;
            Ok(Self::new(path.to_owned(), at, ports, None))
        };
        bind().map_err(|error: io::Error| {
            let why = format!("{error}; name a place for a socket that this process may write to");
            Error::hand_over(path, &why)
        })
    }

    fn new(path: PathBuf, at: UnixListener, ports: [OwnedFd; 2], before: Option<Predecessor>) -> Self {
        let candidates = Candidates::default();
        Self { path, at, ports: Some(ports), before, candidates, successor: None }
    }

    /// Waits until the process before has finished, if there is one, or has had its time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(in crate::sidecar) async fn before_finished(&mut self) {
        if let Some(before) = &mut self.before
            && before.finished().await
        {
            self.before = None;
        }
    }

    /// Resolves when a successor has the ports and is ready to serve.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future turns one away that is about to take them; it finds out, and looks for who is there.
    pub(in crate::sidecar) async fn successor(&mut self) {
        loop {
            let candidate = tokio::select! {
                accepted = self.at.accept() => {
                    match accepted {
                        Ok((socket, _)) => self.candidates.greet(socket, self.ports.as_ref()),
                        Err(_) => sleep(BREATH).await,
                    }
                    continue;
                }
                ready = self.candidates.ready() => ready,
            };
            let Some(ports) = &self.ports else { continue };
            // It is not who is watched from here on: the process before must not step in beside another.
            if let Some(before) = self.before.take() {
                before.relieve();
            }
            if let Some(successor) = candidate.take(ports, &self.at).await {
                self.candidates.dismiss();
                self.successor = Some(successor);
                return;
            }
            warn!(target: SIDECAR, "a process that was to take over has not taken the ports");
        }
    }

    /// Whether another has the ports by now.
    pub(in crate::sidecar) fn has_successor(&self) -> bool {
        self.successor.is_some()
    }

    /// This is told to stop and takes no more connections: it leaves the ports to who still starts, and
    /// closes them if nobody does.
    pub(in crate::sidecar) fn leave(&mut self) {
        if let Some(before) = self.before.take() {
            before.relieve();
        }
        let Some(ports) = self.ports.take() else { return };
        if self.successor.is_none() {
            self.successor = self.candidates.heir(&ports, &self.at);
        }
        self.candidates.dismiss();
    }

    /// Resolves when the successor was killed, with the ports, which are this process's again. Who comes when
    /// they are closed waits for the end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(in crate::sidecar) async fn lost(&mut self) -> Ports {
        if let (Some(successor), Some(ports)) = (&self.successor, &self.ports)
            && candidate::died(successor).await
        {
            match Ports::of(ports) {
                Ok(ports) => {
                    self.successor = None;
                    return ports;
                }
                Err(error) => error!(target: SIDECAR, %error, "the ports cannot be taken back"),
            }
        }
        // The successor has been told to stop, or has one itself.
        self.ports = None;
        while self.successor.is_none() {
            match self.at.accept().await {
                Ok((socket, _)) => self.candidates.greet(socket, None),
                Err(_) => sleep(BREATH).await,
            }
        }
        std::future::pending().await
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        // Before anybody learns of the end by that of the connections.
        self.ports = None;
        // One that would step in if this was killed is found there as well.
        if self.successor.is_none() && self.before.is_none() {
            let _gone_already = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::time::advance;

    use super::{
        words::{HERE, PORTS, READY, hear, say},
        *,
    };
    use crate::sidecar::Config;

    /// One that serves, and the settings of all.
    async fn serving(folder: &TempDir) -> (HandOver, Config) {
        let mut config = Config::new("http://a.example".parse().expect("an upstream"));
        config.listen = ([127, 0, 0, 1], 0).into();
        config.admin = config.listen;
        config.hand_over = Some(folder.path().join("hand-over"));
        let place = Place::find(&config).await.expect("free ports");
        let (_, hand_over, ()) = place.take(&config, |_| Ok(())).await.expect("a place");
        (hand_over.expect("a path"), config)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_never_ready_is_let_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut serving, config) = serving(&folder).await;
        let hangs = UnixStream::connect(config.hand_over.expect("a path")).await.expect("it listens");
        let let_go = async {
            let (word, sockets) = hear(&hangs).await.expect("a greeting");
            assert_eq!((word, sockets.len()), (HERE, 2));
            assert!(hear(&hangs).await.is_err());
        };
        tokio::select! {
            () = serving.successor() => panic!("it was not ready"),
            () = let_go => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_with_the_ports_in_its_hands_has_not_taken_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut serving, config) = serving(&folder).await;
        let hangs = UnixStream::connect(config.hand_over.expect("a path")).await.expect("it listens");
        let let_go = async {
            say(&hangs, READY, &[]).expect("it listens");
            assert_eq!(hear(&hangs).await.expect("a greeting").0, HERE);
            let (word, sockets) = hear(&hangs).await.expect("the ports");
            assert_eq!((word, sockets.len()), (PORTS, 3));
            // Not that they are its own.
            assert!(hear(&hangs).await.is_err());
        };
        tokio::select! {
            () = serving.successor() => panic!("it did not take them"),
            () = let_go => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_ready_when_nobody_expects_it_any_more_leaves_who_serves_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut serving, config) = serving(&folder).await;
        let late = async {
            let place = Place::find(&config).await.expect("one who serves");
            advance(READY_WITHIN).await;
            place.take(&config, |_| Ok(())).await.expect_err("it is late").to_string()
        };
        tokio::select! {
            () = serving.successor() => panic!("it was late"),
            why = late => assert!(why.contains("this was not ready in time"), "{why}"),
        }
    }
}
