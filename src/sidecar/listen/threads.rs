use std::{io, os::fd::AsFd as _, sync::mpsc, thread};

use tokio::{net::TcpListener, runtime, sync::oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::error;

use super::door::Door;
use crate::{sidecar::relay::proxy::Proxy, telemetry::SIDECAR};

/// Threads that serve, each with a runtime and connections to the upstream of its own.
///
/// A request then stays on one thread, from the player's socket to the upstream's and back. The lanes are the
/// only thing that they share.
#[derive(Debug)]
pub(in crate::sidecar) struct Threads {
    waiting: Vec<oneshot::Sender<(Door, Proxy)>>,
    _end: DropGuard,
}

// === impl Threads ===

impl Threads {
    /// Starts them, with all that the machine has to give for it. They wait to be told to serve, and end when this is
    /// dropped.
    pub(in crate::sidecar) fn start(count: usize, listener: &TcpListener) -> io::Result<Self> {
        let end = CancellationToken::new();
        // From the start: if one cannot be started, the others end.
        let mut threads = Self { waiting: Vec::new(), _end: end.clone().drop_guard() };
        let (tell, told) = mpsc::channel();
        for n in 0..count {
            let listener = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
            let (serve, served) = oneshot::channel::<(Door, Proxy)>();
            let (end, tell) = (end.clone(), tell.clone());
            thread::Builder::new().name(format!("onelane-{n}")).spawn(move || {
                // Made here, since it must not be dropped by whoever starts the threads, which is in another.
                let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(tell.send(Err(error))),
                };
                drop(tell.send(Ok(())));
                runtime.block_on(async {
                    let Ok((door, proxy)) = served.await else { return };
                    match TcpListener::from_std(listener) {
                        Ok(listener) => door.serve(&listener, &proxy).await,
                        Err(error) => error!(target: SIDECAR, %error, "a thread cannot take connections"),
                    }
                    // Its connections may have more to say.
                    end.cancelled().await;
                });
            })?;
            threads.waiting.push(serve);
        }
        drop(tell);
        // Each says so at once.
        told.into_iter().take(count).collect::<io::Result<()>>()?;
        Ok(threads)
    }

    /// Has them take connections, until the door is closed.
    pub(in crate::sidecar) fn serve(&mut self, door: &Door, proxy: &Proxy) {
        for thread in self.waiting.drain(..) {
            let _has_ended = thread.send((door.clone(), proxy.anew()));
        }
    }
}
