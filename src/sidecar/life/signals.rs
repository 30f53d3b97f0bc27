use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sidecar::Error;

/// SIGTERM and SIGINT, and beside them SIGHUP: listened for from the start so that none is missed.
#[derive(Debug)]
pub(in crate::sidecar) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Signals ===

impl Signals {
    /// The signals to end at, and the one to reload at.
    pub(in crate::sidecar) fn listen() -> Result<(Self, Signal), Error> {
        let listen = |kind| signal(kind).map_err(Error::signals);
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok((Self { terminate, interrupt }, listen(SignalKind::hangup())?))
    }

    /// One future for the first signal, and one for the second.
    pub(in crate::sidecar) fn split(mut self) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
        let (first_came, first) = tokio::sync::oneshot::channel::<()>();
        let second = async move {
            self.next().await;
            let _nobody_waits = first_came.send(());
            self.next().await;
        };
        let first = async move {
            let _came = first.await;
        };
        (first, second)
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
