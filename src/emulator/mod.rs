//! A local MediaTailor that conflicts like the real one: `onelane emulate`, or [`Emulator`] within a test.
//!
//! It takes MediaTailor's URLs, keeps its sessions and answers with its errors, so that a player, a proxy or a
//! CDN's rules can be tried against `409 ConflictException` without an account. With `--origin DIR` it plays a real
//! packaged asset; without it, playlists are right in form and segments a few bytes long, which is enough for load.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onelane::emulator::{Args, Emulator};
//!
//! let mut args = Args::default();
//! args.listen = "127.0.0.1:0".parse()?;
//! args.latency = "20ms..60ms".parse()?;
//! let emulator = Emulator::bind(args).await?;
//!
//! println!("try http://{}/v1/master/acct/Demo/index.m3u8", emulator.local_addr());
//! assert_eq!(emulator.stats().max_in_flight, 0);
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is known, and what is guessed
//!
//! AWS documents that two playlists of one session at once may end in a 409, and that one at a time is the
//! cure. Everything that AWS does not say is a guess here, and has a flag where another guess would be as
//! good. *Documented* means a page of AWS's user guide or API reference; *inferred* means deduced from those
//! or from code that talks to the service; *unknown* means that nothing was found.
//!
//! | Behaviour | Known how | Flag |
//! |---|---|---|
//! | Two playlists of one HLS session at once: 409 `ConflictException` | documented | `--conflict none` turns it off |
//! | Which of the two loses, and when: the second at once, or one of them at its end | unknown; both inferred | `--conflict`, `--loser` |
//! | Audio and subtitles count as playlists | inferred | |
//! | A multivariant playlist with a session takes part | inferred | `--conflict-multivariant` |
//! | Tracking takes no part | inferred | `--conflict-tracking` |
//! | DASH takes no part | documented: the conflict is of HLS players | `--conflict-dash` |
//! | Segments and server-guided playlists take no part | inferred | |
//! | Work goes on when its client goes away | unknown; the harder case | `--ends-with-client` |
//! | A session is free once its answer is sent | unknown | `--busy-after` |
//! | Nothing of a conflict persists | inferred | |
//! | URLs, the session's place in them, relative links | documented | |
//! | Manifests without `/CFG/`, segments without `/ACCT/` in their path | documented, on one page | |
//! | `GET` of a multivariant playlist without a session makes one, 200 | documented | |
//! | `POST` and `GET` of `/v1/session`, URLs relative to the host | documented | |
//! | No `trackingUrl` for server-guided ads | documented | |
//! | `manifest.*` and `manifestParams` on child links | documented | `--manifest-params` |
//! | Error bodies, `x-amzn-ErrorType`, `x-amzn-RequestId` | documented | |
//! | The same on a 409 or 410 | unknown | |
//! | CORS headers on errors | unknown | `--cors-on-errors` |
//! | An expired session: 400 after ten times the playlist's length | documented | `--expired`, `--expire-after` |
//! | An origin that goes on keeps a session alive | documented; not emulated, only requests do | `--expire-after` |
//! | A session that is not known: 400 or 404 | both documented | `--unknown` |
//! | 410 after many 4xx | documented as done by hand | `--block-after`, `--block-window` |
//! | A new session's numbers go on with the stream's | documented of a stream; of sessions inferred | `--numbering` |
//! | Names, statuses and form of all errors | documented | `--fault` |
//! | What a network or a CDN in between breaks | inferred | `--fault` |
//! | 403 for another `Host` | documented | `--host` |
//! | 503 `ThrottlingException` beyond a rate | documented | `--throttle` |
//! | gzip if and only if it is asked for | documented | |
//! | The type of a playlist | unknown | |
//! | Ads replace content in live, are inserted in VOD, with discontinuities around them | documented | `--ad-every`, `--ad-length` |
//! | A break that is not filled is a 200 all the same, after up to 3 s | documented | `--unfilled-every`, `--unfilled-for` |
//! | What such a break shows: the content, with no discontinuity; no avail, and an empty asset list | inferred | |
//! | Ad segments as links to `/v1/segment/...` without an extension | documented | `--segment-extension` |
//! | Those of DASH at `/v1/dashsegment/...` | seen as a path; its shape is inferred | |
//! | Their redirect, 301 or 302 | both documented | `--segment-redirect` |
//! | Ads at their own address with client-side reporting | inferred | |
//! | Tracking: `avails` and `nextToken` | documented; how the token comes back is unknown | `--tracking-page` |
//! | A filler where an ad has no captions | seen as a path; its content is inferred | |
//! | Paths of asset lists | unknown | |
//! | Usual latency below 100 ms, up to 2 s and 3 s more for origin and ads | documented | `--latency`, `--slow-every`, `--slow-for`, `--first` |
//! | 504 `GatewayTimeoutException` for an origin that takes more than 2 s | documented | `--slow-origin-every`, `--slow-origin-for`, `--origin-within` |
//!
//! # What it plays
//!
//! One clock and one grid of segments, those of the first variant, drive all renditions of all sessions: they switch
//! between content and ads, and from the asset's end to its beginning, at the same instant, with the same
//! discontinuity numbers. Segments of audio may be a little longer or shorter, or one more or fewer; captions
//! may be one long file. Timestamps begin anew at each seam and are not rewritten, which is what the
//! discontinuity is for.
//!
//! # What it tells
//!
//! | Page | Content |
//! |---|---|
//! | `GET /__emulator/stats` | [`Stats`] |
//! | `GET /__emulator/sessions?limit=N` | [`SessionReport`] of each session, 10,000 unless said otherwise |
//! | `GET /__emulator/sessions/ID` | the same with the session's last requests, in order of arrival |
//! | `POST /__emulator/reset` | counters to nought, sessions live on |
//!
//! # What it can be told
//!
//! Faults befall playlists of sessions, stitched ones, and what else their `requests` name: the creation of sessions at
//! `/v1/session`, tracking, ad segments. Never DASH manifests, or playlists for server-guided ads.
//!
//! | Page | Effect |
//! |---|---|
//! | `POST /__emulator/faults` with a [`Fault`] | it begins, behind those that are active |
//! | `GET /__emulator/faults` | those that are active, and how many requests each befell |
//! | `DELETE /__emulator/faults` | all end |
//! | `POST /__emulator/busy-after {"time":"5ms"}` | `--busy-after` of requests that come from then on; `GET` tells it |
//! | `POST /__emulator/expire {"sessions":"all"}` | sessions end, all or a list of ids; `"numbering"` is `--numbering` of later ones |
//!
//! What cannot be understood gets 400 and a message that names the field and what it takes.

mod args;
mod choices;
mod fault;
mod pages;
mod play;
mod serve;
mod session;

use std::{io::Write as _, process::ExitCode};

pub use self::{
    args::Args,
    choices::{Conflict, Loser, Mode, Numbering, Unknown},
    fault::what::{Fault, MalformedFault},
    pages::{
        debug::{RequestReport, SessionReport},
        tally::Stats,
    },
    serve::server::Emulator,
    session::latency::{Latency, MalformedLatency},
};

/// Why the emulator cannot start. Its text names the flag and the remedy.
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
    // Whoever started it may have closed its output.
    let _ = writeln!(
        std::io::stdout(),
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
