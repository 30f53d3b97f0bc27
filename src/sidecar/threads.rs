use std::{io, thread};

use tokio::{net::TcpListener, runtime};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::error;

use super::{listen::Door, proxy::Proxy};

/// Threads that serve, each with a runtime and connections to the upstream of its own.
///
/// A request then stays on one thread, from the player's socket to the upstream's and back. The lanes are the
/// only thing that they share.
#[derive(Debug)]
pub(super) struct Threads {
    _end: DropGuard,
}

// === impl Threads ===

impl Threads {
    /// Starts them. They take connections until the door is closed, and run on until this is dropped.
    pub(super) fn start(count: usize, listener: TcpListener, door: &Door, proxy: &Proxy) -> io::Result<Self> {
        let listener = listener.into_std()?;
        let end = CancellationToken::new();
        // From the start: if one cannot be started, the others end.
        let threads = Self { _end: end.clone().drop_guard() };
        for n in 0..count {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let (listener, door, proxy) = (listener.try_clone()?, door.clone(), proxy.anew());
            let end = end.clone();
            thread::Builder::new().name(format!("onelane-{n}")).spawn(move || {
                runtime.block_on(async {
                    match TcpListener::from_std(listener) {
                        Ok(listener) => door.serve(&listener, &proxy).await,
                        Err(error) => error!(%error, "a thread cannot take connections"),
                    }
                    // Its connections may have more to say.
                    end.cancelled().await;
                });
            })?;
        }
        Ok(threads)
    }
}
