use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::time::Instant;

use super::{
    Exception, Flaw, Verdict,
    coding::Coding,
    decode,
    message::{self, READ_UP_TO},
    playlist::{self, Limits, Summary},
};
use crate::session::Kind;

/// A header that CloudFront and other CDNs set.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// A [`Verdict`] on an answer, and its grounds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judgement {
    /// What the answer means.
    pub verdict: Verdict,
    /// The exception that an error answer names, or that its status stands for.
    pub exception: Option<Exception>,
    /// Whether the answer itself names the exception: it is then MediaTailor's own, and not that of something on the
    /// way.
    pub named: bool,
    /// What an error answer says in free text. For the log alone; see [`message`](super::message).
    pub message: Option<String>,
    /// What a success holds, if it is a playlist.
    pub summary: Option<Summary>,
    /// What is wrong with a success that should be a playlist, or why it could not be judged.
    pub flaw: Option<Flaw>,
    /// Since when it is known, if it is the very playlist that is kept: it need not be compared again.
    pub(crate) unchanged: Option<Instant>,
}

// === impl Judgement ===

impl Judgement {
    /// Judges an answer by the pieces of its whole body; `kind` and `has_session` say what was asked for, and
    /// whether the request named a session.
    ///
    /// What MediaTailor names counts before the status. Segments, redirects, and successes that need not be
    /// playlists are [`Passed`](Verdict::Passed), and so is a playlist that is too long or whose encoding is
    /// not known here: it may be a good one. Where a media playlist was asked for, a multivariant one does
    /// not count as a playlist.
    pub fn of<'a>(
        kind: Kind,
        has_session: bool,
        status: StatusCode,
        headers: &HeaderMap,
        body: impl IntoIterator<Item = &'a [u8]>,
        limits: &Limits,
    ) -> Self {
        let encoding = headers.get_all(header::CONTENT_ENCODING);
        match kind {
            Kind::Segment | Kind::Other => Verdict::Passed.into(),
            _ if status.is_client_error() || status.is_server_error() => {
                let body = decode::decode(body, encoding, READ_UP_TO).unwrap_or_default();
                Self::of_error(names_session(kind, has_session), status, headers, &body)
            }
            Kind::Media | Kind::Multivariant
                if status == StatusCode::PARTIAL_CONTENT && !is_whole(headers) =>
            {
                Self::of_reading(kind, Err(Flaw::Truncated))
            }
            Kind::Media | Kind::Multivariant if status.is_success() => {
                Self::of_reading(kind, playlist::read(body, encoding, limits))
            }
            _ => Self::without_body(kind, has_session, status, headers),
        }
    }

    /// Judges an answer whose body is not at hand: one to `HEAD`, or one that was too large to be collected.
    pub fn without_body(kind: Kind, has_session: bool, status: StatusCode, headers: &HeaderMap) -> Self {
        match kind {
            Kind::Segment | Kind::Other => Verdict::Passed.into(),
            _ if status.is_success() || status.is_redirection() => Verdict::Passed.into(),
            _ => Self::of_error(names_session(kind, has_session), status, headers, b""),
        }
    }

    /// Judges an error in place of what is passed on otherwise. `None` unless it is MediaTailor's own: it names
    /// its exception, or its body has a message. Of a body that could not be read that is taken for granted.
    pub(crate) fn of_passing<'a>(
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<impl IntoIterator<Item = &'a [u8]>>,
    ) -> Option<Self> {
        let encoding = headers.get_all(header::CONTENT_ENCODING);
        let read = body.map(|body| decode::decode(body, encoding, READ_UP_TO).unwrap_or_default());
        let judgement = Self::of_error(false, status, headers, read.as_deref().unwrap_or_default());
        let is_its_own = judgement.named || judgement.message.is_some() || read.is_none();
        // What names a session or the host elsewhere is about one object here, which is not to be had.
        let verdict = match judgement.verdict {
            Verdict::Misaddressed => Verdict::Denied,
            Verdict::Blocked => Verdict::Failed,
            Verdict::Conflict => Verdict::OriginBroken,
            verdict => verdict,
        };
        is_its_own.then_some(Self { verdict, ..judgement })
    }

    /// Judges a success from `start`, which is all that was read, since more was to come than is collected: a
    /// playlist that is too long may be a good one, but a body that does not even begin as one is not.
    pub(crate) fn of_start<'a>(
        kind: Kind,
        headers: &HeaderMap,
        start: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let is_playlist = matches!(kind, Kind::Media | Kind::Multivariant);
        let flaw = match Coding::of(headers) {
            Some(Coding::Identity) if is_playlist => playlist::begins(start).err(),
            _ => None,
        };
        flaw.map_or_else(|| Verdict::Passed.into(), |flaw| Self::of_reading(kind, Err(flaw)))
    }

    fn of_reading(kind: Kind, reading: Result<Summary, Flaw>) -> Self {
        match reading {
            // A player looks for segments there, finds none and stops.
            Ok(summary) if kind == Kind::Media && summary.kind == playlist::Kind::Multivariant => {
                Self { flaw: Some(Flaw::OtherKind), ..Verdict::NotPlaylist.into() }
            }
            Ok(summary) => Self { summary: Some(summary), ..Verdict::Playlist.into() },
            Err(flaw) => {
                let verdict = if flaw.is_unjudged() { Verdict::Passed } else { Verdict::NotPlaylist };
                Self { flaw: Some(flaw), ..verdict.into() }
            }
        }
    }

    /// Whether an earlier playlist can stand in for the answer: so it can where the answer's
    /// [verdict](Verdict::survivable) allows it, and where the answer [leads the player
    /// away](Flaw::Elsewhere).
    pub fn survivable(&self) -> bool {
        self.verdict.survivable() || self.flaw == Some(Flaw::Elsewhere)
    }

    /// What the exception is called that the answer itself names: one that its status alone stands for is a guess,
    /// and may be about something on the way.
    pub fn named_exception(&self) -> Option<&'static str> {
        self.exception.filter(|_| self.named).map(Exception::name)
    }

    /// Whether MediaTailor names a configuration or a manifest that a moment later will be no better.
    pub(crate) fn blames_what_stays(&self) -> bool {
        self.named
            && self.verdict == Verdict::OriginBroken
            && matches!(self.exception, Some(Exception::BadGateway | Exception::UnsupportedManifest))
    }

    fn of_error(names_session: bool, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let exception = Exception::read(status, headers, body);
        let verdict = match exception {
            Some(Exception::BadRequest | Exception::NotFound) if names_session => Verdict::SessionLost,
            Some(Exception::BadRequest) => Verdict::BadRequest,
            Some(Exception::NotFound) => Verdict::NotFound,
            Some(Exception::AccessDenied) if is_mediatailors(headers, body) => Verdict::Misaddressed,
            Some(Exception::AccessDenied) => Verdict::Denied,
            Some(Exception::Conflict) => Verdict::Conflict,
            Some(Exception::Gone) => Verdict::Blocked,
            Some(Exception::Throttling) => Verdict::Throttled,
            Some(Exception::LoadShed) => Verdict::Overloaded,
            Some(Exception::GatewayTimeout) => Verdict::TimedOut,
            Some(Exception::InternalService | Exception::BadGateway | Exception::UnsupportedManifest) => {
                Verdict::OriginBroken
            }
            None => of_status(status),
        };
        let named = Exception::of_headers(headers).or_else(|| Exception::of_body(body)).is_some();
        Self { exception, named, message: message::message(body), ..verdict.into() }
    }
}

