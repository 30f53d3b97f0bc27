//! `onelane doctor URL`: what a playback URL does, what that means for players, and what to do about it.
//!
//! It loads the playlists of one session, or of one that it creates: each by itself, then two at once, then two at once
//! through a onelane in this process. It sends 40 requests at most, one after the other but for those pairs.
//! With `--deep` it finds out as well what no document of AWS says, in 120 requests at most.

mod answer;
mod clock;
#[cfg(feature = "aws")]
mod configuration;
mod deep;
mod examine;
mod finding;
mod looks;
mod pairs;
mod shown;
mod through;
mod visits;

use std::{io::Write as _, process::ExitCode, time::Duration};

use http::Uri;

pub use self::{
    deep::{Answers, Busy, Loser, LosesAt, Refusal, Setting},
    finding::{Finding, Report, Severity},
};
use self::{examine::Examination, shown::Shown, visits::Visits};
use crate::api;

/// The command line of `onelane doctor`.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct Args {
    /// A playback URL of MediaTailor (/v1/master/..., /v1/session/..., or a playlist of a session), of a CDN
    /// in front of it, or of onelane
    #[arg(value_name = "URL")]
    pub url: Uri,

    /// Find out as well what no document says: which of two overlapping requests loses and when, whether work
    /// goes on after a disconnect, how long a session stays busy, what takes part, what lost sessions get; and
    /// which settings of onelane follow. It makes a dozen conflicts or two, and sends 120 requests at most
    #[arg(long)]
    pub deep: bool,

    /// How long --deep waits for a session to expire; 0s leaves it out
    #[arg(long, value_name = "TIME", default_value = "12m", value_parser = humantime::parse_duration, requires = "deep")]
    pub expire_within: Duration,

    /// Ask MediaTailor's API what this playback configuration is, and whether the URL is of it; needs
    /// AWS credentials that allow mediatailor:GetPlaybackConfiguration, and a onelane that was built
    /// with the feature aws
    #[arg(long, value_name = "NAME", value_parser = api::name)]
    pub configuration: Option<String>,

    /// The region of --configuration, where it is neither the URL's nor in AWS_REGION or the profile
    #[arg(long, value_name = "REGION", value_parser = api::region, requires = "configuration")]
    pub region: Option<String>,

    /// Write the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// The most requests.
const MOST: u32 = 40;

/// With `--deep`: 120, but for those that the onelane in this process may send again.
const MOST_DEEP: u32 = 114;

/// The exit code where nothing answered (`EX_UNAVAILABLE` of sysexits.h).
const UNAVAILABLE: u8 = 69;

/// The exit code for arguments that make no sense.
const USAGE: u8 = 64;

/// Runs `onelane doctor`: 0 when there is nothing to do, 1 after warnings, 2 after errors, 69 when nothing answered.
///
/// # Cancel safety
///
/// Dropping the future ends the examination.
pub async fn run(args: Args) -> ExitCode {
    if !matches!(args.url.scheme_str(), Some("http" | "https")) || args.url.host().is_none_or(str::is_empty) {
        eprintln!(
            "error: {}: it is no http or https URL; write the playback URL as a player has it",
            Shown(&args.url)
        );
        return ExitCode::from(USAGE);
    }
    #[cfg(not(feature = "aws"))]
    if let Some(name) = &args.configuration {
        eprintln!("error: --configuration {name}: {}, or leave --configuration out", api::NOT_BUILT);
        return ExitCode::from(USAGE);
    }
    let visits = match Visits::new(if args.deep { MOST_DEEP } else { MOST }) {
        Ok(visits) => visits,
        Err(error) => return error.report(),
    };
    #[cfg(feature = "aws")]
    let known = match args.configuration {
        Some(name) => configuration::findings(&args.url, name, args.region).await,
        None => Vec::new(),
    };
    #[cfg(not(feature = "aws"))]
    let known = Vec::new();
    let report = Examination::of(args.url, visits, known, args.deep.then_some(args.expire_within)).await;
    let text = if args.json { report.json() } else { report.to_string() };
    // Whoever reads it may have left; the exit code still tells.
    let _unread = writeln!(std::io::stdout(), "{text}");
    match report.worst() {
        _ if report.is_unreachable() => ExitCode::from(UNAVAILABLE),
        Severity::Ok | Severity::Note => ExitCode::SUCCESS,
        Severity::Warning => ExitCode::from(1),
        Severity::Error => ExitCode::from(2),
    }
}
