use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tracing::{error, info};

use super::system::tell_systemd;
use crate::{
    sidecar::{Config, Reread, listen::tls::Tls, relay::proxy::Proxy, settings::changes::Changes},
    telemetry::SIDECAR,
};

/// What is read again at SIGHUP and at `POST /reload`. A clone is the same.
#[derive(Clone)]
pub(in crate::sidecar) struct Reload(Arc<State>);

struct State {
    source: Option<Source>,
    proxy: Proxy,
    tls: Option<Tls>,
    /// One reload at a time.
    reloading: Mutex<()>,
    /// The settings as they are. Never locked while something is waited for.
    config: Mutex<Config>,
    /// Whether systemd was told that this stops: after that it hears of no reload, nor that one is over.
    /// Locked while it is told, so that nothing comes after the last word.
    stopping: Mutex<bool>,
}

type Source = Box<dyn Fn() -> Result<Reread, String> + Send + Sync>;

// === impl Reload ===

impl Reload {
    pub(in crate::sidecar) fn new(
        config: Config,
        proxy: Proxy,
        tls: Option<Tls>,
        source: Option<Source>,
    ) -> Self {
        let (reloading, config, stopping) = (Mutex::new(()), Mutex::new(config), Mutex::new(false));
        Self(Arc::new(State { source, proxy, tls, reloading, config, stopping }))
    }

    /// The settings as they are now.
    pub(in crate::sidecar) fn config(&self) -> Config {
        self.0.config().clone()
    }

    /// Reads everything again, and makes all of it so or nothing. The log says what came of it.
    ///
    /// Reads files and may ask MediaTailor's API: for a thread of a runtime that may block, and not for where
    /// players are served.
    ///
    /// # Errors
    ///
    /// The line that is logged as well: what is wrong, or cannot change, and the remedy.
    pub(in crate::sidecar) fn all(&self) -> Result<String, String> {
        let one = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        self.once(&one)
    }

    /// The same; `None` at once while another is under way.
    pub(in crate::sidecar) fn unless_under_way(&self) -> Option<Result<String, String>> {
        let one = match self.0.reloading.try_lock() {
            Ok(one) => one,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(self.once(&one))
    }

    fn once(&self, _one: &MutexGuard<'_, ()>) -> Result<String, String> {
        // Type=notify-reload waits for both, and wants to know when the first was said.
        self.tell(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0)),
        ]);
        let came = self.0.reload();
        match &came {
            Ok(changed) => info!(target: SIDECAR, %changed, "reloaded"),
            Err(why) => error!(target: SIDECAR, %why, "not reloaded: nothing changes"),
        }
        self.tell(&[NotifyState::Ready]);
        came
    }

    /// Tells systemd that this stops: its last word, said once.
    pub(in crate::sidecar) fn stopping(&self) {
        let mut stopping = self.0.stopping();
        if !*stopping {
            *stopping = true;
            tell_systemd(&[NotifyState::Stopping]);
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let stopping = self.0.stopping();
        if !*stopping {
            tell_systemd(states);
        }
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("config", &self.0.config).finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    fn reload(&self) -> Result<String, String> {
        let current = self.config().clone();
        let reread = match &self.source {
            Some(source) => {
                let Reread { config, live, fixed } = source()?;
                // It has its bounds, and this is no thread of players'.
                let config = Handle::current().block_on(config.asked()).map_err(|error| error.to_string())?;
                Reread { config, live, fixed }
            }
            // Who made it may have given it a certificate.
            None => Reread::new(current.clone()),
        };
        let Changes { live: mut changed, mut fixed } = Changes::between(&current, &reread.config);
        fixed.extend(reread.fixed);
        if !fixed.is_empty() {
            let names = fixed.join(", ");
            return Err(format!(
                "{names}: cannot change while onelane serves; restart it for that, or put back what was there"
            ));
        }
        let certificate = self.tls.as_ref().map(|tls| Ok::<_, String>((tls, tls.read()?))).transpose()?;
        // Nothing fails from here on.
        if !changed.is_empty() {
            self.proxy.reconfigure(&reread.config);
        }
        if let Some((tls, certificate)) = certificate {
            tls.show(certificate);
            tls.warn();
            changed.push("the certificate of tls_cert");
        }
        for (name, apply) in reread.live {
            apply();
            changed.push(name);
        }
        *self.config() = reread.config;
        Ok(if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") })
    }

    fn stopping(&self) -> MutexGuard<'_, bool> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> MutexGuard<'_, Config> {
        // It is replaced whole.
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
