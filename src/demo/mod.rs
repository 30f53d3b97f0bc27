//! The problem and the cure in a minute: `onelane demo`.
//!
//! Synthetic players watch an [emulated](crate::emulator) MediaTailor, first straight, then through the
//! [sidecar](crate::sidecar), each time a fresh emulator. All of it is one process on free loopback ports, over
//! real sockets; the emulator counts what reaches it, the players count what comes back.
//!
//! A third of the players loads video, audio and subtitles at the same instant, as Shaka does at every refresh. A
//! third keeps an independent timer for each, as hls.js does. A third switches variants: it drops a request in
//! flight and at once sends another, and at times drops one that waits. None gives up after an error, as some
//! real players would.

mod args;
mod client;
mod links;
mod player;
mod progress;
mod report;
mod side;
mod stay;
mod tally;
mod trouble;

use std::{io::Write as _, process::ExitCode};

pub use self::args::Args;
use self::{
    report::Report,
    side::{Side, Way},
    stay::Stay,
};

/// The command `onelane demo`: runs both sides and says what they show, on standard output.
///
/// It succeeds when the direct side met conflicts and the other side none. With `--serve` both run at once,
/// for people to look at, until a signal ends them.
///
/// # Cancel safety
///
/// Dropped, its players stop at once.
pub async fn run(args: Args) -> ExitCode {
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    if args.serve {
        return match Stay::run(&args, seed).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("onelane demo: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let mut sides = Vec::with_capacity(2);
    for way in [Way::Direct, Way::Onelane] {
        match Side::run(way, &args, seed).await {
            Ok(side) => sides.push(side),
            Err(error) => {
                eprintln!("onelane demo: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let [direct, onelane] = <[Side; 2]>::try_from(sides).expect("both sides ran");
    let report = Report::new(&args, seed, direct, onelane);
    let text = if args.json { report.json() } else { report.to_string() };
    // Whoever reads it may have left; the exit code still tells.
    let _unread = writeln!(std::io::stdout(), "{text}");
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
