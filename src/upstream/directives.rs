//! The delivery directives of low-latency HLS (RFC 8216bis section 6.2.5).

use http::{Uri, uri::PathAndQuery};

/// All that begin so are reserved for them.
const PREFIX: &str = "_HLS_";

/// Those that ask the server to hold the request.
const BLOCKING: &str = "_HLS_msn=";

/// Whether a request has any.
pub(crate) fn has_any(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with(PREFIX)))
}

/// Whether a request is to be held until what it asks for is there.
pub(crate) fn is_blocking(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with(BLOCKING)))
}

/// The same URL without them; the rest of the query stays as it is. `None` if it has none.
pub(crate) fn without(uri: &Uri) -> Option<Uri> {
    if !has_any(uri) {
        return None;
    }
    let kept: Vec<&str> = uri.query()?.split('&').filter(|pair| !pair.starts_with(PREFIX)).collect();
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
            assert_eq!(has_any(&uri), left.is_some());
        }
        let blocking = |uri: &'static str| is_blocking(&Uri::from_static(uri));
        assert!(blocking("/?a&_HLS_msn=7") && !blocking("/?_HLS_skip=YES"));
    }
}
