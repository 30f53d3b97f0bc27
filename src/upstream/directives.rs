//! The delivery directives of low-latency HLS (RFC 8216bis section 6.2.5).

use std::borrow::Cow;

use http::{Uri, uri::PathAndQuery};
use percent_encoding::percent_decode_str;

/// All that begin so are reserved for them.
const PREFIX: &str = "_HLS_";

/// Those that ask the server to hold the request.
const BLOCKING: &str = "_HLS_msn=";

/// Those that ask for a playlist. Interstitials have others, which their lists of assets need.
const OF_PLAYLISTS: [&str; 3] = ["_HLS_msn", "_HLS_part", "_HLS_skip"];

/// Whether a request is to be held until what it asks for is there.
pub(crate) fn is_blocking(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with(BLOCKING)))
}

/// The same URL without them; the rest of the query stays as it is. `None` if it has none.
pub(crate) fn without(uri: &Uri) -> Option<Uri> {
    retain(uri, |pair| !pair.starts_with(PREFIX))
}

/// The same URL without `_HLS_msn`, `_HLS_part` and `_HLS_skip`, however they are written; the rest of the query stays as
/// it is. `None` if it has none of these.
pub(crate) fn stripped(uri: &Uri) -> Option<Uri> {
    retain(uri, |pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name: Cow<'_, [u8]> = percent_decode_str(name).into();
        !OF_PLAYLISTS.iter().any(|directive| *name == *directive.as_bytes())
    })
}

/// `None` if all pairs of the query are to stay.
fn retain(uri: &Uri, stays: impl Fn(&str) -> bool) -> Option<Uri> {
    let query = uri.query()?;
    if query.split('&').all(&stays) {
        return None;
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| stays(pair)).collect();
    let path = match kept.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), kept.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
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
            ("/a/0.m3u8?x=_HLS_msn=7", None),
            ("/a/0.m3u8", None),
        ] {
            let uri: Uri = with.parse().expect("a URI");
            assert_eq!(without(&uri).map(|uri| uri.to_string()).as_deref(), left, "{with}");
        }
        let blocking = |uri: &'static str| is_blocking(&Uri::from_static(uri));
        assert!(blocking("/?a&_HLS_msn=7") && !blocking("/?_HLS_skip=YES"));
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
