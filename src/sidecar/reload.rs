use sd_notify::NotifyState;
use tracing::{error, info};

use super::{system::tell_systemd, tls::Tls};

/// What is read again at SIGHUP.
#[derive(Debug, Clone)]
pub(super) struct Reload {
    tls: Option<Tls>,
}

// === impl Reload ===

impl Reload {
    pub(super) fn new(tls: Option<Tls>) -> Self {
        Self { tls }
    }

    /// Reads everything again. What is wrong stays as it was, and the log says why.
    pub(super) fn all(&self) {
        // Type=notify-reload waits for both, and wants to know when the first was said.
        tell_systemd(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0)),
        ]);
        match self.tls.as_ref().map(Tls::reload) {
            Some(Ok(())) => info!("certificate reloaded"),
            Some(Err(why)) => error!(%why, "certificate not reloaded; the one before stays"),
            None => info!("nothing to reload"),
        }
        tell_systemd(&[NotifyState::Ready]);
    }
}
