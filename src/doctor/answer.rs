use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode, Uri, header, response::Parts};

use crate::{
    remap::REASON,
    session::{Kind, Route, link},
    upstream::{
        Judgement, Verdict,
        decode::decode,
        playlist::{self, Limits, Summary},
    },
};

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) url: Uri,
    pub(super) head: Parts,
    pub(super) body: Bytes,
    pub(super) took: Duration,
}

// === impl Answer ===

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What a onelane at the URL says of an answer that it made itself.
    pub(super) fn own_reason(&self) -> Option<Verdict> {
        self.header(REASON)?.parse().ok()
    }

    /// What onelane makes of it.
    pub(super) fn judgement(&self) -> Judgement {
        if let Some(reason) = self.own_reason() {
            return reason.into();
        }
        let route = Route::of(self.url.path(), self.url.query());
        // What a CDN has under another path is a playlist all the same.
        let kind = if matches!(route.kind, Kind::Other) { Kind::Multivariant } else { route.kind };
        let has_session = route.session.is_some();
        Judgement::of(
            kind,
            has_session,
            self.status(),
            &self.head.headers,
            [&self.body[..]],
            &Limits::default(),
        )
    }

    pub(super) fn summary(&self) -> Option<Summary> {
        let encoding = self.head.headers.get_all(header::CONTENT_ENCODING);
        playlist::read([&self.body[..]], encoding, &Limits::default()).ok()
    }

    pub(super) fn is_html(&self) -> bool {
        self.header(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"))
    }

    /// The pages whose scripts may read it: all of them, or those of one origin.
    pub(super) fn readers(&self) -> Option<&str> {
        self.header(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    }

    /// Whether it is compressed.
    pub(super) fn is_packed(&self) -> bool {
        self.header(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
    }

    /// The media playlists that a multivariant playlist names: its variants and renditions.
    pub(super) fn links(&self) -> Vec<Uri> {
        let encoding = self.head.headers.get_all(header::CONTENT_ENCODING);
        let Ok(body) = decode([&self.body[..]], encoding, Limits::default().decode_up_to) else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&body);
        let mut links = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let link = match line.strip_prefix("#EXT-X-MEDIA:") {
                Some(attributes) => link::in_tag(attributes),
                None => Some(line).filter(|line| !line.starts_with('#')),
            };
            links.extend(link.and_then(|link| link::resolve(&self.url, link)));
        }
        links.dedup();
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(url: &str, body: &'static str) -> Answer {
        let (head, ()) = http::Response::new(()).into_parts();
        Answer { url: url.parse().expect(url), head, body: body.into(), took: Duration::ZERO }
    }

    #[test]
    fn variants_and_renditions_are_links() {
        let answer = answer(
            "http://a.example/m/i.m3u8",
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"2.m3u8\"\n#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,NAME=\"cc\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n\n#EXT-X-STREAM-INF:BANDWIDTH=2\n1.m3u8\n",
        );
        let links: Vec<_> = answer.links().iter().map(|link| link.path().to_owned()).collect();
        assert_eq!(links, ["/m/2.m3u8", "/m/0.m3u8", "/m/1.m3u8"]);
    }
}
