use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Parser};
use http::StatusCode;

use super::{
    choices::{self, Conflict, Loser, Mode, Numbering, Unknown},
    fault::what::Fault,
    session::latency::Latency,
};

/// What the emulator does: the flags of `onelane emulate`.
///
/// From Rust, begin with [`Args::default`] and set the fields that differ:
///
/// ```
/// let mut args = onelane::emulator::Args::default();
/// args.listen = "127.0.0.1:0".parse()?;
/// args.latency = "20ms..60ms".parse()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(clap::Args, Debug, Clone)]
#[non_exhaustive]
pub struct Args {
    /// Address to listen on, HTTP/1.1 and h2c. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,

    /// How two playlist requests of one session conflict.
    ///
    /// AWS documents the 409 ConflictException and its cure (one playlist at a time) and no more. Which of the
    /// two loses, and when, is unknown: both models are inferred, so a cure must pass both.
    #[arg(long, value_enum, default_value_t, help_heading = "Conflicts")]
    pub conflict: Conflict,

    /// Which request loses under `--conflict optimistic`. Inferred.
    #[arg(long, value_enum, default_value_t, help_heading = "Conflicts")]
    pub loser: Loser,

    /// Whether a multivariant playlist with a session takes part in conflicts.
    ///
    /// Inferred: AWS speaks of "multiple playlists" and does not name kinds.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Conflicts")]
    pub conflict_multivariant: bool,

    /// Tracking requests take part in conflicts.
    ///
    /// Off, as inferred from players that poll tracking right after each playlist, with no conflict known.
    #[arg(long, help_heading = "Conflicts")]
    pub conflict_tracking: bool,

    /// DASH manifests with a session take part in conflicts, and take `--latency` as playlists do.
    ///
    /// Off, as documented: AWS limits the conflict to HLS players.
    #[arg(long, help_heading = "Conflicts")]
    pub conflict_dash: bool,

    /// How long a session stays busy after each answer was sent, in either model. Inferred.
    ///
    /// A record that is written in the background would behave so: a request that follows an answer at once
    /// still conflicts. `POST /__emulator/busy-after {"time":"0s"}` changes it.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "0s", help_heading = "Conflicts")]
    pub busy_after: Latency,

    /// Work on a request ends when its client goes away, and its session is free at once.
    ///
    /// Off, which is the harder case: what MediaTailor does is unknown.
    #[arg(long, help_heading = "Conflicts")]
    pub ends_with_client: bool,

    /// How long a playlist or the creation of a session takes, evenly spread.
    ///
    /// AWS named less than 100 ms usual (2018), plus up to 2 s for the origin and 3 s for the ad server.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "20ms..60ms", help_heading = "Latency")]
    pub latency: Latency,

    /// Every Nth playlist request is slow, as at an ad break. 0: none.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Latency")]
    pub slow_every: u64,

    /// How long a slow request takes, in place of `--latency`.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "2s..3s", help_heading = "Latency")]
    pub slow_for: Latency,

    /// Every Nth playlist request meets a slow origin. 0: none.
    ///
    /// Documented: how long MediaTailor waits for an origin, and the error that follows. How often is yours to say.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Latency")]
    pub slow_origin_every: u64,

    /// How long a slow origin takes, on top of `--latency` or `--slow-for`.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "1s..3s", help_heading = "Latency")]
    pub slow_origin_for: Latency,

    /// Time that a slow origin has; then 504 GatewayTimeoutException is answered. 0s: any.
    ///
    /// Documented: two seconds. `--latency`, `--slow-for` and `--first` are not bound by it.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration, help_heading = "Latency")]
    pub origin_within: Duration,

    /// How long the ad server takes for a break that it does not fill, see `--unfilled-every`: the first media
    /// playlist of a session that shows such a break takes it on top.
    ///
    /// Documented: three seconds, then MediaTailor gives up. An ad server that has no ad answers sooner: `0s`.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "3s", help_heading = "Latency")]
    pub unfilled_for: Latency,

    /// How long the first media playlist of a session takes on top, as with a live pre-roll or a VOD with many
    /// breaks. Inferred from documented calls to the ad server.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "0s", help_heading = "Latency")]
    pub first: Latency,

    /// A live window that slides, or the whole with its end.
    #[arg(long, value_enum, default_value_t, help_heading = "Content")]
    pub mode: Mode,

