//! The proxy beside a CDN's origin or a player's edge: `onelane serve`.
//!
//! HTTP/1.1 and HTTP/2 come in, over TLS where there is a certificate, HTTP/1.1 or HTTP/2 goes out to what
//! the settings name, and every session of MediaTailor in between has one [lane](crate::lane).
//!
//! ```no_run
//! use onelane::sidecar::{Config, Sidecar};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::new("https://0123456789abcdef.mediatailor.eu-west-1.amazonaws.com".parse()?);
//! let sidecar = Sidecar::bind(config).await?;
//! println!("listening on {}", sidecar.local_addr());
//! sidecar.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

mod admin;
mod error;
mod life;
mod listen;
mod relay;
mod settings;
pub(crate) mod upstream;

use std::{
    net::{self, SocketAddr},
    pin::pin,
    process::ExitCode,
};

use tokio::{net::TcpListener, signal::unix::Signal, task::spawn_blocking};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

pub use self::{
    admin::healthcheck::{HealthcheckArgs, healthcheck},
    error::Error,
    relay::site::Site,
    settings::{
        check::{ConfigArgs, check, print_default},
        config::{Config, HostHeader, UpstreamHttp},
        flags::{Flags, with_file},
        lease::LeaseEngine,
        otlp::OtlpCollector,
        reread::Reread,
    },
    upstream::endpoint::Upstream,
};
use self::{
    admin::metrics::Metrics,
    life::{
        attend::{Ends, attend},
        hand_over::{HandOver, Place, Ports},
        reload::Reload,
        signals::Signals,
        system::raise_open_files,
    },
    listen::{
        door::{self, Door},
        threads::Threads,
        tls::Tls,
    },
    relay::proxy::Proxy,
    settings::otlp::Tracing,
};

use crate::telemetry::SIDECAR;

/// A proxy that has its ports and is ready to run.
#[derive(Debug)]
pub struct Sidecar {
    config: Config,
    listener: TcpListener,
    admin: TcpListener,
    proxy: Proxy,
    tls: Option<Tls>,
    hand_over: Option<HandOver>,
    tracing: Option<Tracing>,
    reload: Reload,
    /// Those that wait to serve, if they are to, and the port for each.
    threads: Option<(Threads, Vec<net::TcpListener>)>,
}

/// Runs `onelane serve` until a signal ends it. At SIGHUP and at `POST /reload` of the admin port `again`
/// reads the settings again, or says in one line what is wrong with them.
pub async fn run(
    flags: Flags,
    again: impl Fn() -> Result<Reread, String> + Send + Sync + 'static,
) -> ExitCode {
    let config = match flags.read() {
        Ok(config) => config,
        Err(error) => return error.report(),
    };
    let (signals, hangups) = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return error.report(),
    };
    raise_open_files(config.connections);
    let (first, second) = signals.split();
    tokio::select! {
        code = serve(config, again, hangups, first) => code,
        () = second => {
            warn!(target: SIDECAR, "second signal: ending at once");
            ExitCode::FAILURE
        }
    }
}

/// Runs it until `stop` resolves, which may be before it serves.
async fn serve(
    config: Config,
    again: impl Fn() -> Result<Reread, String> + Send + Sync + 'static,
    mut hangups: Signal,
    stop: impl Future<Output = ()>,
) -> ExitCode {
    let mut stop = pin!(stop);
    let ready = tokio::select! {
        biased;
        ready = Sidecar::ready(config, true) => ready,
        () = stop.as_mut() => {
            info!(target: SIDECAR, "told to stop before it served");
            return ExitCode::SUCCESS;
        }
    };
    let mut sidecar = match ready {
        Ok(sidecar) => sidecar,
        Err(error) => return error.report(),
    };
    // Once it has begun to finish, somebody has to take the connections that wait.
    sidecar.before_finished().await;
    let sidecar = sidecar.reload_with(again);
    let reload = sidecar.reload.clone();
    let _reloads = AbortOnDropHandle::new(tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let reload = reload.clone();
            // What came of it is in the log.
            let _told = spawn_blocking(move || reload.all()).await;
        }
    }));
    match sidecar.run_threads(stop).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => error.report(),
    }
}

fn start(threads: usize) -> Result<Threads, Error> {
    Threads::start(threads).map_err(|error| Error::threads(threads, error))
}

fn listeners(threads: &Threads, listener: &TcpListener) -> Result<Vec<net::TcpListener>, Error> {
    threads.listeners(listener).map_err(|error| Error::threads(threads.count(), error))
}

// === impl Sidecar ===

