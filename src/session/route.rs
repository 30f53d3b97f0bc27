use std::{borrow::Cow, str::Split};

use percent_encoding::percent_decode_str;
use uuid::Uuid;

/// What a request asks MediaTailor for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An HLS multivariant playlist, `/v1/master/`. Without a session id, the request creates a session.
    Multivariant,
    /// An HLS media playlist, `/v1/manifest/`.
    Media,
    /// The explicit creation of a session, `/v1/session/`.
    SessionCreation,
    /// Ad-break data for tracking on the player's side, `/v1/tracking/`.
    Tracking,
    /// A segment, `/v1/segment/` or `/v1/dashsegment/`.
    Segment,
    /// A DASH manifest, `/v1/dash/`.
    Dash,
    /// Everything else, server-guided playlists and interstitials included: they are not a session's own.
    Other,
}

/// A MediaTailor URL taken apart, by the grammar of its user guide (pages "Integrating a CDN" and "Manifest
/// query parameters").
///
/// The parts are as the URL has them, still percent-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route<'a> {
    /// What the request asks for.
    pub kind: Kind,
    /// The playback configuration's name, where the URL holds it.
    pub configuration: Option<&'a str>,
    /// What stands where the session id belongs; not yet checked to be one.
    pub session: Option<&'a str>,
}

// === impl Kind ===

impl Kind {
    /// The kind's name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Multivariant => "multivariant",
            Self::Media => "media",
            Self::SessionCreation => "session_creation",
            Self::Tracking => "tracking",
            Self::Segment => "segment",
            Self::Dash => "dash",
            Self::Other => "other",
        }
    }
}

// === impl Route ===

impl<'a> Route<'a> {
    /// Takes a path and query apart. A CDN's prefix before `/v1` is passed over.
    ///
    /// Does not allocate unless an escape stands in a path segment before the marker or in a query key.
    pub fn of(path: &'a str, query: Option<&'a str>) -> Self {
        let mut segments = path.split('/');
        let mut after_v1 = false;
        while let Some(segment) = segments.next() {
            let segment = decoded(segment);
            if after_v1 && let Some(route) = read(&segment, segments.clone(), query) {
                return route;
            }
            after_v1 = segment == "v1";
        }
        Self::other()
    }

    fn other() -> Self {
        Self { kind: Kind::Other, configuration: None, session: None }
    }
}

/// Reads what follows `v1/<marker>`, if that is a marker.
fn read<'a>(marker: &str, rest: Split<'a, char>, query: Option<&'a str>) -> Option<Route<'a>> {
    Some(match marker {
        "manifest" => media(&Tail::of(rest)),
        "master" => by_query(Kind::Multivariant, &Tail::of(rest), query),
        "dash" => by_query(Kind::Dash, &Tail::of(rest), query),
        "i-media" => by_query(Kind::Other, &Tail::of(rest), query),
        "session" => session_creation(&Tail::of(rest)),
        "tracking" => tracking(&Tail::of(rest)),
        "segment" | "dashsegment" => segment(&Tail::of(rest), query),
        "channel" | "interstitials" | "webvtt" => Route::other(),
        _ => return None,
    })
}

/// `<account>/<configuration>/<session>/<n>.m3u8`; one page of the guide prints it without the configuration.
fn media<'a>(tail: &Tail<'a>) -> Route<'a> {
    let name = tail.nth_back(0).map(decoded).unwrap_or_default();
    if tail.count < 3 || !name.ends_with(".m3u8") {
        return Route::other();
    }
    let configuration = if tail.count > 3 { tail.second } else { None };
    Route { kind: Kind::Media, configuration, session: tail.nth_back(1) }
}

/// `<account>/<configuration>/<asset>`, the session in the query if there is one already.
///
/// `sessionId` may as well be a parameter of the origin's own, which says nothing of a session that is yet to be made: there it is
/// MediaTailor's if it has the shape of all ids that were ever seen.
fn by_query<'a>(kind: Kind, tail: &Tail<'a>, query: Option<&'a str>) -> Route<'a> {
    let bare = |query| parameter(query, "sessionId").filter(|value| is_uuid(value));
    let session = query.and_then(|query| parameter(query, "aws.sessionId").or_else(|| bare(query)));
    Route { kind, configuration: tail.second, session }
}

