use http::{StatusCode, request::Parts};

use crate::emulator::{
    serve::{
        answer::{Answer, ok, redirect},
        route::Home,
        service::{Service, host_of},
    },
    session::{create::terms_of_query, state::Session},
};

/// The type of a DASH manifest.
const MPD: &str = "application/dash+xml";

/// Makes a session, and redirects to its manifest.
pub(in crate::emulator) fn begin(service: &Service, home: Home<'_>, head: &Parts) -> Answer {
    let query = head.uri.query().unwrap_or_default();
    let session = service.create(terms_of_query(home, query, service.args.manifest_params));
    let more = if query.is_empty() { String::new() } else { format!("&{query}") };
    let target = format!("{}?aws.sessionId={}{more}", head.uri.path(), session.id);
    redirect(StatusCode::FOUND, &target)
}

/// A session's manifest, with its `Location`. It is one in form only.
pub(in crate::emulator) fn manifest(
    service: &Service,
    session: &Session,
    home: Home<'_>,
    asset: &str,
    head: &Parts,
) -> Answer {
    let host = host_of(head).unwrap_or("localhost");
    let Home { account, configuration } = home;
    let location =
        format!("http://{host}/v1/dash/{account}/{configuration}/{asset}?aws.sessionId={}", session.id);
    ok(MPD, text(service, &escaped(&location)))
}

fn text(service: &Service, location: &str) -> String {
    let window = service.timeline.window();
    let time = |time| humantime::format_rfc3339_seconds(time);
    let begin = time(service.timeline.time_of(std::time::Duration::ZERO));
    let published = window.slots.last().map_or_else(
        || begin.to_string(),
        |slot| time(service.timeline.time_of(slot.start + slot.duration)).to_string(),
    );
    let first = window.slots.first().map_or(0, |slot| slot.sequence[0]);
    let mut segments = String::new();
    for slot in window.slots.iter() {
        let (start, duration) = (slot.start.as_millis(), slot.duration.as_millis());
        segments.push_str(&format!("          <S t=\"{start}\" d=\"{duration}\"/>\n"));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:mp2t-main:2011\" \
         type=\"dynamic\" availabilityStartTime=\"{begin}\" publishTime=\"{published}\" \
         minimumUpdatePeriod=\"PT2S\" minBufferTime=\"PT2S\">\n  <Location>{location}</Location>\n  \
         <Period id=\"0\" start=\"PT0S\">\n    <AdaptationSet mimeType=\"video/mp2t\">\n      \
         <Representation id=\"0\" bandwidth=\"800000\"/>\n      \
         <SegmentTemplate timescale=\"1000\" startNumber=\"{first}\" media=\"/content/synthetic/0/$Number$.ts\">\n        \
         <SegmentTimeline>\n{segments}        </SegmentTimeline>\n      </SegmentTemplate>\n    </AdaptationSet>\n  \
         </Period>\n</MPD>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
