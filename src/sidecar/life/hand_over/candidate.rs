use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    os::fd::{AsFd as _, OwnedFd},
    task::{Context, Poll, ready},
};

use tokio::{
    net::{UnixListener, UnixStream},
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{
    ANSWER_WITHIN, READY_WITHIN,
    words::{self, DONE, HERE, PORTS, READY, TAKEN, YOURS},
};
use crate::telemetry::SIDECAR;

/// Those who are to take over, and are still starting. The first to come is first.
#[derive(Debug, Default)]
pub(super) struct Candidates(VecDeque<Candidate>);

/// One of them.
#[derive(Debug)]
pub(super) struct Candidate {
    socket: UnixStream,
    /// By when it has to be ready.
    end: Instant,
}

/// Whether a successor was killed; it has told otherwise before its end if not.
pub(super) async fn died(successor: &UnixStream) -> bool {
    // It may still repeat what it said as a candidate.
    loop {
        match words::hear(successor).await {
            Ok((DONE, _)) => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
}

// === impl Candidates ===

impl Candidates {
    /// Greets one that has come. Without ports, it is to wait for the end of its connection.
    pub(super) fn greet(&mut self, socket: UnixStream, ports: Option<&[OwnedFd; 2]>) {
        let ports: Vec<_> = ports.into_iter().flatten().map(OwnedFd::as_fd).collect();
        match words::say(&socket, HERE, &ports) {
            Ok(()) => self.0.push_back(Candidate { socket, end: Instant::now() + READY_WITHIN }),
            Err(error) => warn!(target: SIDECAR, %error, "the ports cannot be handed over"),
        }
    }

    /// The first that is ready. Those that end or take too long are forgotten.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn ready(&mut self) -> Candidate {
        loop {
            let heard = poll_fn(|cx| {
                let mut each = self.0.iter().enumerate();
                let heard = each.find_map(|(place, candidate)| match candidate.poll_ready(cx) {
                    Poll::Ready(heard) => Some((place, heard)),
                    Poll::Pending => None,
                });
                heard.map_or(Poll::Pending, Poll::Ready)
            });
            let end = self.0.front().map(|first| first.end);
            let late = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            let (place, is_ready) = tokio::select! {
                biased;
                heard = heard => heard,
                () = late => {
                    warn!(target: SIDECAR, after = ?READY_WITHIN, "a process that was to take over is not ready yet: it may not any more");
                    self.0.pop_front();
                    continue;
                }
            };
            match self.0.remove(place) {
                Some(candidate) if is_ready => return candidate,
                _ => info!(target: SIDECAR, "a process that was to take over ended before it was ready"),
            }
        }
    }

    /// Gives the ports to the first that is left, which takes them when it is ready.
    pub(super) fn heir(&mut self, ports: &[OwnedFd; 2], at: &UnixListener) -> Option<UnixStream> {
        let mut each = self.0.drain(..);
        each.find_map(|Candidate { socket, .. }| {
            let left = offer(&socket, ports, at).and_then(|()| words::say(&socket, YOURS, &[]));
            left.is_ok().then_some(socket)
        })
    }

    /// Lets all look elsewhere.
    pub(super) fn dismiss(&mut self) {
        self.0.clear();
    }
}

// === impl Candidate ===

impl Candidate {
    /// Whether it is ready, once it says so or ends.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if ready!(self.socket.poll_read_ready(cx)).is_err() {
                return Poll::Ready(false);
            }
            let mut said = [0];
            match self.socket.try_read(&mut said) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.is_ok_and(|read| read == 1) && said == [READY]),
            }
        }
    }

    /// Gives it the ports; `None` when it does not take them.
    pub(super) async fn take(self, ports: &[OwnedFd; 2], at: &UnixListener) -> Option<UnixStream> {
        offer(&self.socket, ports, at).ok()?;
        match timeout(ANSWER_WITHIN, words::hear(&self.socket)).await {
            Ok(Ok((TAKEN, _))) => words::say(&self.socket, YOURS, &[]).is_ok().then_some(self.socket),
            _ => None,
        }
    }
}

fn offer(socket: &UnixStream, ports: &[OwnedFd; 2], at: &UnixListener) -> io::Result<()> {
    let [listen, admin] = ports;
    words::say(socket, PORTS, &[listen.as_fd(), admin.as_fd(), at.as_fd()])
}