fn is_uuid(value: &str) -> bool {
    let value = decoded(value);
    value.len() == 36 && Uuid::try_parse(&value).is_ok()
}

fn session_creation<'a>(tail: &Tail<'a>) -> Route<'a> {
    Route { kind: Kind::SessionCreation, configuration: tail.second, session: None }
}

/// `<account>/<configuration>/<session>`, with or without a slash at the end.
fn tracking<'a>(tail: &Tail<'a>) -> Route<'a> {
    let slash = usize::from(tail.nth_back(0) == Some(""));
    let count = tail.count - slash;
    let configuration = if count > 2 { tail.second } else { None };
    let session = if count > 1 { tail.nth_back(slash) } else { None };
    Route { kind: Kind::Tracking, configuration, session }
}

/// `[<account>/]<configuration>/<session>/<n>/<sequence>`; a server-guided one carries its state in a blob.
fn segment<'a>(tail: &Tail<'a>, query: Option<&'a str>) -> Route<'a> {
    let sessionless = query.is_some_and(|query| parameter(query, "aws.segmentRelativePath").is_some());
    let (configuration, session) = match tail.count {
        _ if sessionless => (None, None),
        5 => (tail.second, tail.nth_back(2)),
        4 => (tail.first, tail.nth_back(2)),
        _ => (None, None),
    };
    Route { kind: Kind::Segment, configuration, session }
}

/// The first value of a query parameter, still encoded. An empty one counts as none: a player's template that
/// was not filled in asks for a new session.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, value)| !value.is_empty() && decoded(key) == name)
        .map(|(_, value)| value)
}

/// Without its escapes.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    // Few have an escape, and most requests have many segments.
    if !text.as_bytes().contains(&b'%') {
        return Cow::Borrowed(text);
    }
    percent_decode_str(text).decode_utf8_lossy()
}

/// The path segments after the marker: their count, the first two and the last three, which is all that the
/// grammar asks for and keeps a path of any length off the heap.
struct Tail<'a> {
    count: usize,
    first: Option<&'a str>,
    second: Option<&'a str>,
    last: [&'a str; 3],
}

// === impl Tail ===

impl<'a> Tail<'a> {
    fn of(segments: Split<'a, char>) -> Self {
        let mut tail = Self { count: 0, first: None, second: None, last: [""; 3] };
        for segment in segments {
            match tail.count {
                0 => tail.first = Some(segment),
                1 => tail.second = Some(segment),
                _ => {}
            }
            tail.last = [segment, tail.last[0], tail.last[1]];
            tail.count += 1;
        }
        tail
    }