impl From<Verdict> for Judgement {
    /// A verdict that needs no grounds.
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            exception: None,
            named: false,
            message: None,
            summary: None,
            flaw: None,
            unchanged: None,
        }
    }
}

/// What a status means that MediaTailor has no name for. Some of the 4xx say nothing of the request or its
/// session, but that it did not come through: the next may (RFC 9110 section 15.5, RFC 8470 section 5.2).
fn of_status(status: StatusCode) -> Verdict {
    match status {
        StatusCode::REQUEST_TIMEOUT => Verdict::TimedOut,
        StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::MISDIRECTED_REQUEST
        | StatusCode::TOO_EARLY => Verdict::Unreachable,
        _ if status.is_client_error() => Verdict::Failed,
        // Or no final answer of HTTP, of which a player makes nothing, or worse.
        _ => Verdict::OriginBroken,
    }
}

/// Whether an error may be one of MediaTailor's own, by its head: it names an exception, or its body may be in JSON.
pub(super) fn may_name(headers: &HeaderMap) -> bool {
    let is_json = |kind: &HeaderValue| memchr::memmem::find(kind.as_bytes(), b"json").is_some();
    Exception::is_named(headers) || headers.get(header::CONTENT_TYPE).is_none_or(is_json)
}

/// Whether a 206 holds all there is: `bytes 0-99/100` (RFC 9110 section 14.4).
fn is_whole(headers: &HeaderMap) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let range = range.and_then(|range| range.strip_prefix("bytes 0-")?.split_once('/'));
    range.is_some_and(|(last, length)| match (last.parse::<u64>(), length.parse::<u64>()) {
        (Ok(last), Ok(length)) => last.checked_add(1) == Some(length),
        _ => false,
    })
}

