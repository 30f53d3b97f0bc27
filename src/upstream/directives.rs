//! The delivery directives of low-latency HLS (RFC 8216bis section 6.2.5).

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::session::query;

/// All names that begin so are kept for them.
const PREFIX: &[u8] = b"_HLS_";

/// A delivery directive, however its name is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directive {
    /// `_HLS_msn`: the request is to be held until the segment of this number is there. `None` for what is no number.
    Msn(Option<u64>),
    /// `_HLS_part`: until that part of it is.
    Part(Option<u64>),
    /// `_HLS_skip`.
    Skip,
    /// Another. Interstitials have some, which their lists of assets need.
    Other,
}

/// Whether a query may have any: a look that spares most of them the reading.
pub(crate) fn may_be_in(query: &str) -> bool {
    query.contains("_HLS_") || query.contains('%')
}

/// Whether a request is to be held until what it asks for is there.
pub(crate) fn is_blocking(uri: &Uri) -> bool {
    let is_msn = |pair| matches!(Directive::of(pair), Some(Directive::Msn(_)));
    uri.query().is_some_and(|query| may_be_in(query) && query.split('&').any(is_msn))
}

/// The same URL without them; the rest of the query stays as it is. `None` if it has none.
pub(crate) fn without(uri: &Uri) -> Option<Uri> {
    retain(uri, |pair| Directive::of(pair).is_none())
}

/// The same URL without those that ask for a playlist, `_HLS_msn`, `_HLS_part` and `_HLS_skip`; the rest of
/// the query stays as it is. `None` if it has none of these.
pub(crate) fn stripped(uri: &Uri) -> Option<Uri> {
    retain(uri, |pair| matches!(Directive::of(pair), None | Some(Directive::Other)))
}

fn retain(uri: &Uri, stays: impl Fn(&str) -> bool) -> Option<Uri> {
    uri.query().filter(|query| may_be_in(query))?;
    query::retain(uri, stays)
}

// === impl Directive ===

impl Directive {
    /// Reads a pair of a query; `None` if it is no directive.
    pub(crate) fn of(pair: &str) -> Option<Self> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name: Cow<'_, [u8]> = percent_decode_str(name).into();
        let number = || percent_decode_str(value).decode_utf8().ok()?.parse().ok();
        Some(match name.strip_prefix(PREFIX)? {
            b"msn" => Self::Msn(number()),
            b"part" => Self::Part(number()),
            b"skip" => Self::Skip,
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_go_and_the_rest_stays() {
        for (with, left) in [
            ("/a/0.m3u8?_HLS_msn=7", Some("/a/0.m3u8")),
            ("/a/0.m3u8?x=%20&_HLS_msn=7&_HLS_part=1&y=&z", Some("/a/0.m3u8?x=%20&y=&z")),
            ("http://a.example/0.m3u8?_HLS_skip=YES&x=1", Some("http://a.example/0.m3u8?x=1")),
            ("/a/0.m3u8?%5FHLS%5Fmsn=7&x=1&_HLS_x", Some("/a/0.m3u8?x=1")),
            ("/a/0.m3u8?x=_HLS_msn=7", None),
            ("/a/0.m3u8", None),
        ] {
            let uri: Uri = with.parse().expect("a URI");
            assert_eq!(without(&uri).map(|uri| uri.to_string()).as_deref(), left, "{with}");
        }
        let blocking = |uri: &'static str| is_blocking(&Uri::from_static(uri));
        assert!(blocking("/?a&_HLS_msn=7") && blocking("/?%5FHLS_msn=7") && blocking("/?_HLS_msn"));
        assert!(!blocking("/?_HLS_skip=YES") && !blocking("/?_HLS_msnx=7") && !blocking("/"));
    }

    #[test]
    fn those_of_playlists_are_stripped_alone() {
        for (with, left) in [
            ("/a/0.m3u8?_HLS_msn=7&_HLS_part=1&_HLS_skip=v2", Some("/a/0.m3u8")),
            ("/a/0.m3u8?_HLS_msn", Some("/a/0.m3u8")),
            ("/a/0.m3u8?x=%20&%5FHLS%5Fmsn=7&y=&&z", Some("/a/0.m3u8?x=%20&y=&&z")),
            (
                "/list?_HLS_primary_id=1&_HLS_skip=YES&_HLS_start_offset=2",
                Some("/list?_HLS_primary_id=1&_HLS_start_offset=2"),
            ),
            ("/list?_HLS_primary_id=1", None),
            ("/a/0.m3u8?_hls_msn=7&x_HLS_msn=7&_HLS_msnx=7", None),
            ("/a/0.m3u8?", None),
            ("/a/0.m3u8", None),
        ] {
            let uri: Uri = with.parse().expect("a URI");
            assert_eq!(stripped(&uri).map(|uri| uri.to_string()).as_deref(), left, "{with}");
        }
    }
}
