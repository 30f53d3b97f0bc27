//! Server-guided ads: playlists that are the same for everyone, with ads beside them.

use std::{borrow::Cow, fmt::Write as _, sync::Arc, time::Duration};

use http::{HeaderValue, header};
use serde_json::json;

use super::{
    playlist::{self, Ads, Lowered},
    timeline::{Shape, Timeline},
};
use crate::emulator::{
    choices::Mode,
    serve::{
        answer::{Answer, Exception, JSON, PLAYLIST, Refused, ok},
        route::pairs,
        service::Service,
    },
};

/// Where the playlists of an ad are, under `/tm/`.
const AD: &str = "guided/";

/// A media playlist with its breaks as interstitials. It may be cached for half a segment and takes part in no
/// conflict, as it is nobody's own.
pub(in crate::emulator) fn media(service: &Service, number: usize) -> Result<Answer, Refused> {
    let timeline = &service.unbroken;
    if number >= timeline.content.parts().len() {
        return Err(Exception::NotFound.refuse("there is no playlist of this number"));
    }
    let window = timeline.window();
    let mut text = playlist::media(timeline, &window, number, Ads::Direct, Lowered::default());
    let (Some(first), Some(last)) = (window.slots.first(), window.slots.last()) else {
        return Err(Exception::NotFound.refuse("there is nothing to play"));
    };
    if service.timeline.ads.is_some() {
        text.push_str(&breaks(service, first.start, last.start + last.duration));
    }
    let mut answer = ok(PLAYLIST, text);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1"));
    Ok(answer)
}

/// The ads of a break.
pub(in crate::emulator) fn asset_list(
    service: &Service,
    number: u64,
    query: &str,
) -> Result<Answer, Refused> {
    if service.timeline.ads.is_none() {
        return Err(Exception::NotFound.refuse("there are no breaks"));
    }
    let length = service.args.ad_length.as_secs_f64();
    let ad = || json!({ "DURATION": length, "URI": format!("/tm/{AD}{number}/index.m3u8") });
    let ads: Vec<_> = service.timeline.shape.fills(number).then(ad).into_iter().collect();
    let mut list = json!({ "ASSETS": ads });
    let reports = |(key, value): (Cow<'_, str>, Cow<'_, str>)| {
        key == "aws.reportingMode" && value.eq_ignore_ascii_case("client")
    };
    if pairs(query).any(reports) {
        list["TRACKING"] = json!({ "version": 3, "payload": [] });
    }
    Ok(ok(JSON, list.to_string()))
}

/// A playlist of an ad, if the path is one's.
pub(in crate::emulator) fn ad_playlist(service: &Service, path: &str) -> Option<Answer> {
    let (_, file) = path.strip_prefix(AD)?.split_once('/')?;
    let ads = service.timeline.ads.as_ref()?;
    if file == "index.m3u8" {
        return Some(ok(PLAYLIST, ads.template().fill("", "")));
    }
    let number: usize = file.strip_suffix(".m3u8")?.parse().ok()?;
    if number >= ads.parts().len() {
        return None;
    }
    let whole = Timeline::new(Arc::clone(ads), None, Shape::whole(service.args.ad_length));
    Some(ok(PLAYLIST, playlist::media(&whole, &whole.window(), number, Ads::Direct, Lowered::default())))
}

/// Date ranges of the breaks within a stretch of the timeline, and of the next one, so that players can prepare.
fn breaks(service: &Service, start: Duration, end: Duration) -> String {
    let (every, length) = (service.args.breaks_every(), service.args.ad_length);
    let mut text = String::new();
    let period = if service.args.mode == Mode::Live { every + length } else { every };
    let first = (start.as_secs_f64() / period.as_secs_f64()).floor() as u64;
    for number in first.. {
        let at = period * u32::try_from(number).unwrap_or(u32::MAX) + every;
        if at > end + length {
            break;
        }
        let time = humantime::format_rfc3339_millis(service.unbroken.time_of(at));
        let seconds = length.as_secs_f64();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "#EXT-X-DATERANGE:ID=\"break-{number}\",CLASS=\"com.apple.hls.interstitial\",START-DATE=\"{time}\",\
             DURATION={seconds:.3},X-ASSET-LIST=\"/v1/interstitials/emulator/emulator/{number}.json\"",
        );
    }
    text
}
