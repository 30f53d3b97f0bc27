use http::{Uri, uri::PathAndQuery};

/// The address that a reference in the answer to `base` leads to (RFC 3986 section 5.2), without its fragment, which is in no request.
///
/// `None` for what is no reference, and for one that names no host where its scheme has it, like `data:`. Where `base` has no scheme
/// itself, a host without one is `http`'s.
pub(crate) fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default().trim();
    if let Some(rest) = after_scheme(reference) {
        return rest.starts_with("//").then(|| absolute(reference)).flatten();
    }
    if reference.starts_with("//") {
        return absolute(&format!("{}:{reference}", base.scheme_str().unwrap_or("http")));
    }
    let (path, query) =
        reference.split_once('?').map_or((reference, None), |(path, query)| (path, Some(query)));
    if path.is_empty() {
        return at(base, base.path(), query.or(base.query()));
    }
    if path.starts_with('/') {
        return at(base, path, query);
    }
    let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    at(base, &format!("{folder}/{path}"), query)
}

/// The reference in the `URI` attribute of a tag (RFC 8216 section 4.2).
pub(crate) fn in_tag(tag: &str) -> Option<&str> {
    tag.split_once("URI=\"").and_then(|(_, rest)| rest.split('"').next())
}

/// Whether both lead to the same host and port, which a scheme has of its own where none is given.
pub(crate) fn same_host(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let of_authority =
        || one.host().zip(other.host()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other));
    one.authority() == other.authority() || of_authority() && port(one) == port(other)
}

/// What follows the scheme and its colon (RFC 3986 section 3.1).
fn after_scheme(reference: &str) -> Option<&str> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme =
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_of_it);
    is_scheme.then_some(rest)
}

fn absolute(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    at(&uri, uri.path(), uri.query())
}

