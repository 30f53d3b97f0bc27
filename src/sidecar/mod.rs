//! The proxy beside a CDN's origin or a player's edge: `onelane serve`.
//!
//! HTTP/1.1 and HTTP/2 without TLS come in, HTTP/1.1 or HTTP/2 goes out to one configured upstream, and every
//! session of MediaTailor in between has one [lane](crate::lane).
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

mod activity;
mod admin;
mod answer;
mod config;
mod connection;
mod error;
mod forward;
mod listen;
mod proxy;
mod reuse;
mod signals;
mod upstream;
mod wire;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use tokio::{net::TcpListener, time::timeout};
use tracing::{info, warn};

use self::{admin::Readiness, listen::Door, proxy::Proxy, signals::Signals};
pub use self::{
    config::{Config, HostHeader, Upstream, UpstreamHttp},
    error::Error,
};

/// A proxy that has its ports and is ready to run.
#[derive(Debug)]
pub struct Sidecar {
    config: Config,
    listener: TcpListener,
    admin: TcpListener,
    proxy: Proxy,
}

/// Runs `onelane serve` until a signal ends it.
pub async fn run(config: Config) -> ExitCode {
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return error.report(),
    };
    let sidecar = match Sidecar::bind(config).await {
        Ok(sidecar) => sidecar,
        Err(error) => return error.report(),
    };
    let (first, second) = signals.split();
    tokio::select! {
        drained = sidecar.run(first) => if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        () = second => {
            warn!("second signal: ending at once");
            ExitCode::FAILURE
        }
    }
}

// === impl Sidecar ===

impl Sidecar {
    /// Takes the ports and sets the client up.
    ///
    /// # Errors
    ///
    /// When a port cannot be had, the system's certificates cannot be read, or the upstream is the sidecar's
    /// own address.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let listener = listen::bind("--listen", config.listen).await?;
        let admin = listen::bind("--admin", config.admin).await?;
        let here = listen::address(&listener);
        if config.upstream.is(here) {
            return Err(Error::loops(&config.upstream));
        }
        let proxy = Proxy::new(&config)?;
        Ok(Self { config, listener, admin, proxy })
    }

    /// Where players are served.
    pub fn local_addr(&self) -> SocketAddr {
        listen::address(&self.listener)
    }

    /// Where `/healthz` and `/readyz` are.
    pub fn admin_addr(&self) -> SocketAddr {
        listen::address(&self.admin)
    }

    /// The layer at the heart, to look at its lanes.
    pub fn layer(&self) -> &crate::serialize::SerializeLayer {
        self.proxy.layer()
    }

    /// Serves until `stop` resolves, then drains: turns unready, takes no more connections, finishes what waits
    /// and what is in flight, abandoned exchanges included. `false` when [`Config::drain`] was too short
    /// for that.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends everything at once.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let (listen, admin) = (self.local_addr(), self.admin_addr());
        let Self { config, listener, admin: admin_listener, proxy } = self;
        info!(%listen, %admin, upstream = %config.upstream, "serving");

        let readiness = Readiness::default();
        let admin = tokio::spawn(admin::serve(admin_listener, readiness.clone(), proxy.layer().clone()));
        let door = Door::new(&config);
        tokio::select! {
            () = door.serve(&listener, &proxy) => {}
            () = stop => {}
        }
        readiness.unready();
        drop(listener);
        info!(exchanges = proxy.layer().exchanges(), drain = ?config.drain, "draining");
        let drained = drain(door, &proxy, config.drain).await;
        match drained {
            true => info!("drained"),
            false => warn!(exchanges = proxy.layer().exchanges(), "not drained in time; raise --drain"),
        }
        admin.abort();
        drained
    }
}

async fn drain(door: Door, proxy: &Proxy, within: Duration) -> bool {
    let drained = async {
        door.closed().await;
        proxy.layer().drained().await;
    };
    timeout(within, drained).await.is_ok()
}
