//! From flags to what is played.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    origin::Packaged,
    reel::{Part, Reel},
    synthetic::{Counts, Synthetic},
    timeline::{Shape, Timeline},
};
use crate::emulator::{Error, args::Args, choices::Mode};

/// The timeline with its breaks, and the content without them.
pub(in crate::emulator) fn timelines(args: &Args) -> Result<(Timeline, Timeline), Error> {
    check(args)?;
    let content = Arc::new(match &args.origin {
        Some(folder) => packaged("--origin", folder, "/content")?,
        None => synthetic("/content", args, content_slots(args)),
    });
    let ads = match (&args.ads, &args.origin) {
        _ if args.breaks_every().is_zero() => None,
        (Some(folder), _) => Some(packaged("--ads", folder, "/tm")?),
        (None, Some(folder)) => Some(packaged("--origin", folder, "/tm")?),
        (None, None) => Some(synthetic("/tm", args, None)),
    };
    if let Some(ads) = &ads {
        fit(ads, &content)?;
    }
    let window = (args.mode == Mode::Live).then_some(args.window);
    let shape = Shape {
        window,
        every: args.breaks_every(),
        length: args.ad_length,
        unfilled_every: args.unfilled_every,
    };
    let unbroken = Timeline::new(Arc::clone(&content), None, shape);
    Ok((Timeline::new(content, ads.map(Arc::new), shape), unbroken))
}

fn check(args: &Args) -> Result<(), Error> {
    let shortest = Duration::from_millis(100);
    let fail = |why: &str| Err(Error(why.to_owned()));
    match args {
        _ if args.window < 3 => fail("--window: a live playlist holds at least 3 segments; write 3 or more"),
        _ if args.window > 10_000 => fail("--window: more than 10000 segments make no playlist; write fewer"),
        _ if args.segment < shortest => fail("--segment: shorter than 100ms; write more"),
        _ if args.vod_length < args.segment => fail("--vod-length: shorter than --segment; write more"),
        _ if args.vod_length.as_secs_f64() / args.segment.as_secs_f64() > 100_000.0 => {
            fail("--vod-length: more than 100000 segments; write less, or a longer --segment")
        }
        _ if args.variants == 0 => fail("--variants: a stream has at least one; write 1 or more"),
        _ if args.variants.max(args.audio).max(args.subtitles) > 1000 => {
            fail("--variants, --audio, --subtitles: at most 1000 each")
        }
        _ if !args.segment_extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            fail("--segment-extension: write letters and digits alone, such as ts")
        }
        _ if args.max_sessions == 0 => fail("--max-sessions: nothing could be played; write 1 or more"),
        _ => Ok(()),
    }
}

fn packaged(flag: &str, folder: &Path, root: &'static str) -> Result<Reel, Error> {
    Packaged::read(folder, root).map(Reel::Packaged).map_err(|error| Error(format!("{flag} {error}")))
}

fn synthetic(root: &'static str, args: &Args, slots: Option<u64>) -> Reel {
    let counts = Counts { variants: args.variants, audio: args.audio, subtitles: args.subtitles };
    Reel::Synthetic(Synthetic::new(root, args.segment, slots, counts))
}

fn content_slots(args: &Args) -> Option<u64> {
    let slots = args.vod_length.as_millis().div_ceil(args.segment.as_millis().max(1));
    (args.mode == Mode::Vod).then(|| u64::try_from(slots).unwrap_or(1))
}

// === impl Args ===

impl Args {
    /// Content between two ad breaks, zero for none: as given, else as fits the content.
    pub(in crate::emulator) fn breaks_every(&self) -> Duration {
        let fitting = if self.origin.is_none() || self.ads.is_some() { 30 } else { 0 };
        let every = self.ad_every.unwrap_or(Duration::from_secs(fitting));
        if self.ad_length.is_zero() { Duration::ZERO } else { every }
    }
}

/// Whether ads can stand where content does.
fn fit(ads: &Reel, content: &Reel) -> Result<(), Error> {
    let has = |reel: &Reel, part| reel.parts().contains(&part);
    if has(ads, Part::Audio) != has(content, Part::Audio) {
        let why = "--ads: one of the two assets has its audio apart and the other has not; package both the same way";
        return Err(Error(why.to_owned()));
    }
    match (ads, content) {
        (Reel::Packaged(ads), Reel::Packaged(content)) if ads.is_fragmented() != content.is_fragmented() => {
            Err(Error(
                "--ads: one of the two assets is fMP4 and the other TS; package both the same way".to_owned(),
            ))
        }
        _ => Ok(()),
    }
}