/// Another path and query at the host of `base`.
fn at(base: &Uri, path: &str, query: Option<&str>) -> Option<Uri> {
    let mut target = without_dots(path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// An absolute path without the segments `.` and `..` (RFC 3986 section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    // The first is what stands before the first slash: nothing.
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fails where one of these references does not lead there from `base`.
    fn lead(base: &str, references: &[(&str, Option<&str>)]) {
        let base: Uri = base.parse().expect(base);
        for (reference, expected) in references {
            let led = resolve(&base, reference).map(|uri| uri.to_string());
            assert_eq!(led.as_deref(), *expected, "{reference}");
        }
    }

    #[test]
    fn a_port_is_the_schemes_where_none_is_given() {
        let same = |one: &'static str, other: &'static str| {
            same_host(&Uri::from_static(one), &Uri::from_static(other))
        };
        assert!(same("https://far.example/a", "https://FAR.example:443/b"));
        assert!(same("http://far.example:80/", "http://far.example/") && same("/a", "/b"));
        assert!(
            same("https://far.example/", "http://far.example/"),
            "another scheme is the same one's business"
        );
        for other in ["https://far.example:444/", "http://far.example:80/", "https://near.example/", "/a"] {
            assert!(!same("https://far.example/", other), "{other}");
        }
    }

    #[test]
    fn references_lead_where_the_rfc_says() {
        // Section 5.4, without fragments. What names no host leads nowhere.
        lead(
            "http://a/b/c/d;p?q",
            &[
                ("g:h", None),
                ("g", Some("http://a/b/c/g")),
                ("./g", Some("http://a/b/c/g")),
                ("g/", Some("http://a/b/c/g/")),
                ("/g", Some("http://a/g")),
                ("//g", Some("http://g/")),
                ("?y", Some("http://a/b/c/d;p?y")),
                ("g?y", Some("http://a/b/c/g?y")),
                ("#s", Some("http://a/b/c/d;p?q")),
                ("g#s", Some("http://a/b/c/g")),
                ("g?y#s", Some("http://a/b/c/g?y")),
                (";x", Some("http://a/b/c/;x")),
                ("g;x", Some("http://a/b/c/g;x")),
                ("g;x?y#s", Some("http://a/b/c/g;x?y")),
                ("", Some("http://a/b/c/d;p?q")),
                (".", Some("http://a/b/c/")),
                ("./", Some("http://a/b/c/")),
                ("..", Some("http://a/b/")),
                ("../", Some("http://a/b/")),
                ("../g", Some("http://a/b/g")),
                ("../..", Some("http://a/")),
                ("../../", Some("http://a/")),
                ("../../g", Some("http://a/g")),
                ("../../../g", Some("http://a/g")),
                ("../../../../g", Some("http://a/g")),
                ("/./g", Some("http://a/g")),
                ("/../g", Some("http://a/g")),
                ("g.", Some("http://a/b/c/g.")),
                (".g", Some("http://a/b/c/.g")),
                ("g..", Some("http://a/b/c/g..")),
                ("..g", Some("http://a/b/c/..g")),
                ("./../g", Some("http://a/b/g")),
                ("./g/.", Some("http://a/b/c/g/")),
                ("g/./h", Some("http://a/b/c/g/h")),
                ("g/../h", Some("http://a/b/c/h")),
                ("g;x=1/./y", Some("http://a/b/c/g;x=1/y")),
                ("g;x=1/../y", Some("http://a/b/c/y")),
                ("g?y/./x", Some("http://a/b/c/g?y/./x")),
                ("g?y/../x", Some("http://a/b/c/g?y/../x")),
                ("g#s/../x", Some("http://a/b/c/g")),
                ("http:g", None),
            ],
        );
    }

    #[test]
    fn links_of_playlists_lead_to_playlists() {
        lead(
            "https://a.example/v1/master/x/y/index.m3u8?p=1",
            &[
                ("../../../manifest/x/y/s/0.m3u8", Some("https://a.example/v1/manifest/x/y/s/0.m3u8")),
                ("0.m3u8?aws.sessionId=s", Some("https://a.example/v1/master/x/y/0.m3u8?aws.sessionId=s")),
                ("/v1/z.m3u8", Some("https://a.example/v1/z.m3u8")),
                (
                    "0.m3u8?u=http://c.example/",
                    Some("https://a.example/v1/master/x/y/0.m3u8?u=http://c.example/"),
                ),
                ("?again", Some("https://a.example/v1/master/x/y/index.m3u8?again")),
                ("//b.example/z", Some("https://b.example/z")),
                ("//b.example?y", Some("https://b.example/?y")),
                ("http://c.example/z", Some("http://c.example/z")),
                ("http://c.example/x/../z", Some("http://c.example/z")),
                ("a-b+c.1://c.example", Some("a-b+c.1://c.example/")),
                ("1a://c.example/", Some("https://a.example/v1/master/x/y/1a://c.example/")),
                ("../../../../../z", Some("https://a.example/z")),
                ("./b/./../c", Some("https://a.example/v1/master/x/y/c")),
                (" 0.m3u8 #x", Some("https://a.example/v1/master/x/y/0.m3u8")),
                ("0.m3u8?", Some("https://a.example/v1/master/x/y/0.m3u8?")),
                ("a b", None),
                ("x://y z", None),
                ("data:,x", None),
            ],
        );
    }

    #[test]
    fn a_base_need_not_have_a_host() {
        lead(
            "/v1/master/a/b/i.m3u8?p=1",
            &[
                ("../../../manifest/x/1.m3u8", Some("/v1/manifest/x/1.m3u8")),
                ("1.m3u8?a=../b", Some("/v1/master/a/b/1.m3u8?a=../b")),
                ("/v1/1.m3u8", Some("/v1/1.m3u8")),
                ("", Some("/v1/master/a/b/i.m3u8?p=1")),
                ("https://b.example/z", Some("https://b.example/z")),
                ("//b.example/z", Some("http://b.example/z")),
            ],
        );
    }

    proptest! {
        #[test]
        fn whatever_an_answer_says_is_read(reference in "[ -~é]{0,48}", dots in "[./?#:a]{0,24}") {
            for base in ["http://up.example/v1/master/acct/Demo/i.m3u8", "/i.m3u8", "*", "up.example:80"] {
                let base = Uri::from_static(base);
                for reference in [&reference, &dots] {
                    if let Some(uri) = resolve(&base, reference) {
                        prop_assert!(uri.path().split('/').all(|segment| !matches!(segment, "." | "..")));
                    }
                }
            }
        }
    }
}
