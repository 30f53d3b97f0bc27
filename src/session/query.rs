//! The query of a URL, of which the rest stays byte for byte as it is.

use http::{Uri, uri::PathAndQuery};

/// The parameter in which players report on themselves, with other values each time (CTA-5004): no playlist goes by it.
const CMCD: &str = "CMCD=";

/// Whether a query may have a report: a look that spares most of them the reading.
pub(crate) fn may_report(query: &str) -> bool {
    query.contains(CMCD)
}

/// Whether a pair of a query is a report.
pub(crate) fn is_report(pair: &str) -> bool {
    pair.starts_with(CMCD)
}

/// The same URL without reports. `None` if it has none.
pub(crate) fn without_reports(uri: &Uri) -> Option<Uri> {
    uri.query().filter(|query| may_report(query))?;
    retain(uri, |pair| !is_report(pair))
}

/// The same URL with those pairs of its query that are to stay. `None` if all are.
pub(crate) fn retain(uri: &Uri, stays: impl Fn(&str) -> bool) -> Option<Uri> {
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
    fn reports_are_told_from_the_rest() {
        for (text, rest) in [
            ("/0.m3u8", None),
            ("/0.m3u8?a=1", None),
            ("/0.m3u8?XCMCD=1&CMCDX=2", None),
            ("/0.m3u8?CMCD=bl%3D1%2Cot%3Dm", Some("/0.m3u8")),
            ("/0.m3u8?a=1&CMCD=bl%3D1&_HLS_msn=7&b", Some("/0.m3u8?a=1&_HLS_msn=7&b")),
            ("http://a.example/0.m3u8?CMCD=1&&a=%41", Some("http://a.example/0.m3u8?&a=%41")),
        ] {
            let uri: Uri = text.parse().expect("a URI");
            assert_eq!(without_reports(&uri).map(|uri| uri.to_string()).as_deref(), rest, "{text}");
        }
    }
}
