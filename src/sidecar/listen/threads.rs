use std::{io, net, os::fd::AsFd as _, sync::mpsc, thread};

use tokio::{
    net::TcpListener,
    runtime,
    sync::mpsc::{UnboundedSender, unbounded_channel},
};
use tracing::error;

use super::door::Door;
use crate::{sidecar::relay::proxy::Proxy, telemetry::SIDECAR};

/// Threads that serve, each with a runtime and connections to the upstream of its own.
///
/// A request then stays on one thread, from the player's socket to the upstream's and back. The lanes are the
/// only thing that they share.
#[derive(Debug)]
pub(in crate::sidecar) struct Threads {
    each: Vec<UnboundedSender<Shift>>,
}

/// What one of them is to serve, until the door is closed.
type Shift = (net::TcpListener, Door, Proxy);

// === impl Threads ===

impl Threads {
    /// Starts them, with all that the machine has to give for it. They wait to be told to serve, and end when this is
    /// dropped.
    pub(in crate::sidecar) fn start(count: usize) -> io::Result<Self> {
        // From the start: if one cannot be started, the others end.
        let mut threads = Self { each: Vec::new() };
        let (tell, told) = mpsc::channel();
        for n in 0..count {
            let (serve, mut served) = unbounded_channel::<Shift>();
            let tell = tell.clone();
            thread::Builder::new().name(format!("onelane-{n}")).spawn(move || {
                // Made here, since it must not be dropped by whoever starts the threads, which is in another.
                let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(tell.send(Err(error))),
                };
                drop(tell.send(Ok(())));
                runtime.block_on(async {
                    // Between the shifts and after the last, its connections may have more to say.
                    while let Some((listener, door, proxy)) = served.recv().await {
                        match TcpListener::from_std(listener) {
                            Ok(listener) => door.serve(listener, &proxy).await,
                            Err(error) => error!(target: SIDECAR, %error, "a thread cannot take connections"),
                        }
                    }
                });
            })?;
            threads.each.push(serve);
        }
        drop(tell);
        // Each says so at once.
        told.into_iter().take(count).collect::<io::Result<()>>()?;
        Ok(threads)
    }

    pub(in crate::sidecar) fn count(&self) -> usize {
        self.each.len()
    }

    /// The same port for each of them.
    pub(in crate::sidecar) fn listeners(&self, listener: &TcpListener) -> io::Result<Vec<net::TcpListener>> {
        let same = || Ok(net::TcpListener::from(listener.as_fd().try_clone_to_owned()?));
        self.each.iter().map(|_| same()).collect()
    }

    /// Has them take connections, until the door is closed.
    pub(in crate::sidecar) fn serve(&self, listeners: Vec<net::TcpListener>, door: &Door, proxy: &Proxy) {
        for (thread, listener) in self.each.iter().zip(listeners) {
            let _has_ended = thread.send((listener, door.clone(), proxy.anew()));
        }
    }
}
