use std::time::Duration;

use http_body::Body;
use serde_json::{Value, json};

use super::timeline::{Slot, Source, Timeline};
use crate::emulator::{serve::route::pairs, session::create::small};

/// Where a page begins, as the request says.
#[derive(Debug, Clone, Default)]
pub(in crate::emulator) struct Token(pub(in crate::emulator) Option<String>);

/// A break that is on the timeline.
struct Avail {
    number: u64,
    start: Duration,
    duration: Duration,
    ended: bool,
}

// === impl Token ===

impl Token {
    /// The token of a query, or of a JSON body: how it is sent is not documented.
    pub(in crate::emulator) async fn of<B: Body>(query: &str, body: B) -> Self {
        let in_query = pairs(query).find(|(key, _)| key == "nextToken").map(|(_, value)| value.into_owned());
        if in_query.is_some() {
            return Self(in_query);
        }
        let body: Value = serde_json::from_slice(&small(body).await.unwrap_or_default()).unwrap_or_default();
        let in_body = body.get("nextToken").or_else(|| body.get("NextToken"));
        Self(in_body.and_then(Value::as_str).map(Into::into))
    }
}

/// The ad breaks of a session, as a client that fires its own beacons reads them.
///
/// With a page size above nought, `token` is where the page begins and `nextToken` where the next one does.
pub(in crate::emulator) fn avails(
    timeline: &Timeline,
    session: &str,
    page: usize,
    token: Option<&str>,
) -> Value {
    let all = breaks(timeline);
    let first = token.and_then(|token| token.parse::<u64>().ok()).unwrap_or(0);
    let rest = || all.iter().filter(|avail| avail.number >= first);
    let size = if page == 0 { all.len() } else { page };
    let shown: Vec<Value> = rest().take(size).map(|avail| entry(avail, session)).collect();
    let mut answer = json!({ "avails": shown, "nonLinearAvails": [], "dashAvailabilityStartTime": null });
    if let Some(next) = rest().nth(size) {
        answer["nextToken"] = next.number.to_string().into();
    }
    answer
}

fn breaks(timeline: &Timeline) -> Vec<Avail> {
    let mut avails: Vec<Avail> = Vec::new();
    for slot in timeline.remembered() {
        let Slot { start, duration, source: Source::Ad { number, .. }, .. } = *slot else {
            if let Some(last) = avails.last_mut() {
                last.ended = true;
            }
            continue;
        };
        match avails.last_mut().filter(|last| last.number == number) {
            Some(last) => last.duration += duration,
            None => avails.push(Avail { number, start, duration, ended: false }),
        }
    }
    avails
}

fn entry(avail: &Avail, session: &str) -> Value {
    let Avail { number, start, duration, ended } = avail;
    let at = |point: Duration| iso(point);
    let beacon = |kind: &str, offset: Duration| {
        json!({
            "eventId": format!("{number}-{kind}"),
            "eventType": kind,
            "startTime": at(*start + offset),
            "startTimeInSeconds": (*start + offset).as_secs_f64(),
            "duration": "PT0S",
            "durationInSeconds": 0.0,
            "beaconUrls": [format!("https://beacons.invalid/{session}/{number}/{kind}")],
        })
    };
    let mut events = vec![beacon("impression", Duration::ZERO), beacon("start", Duration::ZERO)];
    if *ended {
        events.push(beacon("complete", *duration));
    }
    json!({
        "availId": number.to_string(),
        "startTime": at(*start),
        "startTimeInSeconds": start.as_secs_f64(),
        "duration": iso(*duration),
        "durationInSeconds": duration.as_secs_f64(),
        "ads": [{
            "adId": format!("ad-{number}"),
            "adTitle": format!("Ad {number}"),
            "startTime": at(*start),
            "startTimeInSeconds": start.as_secs_f64(),
            "duration": iso(*duration),
            "durationInSeconds": duration.as_secs_f64(),
            "trackingEvents": events,
        }],
    })
}

/// An ISO 8601 duration in seconds.
fn iso(duration: Duration) -> String {
    format!("PT{}S", duration.as_secs_f64())
}