impl Sidecar {
    /// Takes the ports and sets the client up.
    ///
    /// # Errors
    ///
    /// When a port cannot be had; when the system's certificates cannot be read; when the upstream is the
    /// sidecar's own address, or does not answer although [`Config::require_upstream`] wants it to; when the
    /// files of TLS are not what they should be; and when the settings name a playback configuration and
    /// MediaTailor's API does not say within 10 s what it is.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let mut sidecar = Self::ready(config, false).await?;
        sidecar.before_finished().await;
        Ok(sidecar)
    }

    /// The same, with threads of its own if it is to have them, while the process before has yet to finish.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives back what it has; the process that still serves goes on.
    async fn ready(config: Config, threaded: bool) -> Result<Self, Error> {
        let tls = Tls::load(&config)?;
        tls.iter().for_each(Tls::warn);
        let config = config.asked().await?;
        let place = Place::find(&config).await?;
        let here = place.listen();
        if let Some(own) = config.each().find(|each| each.upstream.is(here)) {
            return Err(Error::loops(&own.upstream));
        }
        // Before the first request, which asks for the recorder.
        Metrics::install();
        let tracing = Tracing::start(&config)?;
        let proxy = Proxy::new(&config, tracing.as_ref())?;
        if config.require_upstream {
            proxy.reach(&config).await?;
        }
        if let (true, Some(leases)) = (config.lease_required, proxy.layer().leases()) {
            leases.tried().await.map_err(|why| Error::no_lease(&why))?;
        }
        let threads = threaded.then(|| start(config.threads)).transpose()?;
        // Last, since from there on nothing can fail.
        let prepare = |listener: &_| threads.as_ref().map(|threads| listeners(threads, listener)).transpose();
        let (ports, hand_over, listeners) = place.take(&config, prepare).await?;
        let threads = threads.zip(listeners);
        let Ports { listen: listener, admin } = ports;
        let reload = Reload::new(config.clone(), proxy.clone(), tls.clone(), None);
        Ok(Self { config, listener, admin, proxy, tls, hand_over, tracing, reload, threads })
    }

    async fn before_finished(&mut self) {
        if let Some(hand_over) = &mut self.hand_over {
            hand_over.before_finished().await;
        }
    }

    /// Lets `POST /reload` of the admin port read the settings again by calling `again`, which says in one
    /// line what is wrong with them. Without this, only the files of TLS are read again.
    #[must_use]
    pub fn reload_with(self, again: impl Fn() -> Result<Reread, String> + Send + Sync + 'static) -> Self {
        let Self { config, proxy, tls, .. } = &self;
        let reload = Reload::new(config.clone(), proxy.clone(), tls.clone(), Some(Box::new(again)));
        Self { reload, ..self }
    }

    /// Where players are served.
    pub fn local_addr(&self) -> SocketAddr {
        door::address(&self.listener)
    }

    /// Where the admin port is, with the page that shows the lanes, `/healthz`, `/readyz` and `/metrics`.
    pub fn admin_addr(&self) -> SocketAddr {
        door::address(&self.admin)
    }

    /// The layer at the heart, for the inspection of its lanes.
    pub fn layer(&self) -> &crate::serialize::SerializeLayer {
        self.proxy.layer()
    }

    /// Serves until `stop` resolves, then drains: turns unready, after [`Config::unready_for`] takes no more
    /// connections, and finishes what waits and what is in flight, abandoned exchanges included. Returns
    /// `false` when [`Config::drain`] was too short for that.
    ///
    /// Everything runs on the caller's runtime; [`Config::threads`] is for [`run_threads`](Self::run_threads).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a stop that nobody waits for: open requests are finished in the background.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let listen = self.local_addr();
        let Self { config, listener, admin, proxy, tls, hand_over, tracing, reload, .. } = self;
        let ends = Ends { hand_over, tracing };
        let serve = |listener: TcpListener, door: &Door| {
            let (door, proxy) = (door.clone(), proxy.clone());
            tokio::spawn(async move { door.serve(listener, &proxy).await });
        };
        let door = Door::new(&config, tls);
        // Owned by it, so that the port is closed before the draining.
        serve(listener, &door);
        let again = |listener: TcpListener, door: &Door| {
            serve(listener, door);
            Ok(())
        };
        attend(&reload, (listen, admin), ends, door, &proxy, again, stop).await
    }

    /// The same on [`Config::threads`] threads of its own, as `onelane serve` does: a request stays on one thread.
    ///
    /// # Errors
    ///
    /// When the machine does not provide that many threads, or what they need.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends everything at once.
    pub async fn run_threads(self, stop: impl Future<Output = ()>) -> Result<bool, Error> {
        let listen = self.local_addr();
        let Self { config, listener, admin, proxy, tls, hand_over, tracing, reload, threads } = self;
        let ends = Ends { hand_over, tracing };
        let (threads, own) = match threads {
            Some(ready) => ready,
            None => {
                let threads = start(config.threads)?;
                let own = listeners(&threads, &listener)?;
                (threads, own)
            }
        };
        let door = Door::new(&config, tls);
        threads.serve(own, &door, &proxy);
        // They have it, and close it before the draining.
        drop(listener);
        let again = |listener: TcpListener, door: &Door| {
            threads.serve(threads.listeners(&listener)?, door, &proxy);
            Ok(())
        };
        Ok(attend(&reload, (listen, admin), ends, door, &proxy, again, stop).await)
    }
}