/// Whether a 400 or 404 tells of the session ("Playback errors" and "Quotas" in MediaTailor's user guide): a
/// media playlist has no other reason to be gone, and what names a session was given its address with it.
fn names_session(kind: Kind, has_session: bool) -> bool {
    match kind {
        Kind::Media => true,
        Kind::Multivariant | Kind::Tracking | Kind::Dash => has_session,
        Kind::SessionCreation | Kind::Segment | Kind::Other => false,
    }
}

/// Whether a 403 is MediaTailor's own: it names its exception, or is in JSON and bears no mark of a CDN.
fn is_mediatailors(headers: &HeaderMap, body: &[u8]) -> bool {
    let named = Exception::of_headers(headers).or_else(|| Exception::of_body(body));
    named == Some(Exception::AccessDenied)
        || !Exception::is_named(headers) && !is_cdns(headers) && message::object(body).is_some()
}

fn is_cdns(headers: &HeaderMap) -> bool {
    let server = headers.get(header::SERVER).map(|server| server.as_bytes().to_ascii_lowercase());
    headers.contains_key(X_CACHE)
        || server.is_some_and(|server| memchr::memmem::find(&server, b"cloudfront").is_some())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PLAYLIST: &[u8] = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n";
    const PAGE: &[u8] = b"<html><title>ERROR: The request could not be satisfied</title></html>";
    const JSON: &[u8] = br#"{"message":"https://origin.example/secret"}"#;

    const KINDS: [Kind; 7] = [
        Kind::Multivariant,
        Kind::Media,
        Kind::SessionCreation,
        Kind::Tracking,
        Kind::Segment,
        Kind::Dash,
        Kind::Other,
    ];

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).expect("a status")
    }

    fn judge(kind: Kind, has_session: bool, code: u16, headers: &HeaderMap, body: &[u8]) -> Judgement {
        Judgement::of(kind, has_session, status(code), headers, [body], &Limits::default())
    }

    /// The verdict on an answer to a media playlist's request.
    fn media(code: u16, pairs: &[(&'static str, &'static str)], body: &[u8]) -> Verdict {
        judge(Kind::Media, true, code, &headers(pairs), body).verdict
    }

    fn named(code: u16, name: &'static str) -> Verdict {
        media(code, &[("x-amzn-errortype", name)], b"{}")
    }

    #[test]
    fn names_go_before_statuses() {
        use Verdict::*;
        for (code, name, verdict) in [
            (400, "BadRequestException:http://x", SessionLost),
            (403, "AccessDeniedException:http://x", Misaddressed),
            (404, "NotFoundException:http://x", SessionLost),
            (409, "ConflictException:http://x", Conflict),
            (410, "Gone:http://x", Blocked),
            (500, "InternalServiceError:http://x", OriginBroken),
            (502, "BadGatewayException:http://x", OriginBroken),
            (502, "UnsupportedManifestException:http://x", OriginBroken),
            (503, "LoadShed:http://x", Overloaded),
            (503, "ThrottlingException:http://x", Throttled),
            (504, "GatewayTimeoutException:http://x", TimedOut),
            (400, "ThrottlingException", Throttled),
            (500, "ConflictException", Conflict),
        ] {
            assert_eq!(named(code, name), verdict, "{code} {name}");
        }
    }

    #[test]
    fn statuses_speak_where_nothing_is_named() {
        use Verdict::*;
        for (code, verdict) in [
            (400, SessionLost),
            (401, Failed),
            (404, SessionLost),
            (405, Failed),
            (407, Unreachable),
            (408, TimedOut),
            (409, Conflict),
            (410, Blocked),
            (418, Failed),
            (421, Unreachable),
            (425, Unreachable),
            (429, Throttled),
            (500, OriginBroken),
            (502, OriginBroken),
            (503, Overloaded),
            (504, TimedOut),
            (507, OriginBroken),
            (301, Passed),
            (302, Passed),
            (304, Passed),
        ] {
            for body in [&b""[..], PAGE, JSON, PLAYLIST] {
                assert_eq!(media(code, &[], body), verdict, "{code}");
            }
            let head = Judgement::without_body(Kind::Media, true, status(code), &HeaderMap::new());
            assert_eq!(head.verdict, verdict, "{code}");
        }
        // No status of HTTP, and one that a proxy must never see at the end.
        assert_eq!(media(999, &[], b""), OriginBroken);
        assert_eq!(media(101, &[], b""), OriginBroken);
    }

    #[test]
    fn a_lost_session_is_one_that_was_named() {
        use Verdict::*;
        for (kind, has_session, lost) in [
            (Kind::Media, true, true),
            (Kind::Media, false, true),
            (Kind::Multivariant, true, true),
            (Kind::Multivariant, false, false),
            (Kind::Tracking, true, true),
            (Kind::Tracking, false, false),
            (Kind::Dash, true, true),
            (Kind::SessionCreation, false, false),
        ] {
            for (code, other) in [(400, BadRequest), (404, NotFound)] {
                let verdict = judge(kind, has_session, code, &HeaderMap::new(), JSON).verdict;
                assert_eq!(verdict, if lost { SessionLost } else { other }, "{kind:?} {has_session} {code}");
            }
        }
    }

    #[test]
    fn one_403_is_not_the_other() {
        use Verdict::*;
        let denied = ("x-amzn-errortype", "AccessDeniedException:http://x");
        let (cloudfront, cached) = (("server", "CloudFront"), ("x-cache", "Error from cloudfront"));
        assert_eq!(media(403, &[denied], b""), Misaddressed);
        assert_eq!(media(403, &[denied, cloudfront, cached], PAGE), Misaddressed, "a CDN passed it on");
        assert_eq!(media(403, &[], JSON), Misaddressed);
        assert_eq!(media(403, &[cached], br#"{"__type":"AccessDeniedException"}"#), Misaddressed);
        assert_eq!(media(403, &[], PAGE), Denied);
        assert_eq!(media(403, &[], b""), Denied);
        assert_eq!(media(403, &[cloudfront], JSON), Denied);
        assert_eq!(media(403, &[cached], JSON), Denied);
        assert_eq!(media(403, &[("x-amzn-errortype", "ForbiddenException")], JSON), Denied);
    }

    #[test]
    fn a_success_is_read() {
        let judged = judge(Kind::Media, true, 200, &HeaderMap::new(), PLAYLIST);
        assert_eq!(judged.verdict, Verdict::Playlist);
        assert_eq!(judged.summary.map(|summary| summary.segments), Some(1));

        let judged = judge(Kind::Multivariant, false, 200, &HeaderMap::new(), PAGE);
        assert_eq!((judged.verdict, judged.flaw), (Verdict::NotPlaylist, Some(Flaw::Html)));
        let judged = judge(Kind::Media, true, 204, &HeaderMap::new(), b"");
        assert_eq!((judged.verdict, judged.flaw), (Verdict::NotPlaylist, Some(Flaw::Empty)));

        // What could not be read may be good all the same.
        let unknown = headers(&[("content-encoding", "dcz")]);
        let judged = judge(Kind::Media, true, 200, &unknown, PLAYLIST);
        assert_eq!((judged.verdict, judged.flaw), (Verdict::Passed, Some(Flaw::UnknownEncoding)));
        let head = Judgement::without_body(Kind::Media, true, StatusCode::OK, &HeaderMap::new());
        assert_eq!(head, Verdict::Passed.into());
    }

    #[test]
    fn a_multivariant_playlist_is_none_where_a_media_playlist_belongs() {
        const OFFER: &[u8] = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n";
        let judged = judge(Kind::Media, true, 200, &HeaderMap::new(), OFFER);
        assert_eq!((judged.verdict, judged.flaw), (Verdict::NotPlaylist, Some(Flaw::OtherKind)));
        assert_eq!(judge(Kind::Multivariant, true, 200, &HeaderMap::new(), OFFER).verdict, Verdict::Playlist);
        // An asset of one rendition has a media playlist on top.
        assert_eq!(
            judge(Kind::Multivariant, true, 200, &HeaderMap::new(), PLAYLIST).verdict,
            Verdict::Playlist
        );
    }

    #[test]
    fn a_part_is_whole_or_none() {
        for (range, whole) in [
            ("bytes 0-48/49", true),
            ("bytes 0-48/100", false),
            ("bytes 1-48/49", false),
            ("bytes 0-48/*", false),
            ("bytes 0-18446744073709551615/0", false),
            ("", false),
        ] {
            let judged = judge(Kind::Media, true, 206, &headers(&[("content-range", range)]), PLAYLIST);
            let flaw = (!whole).then_some(Flaw::Truncated);
            assert_eq!((judged.verdict.is_playlist(), judged.flaw), (whole, flaw), "{range}");
        }
    }

    #[test]
    fn of_what_is_too_long_the_start_is_looked_at() {
        let start = |kind, pairs: &[(&'static str, &'static str)], text: &'static [u8]| {
            let judged = Judgement::of_start(kind, &headers(pairs), [&text[..3], &text[3..]]);
            (judged.verdict, judged.flaw)
        };
        assert_eq!(start(Kind::Media, &[], PLAYLIST), (Verdict::Passed, None));
        assert_eq!(start(Kind::Media, &[], PAGE), (Verdict::NotPlaylist, Some(Flaw::Html)));
        assert_eq!(start(Kind::Multivariant, &[], JSON), (Verdict::NotPlaylist, Some(Flaw::NoHeader)));
        assert_eq!(start(Kind::Media, &[("content-encoding", "gzip")], JSON), (Verdict::Passed, None));
        assert_eq!(start(Kind::Tracking, &[], JSON), (Verdict::Passed, None));
    }

    #[test]
    fn what_needs_be_no_playlist_is_passed() {
        for kind in [Kind::SessionCreation, Kind::Tracking, Kind::Dash] {
            assert_eq!(judge(kind, true, 200, &HeaderMap::new(), b"{}"), Verdict::Passed.into());
            assert_eq!(judge(kind, true, 503, &HeaderMap::new(), b"").verdict, Verdict::Overloaded);
        }
        for kind in [Kind::Segment, Kind::Other] {
            for code in [200, 302, 404, 409, 503] {
                assert_eq!(judge(kind, true, code, &HeaderMap::new(), PAGE), Verdict::Passed.into());
            }
        }
    }

    /// RFC 9110 section 5.3: they are one list.
    #[test]
    fn content_codings_on_several_lines_are_all_of_them() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(PLAYLIST).and_then(|()| encoder.finish()).expect("a Vec takes all");
        let judged = |lines: &[&'static str], body: &[u8]| {
            let lines: Vec<_> = lines.iter().map(|line| ("content-encoding", *line)).collect();
            let judged = judge(Kind::Media, true, 200, &headers(&lines), body);
            (judged.verdict, judged.flaw)
        };
        for lines in
            [&["identity", "gzip"][..], &["gzip", "identity"], &["", "x-gzip"], &["identity, gzip ,"]]
        {
            assert_eq!(judged(lines, &packed), (Verdict::Playlist, None), "{lines:?}");
        }
        for lines in [&["gzip", "br"][..], &["gzip", "gzip"], &["identity", "dcb"], &["br, gzip"]] {
            let unknown = (Verdict::Passed, Some(Flaw::UnknownEncoding));
            assert_eq!(judged(lines, &packed), unknown, "{lines:?}");
        }
        for lines in [&["identity", "identity"][..], &[""], &[" , "]] {
            assert_eq!(judged(lines, PLAYLIST), (Verdict::Playlist, None), "{lines:?}");
        }
    }

    #[test]
    fn a_compressed_error_is_read_as_well() {
        let body = br#"{"__type":"UnsupportedManifestException","message":"ad markers"}"#;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(body).and_then(|()| encoder.finish()).expect("a Vec takes all");
        let gzip = headers(&[("content-encoding", "gzip")]);
        let judged = judge(Kind::Media, true, 502, &gzip, &packed);
        assert_eq!(judged.exception, Some(Exception::UnsupportedManifest));
        assert_eq!(judged.message.as_deref(), Some("ad markers"));
        // What cannot be unpacked has its status still.
        let judged = judge(Kind::Media, true, 502, &gzip, body);
        assert_eq!((judged.exception, judged.message), (Some(Exception::BadGateway), None));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_errors_are_never_playlists(
            kind in prop::sample::select(KINDS.to_vec()),
            has_session: bool,
            code in 100_u16..1000,
            body: Vec<u8>,
        ) {
            let judged = judge(kind, has_session, code, &HeaderMap::new(), &body);
            prop_assert!((200..300).contains(&code) || !judged.verdict.is_playlist());
            prop_assert_eq!(judged.summary.is_some(), judged.verdict.is_playlist());
        }
    }
}