    fn nth_back(&self, position: usize) -> Option<&'a str> {
        if position < self.count { self.last.get(position).copied() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901";

    fn route(target: &str) -> (Kind, Option<&str>, Option<&str>) {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let Route { kind, configuration, session } = Route::of(path, query);
        (kind, configuration, session)
    }

    #[test]
    fn every_row_of_the_grammar() {
        use Kind::*;
        let cfg = Some("Cfg");
        let sid = Some(SID);
        for (target, expected) in [
            ("/v1/master/acct/Cfg/index.m3u8", (Multivariant, cfg, None)),
            ("/v1/master/acct/Cfg/out/v1/group/ch/index.m3u8?ads.x=1", (Multivariant, cfg, None)),
            ("/v1/master/acct/Cfg/index.m3u8?aws.sessionId={sid}", (Multivariant, cfg, sid)),
            ("/v1/master/acct/Cfg/a/b/c.m3u8?x=1&sessionId={sid}&y", (Multivariant, cfg, sid)),
            ("/v1/master/acct/Cfg/a.m3u8?sessionId=other&aws.sessionId={sid}", (Multivariant, cfg, sid)),
            ("/v1/master/acct/Cfg/a.m3u8?sessionId=eyJhbGciOi/J9.e30", (Multivariant, cfg, None)),
            (
                "/v1/master/acct/Cfg/a.m3u8?sessionId=6f1b7c52%2D30aa-4c1e-9d0f-2a4d1f7be901",
                (Multivariant, cfg, Some("6f1b7c52%2D30aa-4c1e-9d0f-2a4d1f7be901")),
            ),
            ("/v1/dash/acct/Cfg/index.mpd?sessionId={sid}", (Dash, cfg, sid)),
            ("/v1/dash/acct/Cfg/index.mpd?sessionId=user42", (Dash, cfg, None)),
            ("/v1/master/acct/Cfg/a.m3u8?aws%2EsessionId={sid}", (Multivariant, cfg, sid)),
            ("/v1/master/acct/Cfg/a.m3u8?AWS.SESSIONID={sid}", (Multivariant, cfg, None)),
            ("/v1/master/acct/Cfg/a.m3u8?aws.sessionId=", (Multivariant, cfg, None)),
            ("/v1/manifest/acct/Cfg/{sid}/0.m3u8", (Media, cfg, sid)),
            ("/v1/manifest/acct/Cfg/{sid}/12.m3u8?tok=a/b", (Media, cfg, sid)),
            ("/v1/manifest/acct/Cfg/{sid}/0.m3u8?aws.sessionId=other", (Media, cfg, sid)),
            ("/v1/manifest/acct/{sid}/0.m3u8", (Media, None, sid)),
            ("/v1/manifest/acct/Cfg//0.m3u8", (Media, cfg, Some(""))),
            ("/v1/manifest/acct/0.m3u8", (Other, None, None)),
            ("/v1/manifest/acct/Cfg/{sid}/", (Other, None, None)),
            ("/token=abc/mediatailor/v1/manifest/acct/Cfg/{sid}/0.m3u8", (Media, cfg, sid)),
            ("/v1/v1/manifest/acct/Cfg/{sid}/0.m3u8", (Media, cfg, sid)),
            ("/%761/m%61nifest/acct/Cfg/{sid}/0%2Em3u8", (Media, cfg, sid)),
            ("/v1/session/acct/Cfg/index.m3u8", (SessionCreation, cfg, None)),
            ("/v1/tracking/acct/Cfg/{sid}", (Tracking, cfg, sid)),
            ("/v1/tracking/acct/Cfg/{sid}/?tok=1", (Tracking, cfg, sid)),
            ("/v1/segment/acct/Cfg/{sid}/0/41201", (Segment, cfg, sid)),
            ("/v1/segment/Cfg/{sid}/0/41201", (Segment, cfg, sid)),
            ("/v1/segment/acct/Cfg/blob/0/1?aws.segmentRelativePath=x", (Segment, None, None)),
            ("/segment/acct/Cfg/blob/0/1?aws.segmentRelativePath=x", (Other, None, None)),
            ("/v1/dashsegment/acct/Cfg/{sid}/0/41201", (Segment, cfg, sid)),
            ("/v1/dash/acct/Cfg/index.mpd", (Dash, cfg, None)),
            ("/v1/dash/acct/Cfg/index.mpd?aws.sessionId={sid}", (Dash, cfg, sid)),
            ("/v1/webvtt/acct/0/1", (Other, None, None)),
            ("/v1/i-media/acct/Cfg/a/0.m3u8", (Other, cfg, None)),
            ("/v1/i-media/acct/Cfg/a/0.m3u8?aws.sessionId={sid}", (Other, cfg, sid)),
            ("/v1/interstitials/whatever", (Other, None, None)),
            ("/v1/channel/one/index.m3u8", (Other, None, None)),
            ("/v1/channel/v1/manifest/acct/Cfg/{sid}/0.m3u8", (Other, None, None)),
            ("/tm/acct/ad.ts", (Other, None, None)),
            ("/", (Other, None, None)),
            ("*", (Other, None, None)),
            ("", (Other, None, None)),
            ("/v1", (Other, None, None)),
            ("/v1/tracking", (Tracking, None, None)),
            ("/v1/segment/", (Segment, None, None)),
        ] {
            let target = target.replace("{sid}", SID);
            assert_eq!(route(&target), expected, "{target}");
        }
    }

    /// What balancers in front of several processes go by; see `deploy/`, `tests/players/fleet.test.mjs` and
    /// `cloudfront.test.mjs` beside it. `{esc}` is the session id with its dashes escaped.
    #[test]
    fn the_table_of_the_balancers_is_ours() {
        let table: Vec<(String, bool)> =
            serde_json::from_str(include_str!("../../tests/urls.json")).expect("a table");
        for (target, has_session) in table {
            let target = target.replace("{sid}", SID).replace("{esc}", &SID.replace('-', "%2D"));
            let session = route(&target).2.map(decoded);
            assert_eq!(session.as_deref(), has_session.then_some(SID), "{target}");
        }
    }
}
