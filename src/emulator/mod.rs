//! A local MediaTailor that conflicts like the real one.

mod admission;
mod answer;
mod args;
mod chance;
mod choices;
mod create;
mod cutter;
mod dash;
mod debug;
mod exchange;
#[cfg(test)]
mod fixture;
mod guided;
mod latency;
mod media;
mod origin;
mod playlist;
mod reel;
mod route;
mod segments;
mod server;
mod service;
mod session;
mod sessions;
mod stage;
mod synthetic;
mod tally;
mod timeline;
mod trace;
mod track;
mod tracking;

use std::process::ExitCode;

pub use self::{
    args::Args,
    choices::{Conflict, Loser, Mode, Unknown},
    debug::{RequestReport, SessionReport},
    latency::{Latency, MalformedLatency},
    server::Emulator,
    tally::Stats,
};

/// The emulator cannot start. Its text names the flag and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// The command `onelane emulate`: serves until SIGINT or SIGTERM.
///
/// # Cancel safety
///
/// Dropped, it stops at once.
pub async fn run(args: Args) -> ExitCode {
    let emulator = match Emulator::bind(args).await {
        Ok(emulator) => emulator,
        Err(error) => {
            eprintln!("onelane emulate: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "emulating MediaTailor on http://{address}/v1/master/acct/Demo/index.m3u8 \
         (counters: http://{address}/__emulator/stats)",
        address = emulator.local_addr(),
    );
    emulator.run(signal()).await;
    ExitCode::SUCCESS
}

/// Waits to be told to stop.
async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