    /// A packaged HLS asset to serve, as ffmpeg writes it: a folder with a multivariant playlist.
    ///
    /// TS or fMP4, alternate audio, WebVTT subtitles. In live mode it loops for ever, with a discontinuity at
    /// each seam. Without it playlists are synthetic: right in form, with a few bytes for each segment.
    #[arg(long, value_name = "DIR", help_heading = "Content")]
    pub origin: Option<PathBuf>,

    /// A packaged HLS asset for the ad breaks, of the same shape as `--origin`.
    ///
    /// Without it, breaks that `--ad-every` asks for play the content's own beginning.
    #[arg(long, value_name = "DIR", requires = "origin", help_heading = "Content")]
    pub ads: Option<PathBuf>,

    /// Segments in the live window, at least 3.
    #[arg(long, value_name = "N", default_value_t = 6, help_heading = "Content")]
    pub window: usize,

    /// Length of a synthetic segment.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration, help_heading = "Content")]
    pub segment: Duration,

    /// Length of the synthetic content in `--mode vod`.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration, help_heading = "Content")]
    pub vod_length: Duration,

    /// Synthetic variants, at least 1.
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Content")]
    pub variants: u32,

    /// Synthetic audio renditions.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Content")]
    pub audio: u32,

    /// Synthetic subtitle renditions.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Content")]
    pub subtitles: u32,

    /// Content between two ad breaks. 0s: no breaks.
    ///
    /// The default is 30s, and no breaks for an `--origin` without `--ads`. Documented: ads replace content in live
    /// and are inserted in VOD, with discontinuities around them and relative segment links.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Content")]
    pub ad_every: Option<Duration>,

    /// Length of an ad break, up to whole segments.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, help_heading = "Content")]
    pub ad_length: Duration,

    /// Every Nth ad break is not filled, as by an ad server that is slow or has no ad. 0: none.
    ///
    /// Documented: the playlist is a 200 all the same. Inferred: in live its content goes on through the break with no
    /// discontinuity, in VOD nothing is inserted, tracking does not name it, and its asset list is empty.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Content")]
    pub unfilled_every: u64,

    /// Idle time after which a session is expired.
    ///
    /// The default is ten times the playlist's length, as documented. 0s: never.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Sessions")]
    pub expire_after: Option<Duration>,

    /// Status of an expired session: 400 (documented) or 404.
    #[arg(long, value_name = "STATUS", default_value = "400", value_parser = choices::lost, help_heading = "Sessions")]
    pub expired: StatusCode,

    /// What the numbers of a session's live playlists begin with.
    ///
    /// That they follow the origin's (`continuous`) is documented, that they may not (`reset`) inferred: then a player
    /// that is given a new session under an old one's URLs meets lower numbers. `POST /__emulator/expire
    /// {"sessions":"all"}`, or a list of ids, ends sessions, and takes `"numbering"` for those that are
    /// made afterwards.
    #[arg(long, value_enum, default_value_t, help_heading = "Sessions")]
    pub numbering: Numbering,

    /// The answer to a session id that the emulator did not make.
    ///
    /// 400 and 404 are both documented for a session that is invalid or unavailable; which of them an unknown
    /// id gets is not. `adopt` takes any UUID for a session, for load tests that make up their own.
    #[arg(long, value_enum, default_value_t, help_heading = "Sessions")]
    pub unknown: Unknown,

    /// Blocks a session with 410 after so many 4xx within `--block-window`. 0: never.
    ///
    /// Documented as done by operators of AWS at a very high volume of 4xx; neither number nor automation is.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Sessions")]
    pub block_after: u32,

    /// Time in which `--block-after` counts.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration, help_heading = "Sessions")]
    pub block_window: Duration,

    /// Appends `manifest.*` and `manifestParams` to child links. Documented, once AWS Support enabled it.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Sessions")]
    pub manifest_params: bool,

    /// Sessions held at most; beyond it the oldest idle one is forgotten.
    #[arg(long, value_name = "N", default_value_t = 200_000, help_heading = "Sessions")]
    pub max_sessions: usize,

    /// Requests that a session's record remembers, for `/__emulator/sessions/ID`.
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = "Sessions")]
    pub trace: usize,

    /// The only `Host` that is let in; another gets 403 AccessDeniedException.
    ///
    /// Documented for the endpoint of a playback configuration. Without it any host will do, as at the regional
    /// endpoint (inferred).
    #[arg(long, value_name = "NAME", help_heading = "Answers")]
    pub host: Option<String>,

    /// Requests per second beyond which 503 ThrottlingException is answered. 0: no limit.
    ///
    /// Documented: 10,000 for an account by default.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Answers")]
    pub throttle: u64,

    /// Status of an ad segment's redirect: 301 or 302. AWS's documents show both.
    #[arg(long, value_name = "STATUS", default_value = "302", value_parser = choices::redirect, help_heading = "Answers")]
    pub segment_redirect: StatusCode,

    /// Extension of ad segment links, such as `ts`. MediaTailor's have none.
    ///
    /// FFmpeg of late refuses links without one, unless it is told `-extension_picky 0`.
    #[arg(
        long,
        value_name = "EXTENSION",
        default_value = "",
        hide_default_value = true,
        help_heading = "Answers"
    )]
    pub segment_extension: String,

    /// Whether errors carry CORS headers as successes do.
    ///
    /// Unknown of MediaTailor. With `false`, players in a browser see a network error in place of a status.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Answers")]
    pub cors_on_errors: bool,

    /// Avails on one page of a tracking answer, the rest behind `nextToken`. 0: all on one.
    ///
    /// Paging is documented, how the token is sent back is not: it is taken from the query `nextToken` or a
    /// JSON body's.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Answers")]
    pub tracking_page: usize,

    /// Something that goes wrong from the start on; may be repeated. `POST /__emulator/faults` takes the same.
    ///
    /// JSON such as {"status":502,"error_type":"BadGatewayException","for":"7s","playlists":"media"}. "kind" is one
    /// of status (the default with "status" or "error_type"), html, reset, reset-mid-body, hang, slow-body ("rate":
    /// bytes per second), truncated, truncated-gzip, empty, garbage, lower-sequence ("by": segments), unchanged,
    /// cached, redirect-loop, throttle ("above": requests per second) and delay. Any takes "for", "count", "sessions"
    /// ("all" or ids), "requests" ("playlist" unless said, "session", "tracking", "segment", a list, or "all"),
    /// "playlists" ("media", "multivariant", "all" or numbers), "configuration", and most "delay".
    /// "header": false leaves out x-amzn-ErrorType. GET /__emulator/faults lists them, DELETE ends them.
    ///
    /// Documented: names, statuses and form of MediaTailor's errors, throttling of all these requests, and delays of up
    /// to 5 s. Inferred: which status has which name where two do, and all other kinds, which are what a CDN, a load
    /// balancer or a network in between does, or an origin that MediaTailor follows.
    #[arg(long, value_name = "JSON", help_heading = "Answers")]
    pub fault: Vec<Fault>,

    /// Seed of all that is random: latencies, losers, ids. A fresh one each start if not given.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

// === impl Args ===

impl Default for Args {
    /// The defaults of the flags, with none given.
    fn default() -> Self {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        Line::parse_from(["emulate"]).args
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, ValueEnum as _};

    use super::*;
    use crate::emulator::fault::kind::Kind;

    #[test]
    fn defaults_are_those_of_the_flags() {
        let args = Args::default();
        assert_eq!(args.latency.to_string(), "20ms..60ms");
        assert_eq!((args.conflict, args.loser, args.mode), (Conflict::Reject, Loser::Last, Mode::Live));
        assert_eq!((args.unfilled_every, args.unfilled_for.to_string()), (0, "3s".to_owned()));
        assert_eq!((args.slow_origin_every, args.origin_within), (0, Duration::from_secs(2)));
        assert!(
            args.conflict_multivariant
                && !args.conflict_tracking
                && !args.conflict_dash
                && !args.ends_with_client
        );
        assert_eq!((args.expired, args.unknown), (StatusCode::BAD_REQUEST, Unknown::NotFound));
    }

    #[test]
    fn the_help_names_every_kind_of_fault() {
        let command = Args::augment_args(clap::Command::new("emulate"));
        let fault = command.get_arguments().find(|arg| arg.get_id() == "fault").expect("a flag");
        let help = fault.get_long_help().expect("a text").to_string();
        let words: Vec<_> = help.split(|c: char| !c.is_alphanumeric() && c != '-').collect();
        for kind in Kind::value_variants() {
            assert!(words.contains(&&*kind.name()), "{kind} is missing: {help}");
        }
    }
}
