//! Addresses in answers, and the session in them.

use http::{Uri, uri::PathAndQuery};

use crate::session::{Kind, Route};

/// The address that a link in the answer to `base` leads to, at the same upstream whatever host it names: players
/// follow it through the same proxy (RFC 3986 section 5.2).
pub(super) fn follow(base: &Uri, link: &str) -> Option<Uri> {
    let link = link.split('#').next()?.trim();
    let scheme_end = link.find("://").filter(|end| !link[..*end].contains(['/', '?']));
    let path = if let Some(end) = scheme_end {
        from_host(&link[end + 3..])
    } else if let Some(rest) = link.strip_prefix("//") {
        from_host(rest)
    } else if link.starts_with('/') {
        link.to_owned()
    } else {
        relative(base.path(), link)?
    };
    at(base, &path)
}

/// The same URL with another session's id, as a URL has it, in the place of its own. For media playlists and
/// tracking; `None` for all others.
pub(super) fn with_session(uri: &Uri, kind: Kind, id: &str) -> Option<Uri> {
    let path = uri.path();
    let changed = match kind {
        Kind::Media => {
            let (folder, name) = path.rsplit_once('/')?;
            format!("{}/{id}/{name}", folder.rsplit_once('/')?.0)
        }
        Kind::Tracking => {
            let bare = path.strip_suffix('/').unwrap_or(path);
            format!("{}/{id}{}", bare.rsplit_once('/')?.0, &path[bare.len()..])
        }
        _ => return None,
    };
    let changed = match uri.query() {
        Some(query) => format!("{changed}?{query}"),
        None => changed,
    };
    at(uri, &changed).filter(|uri| session(uri) == Some(id))
}

/// The session in a URL, as it stands there.
pub(super) fn session(uri: &Uri) -> Option<&str> {
    Route::of(uri.path(), uri.query()).session
}

fn at(base: &Uri, path: &str) -> Option<Uri> {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// What follows the host in the rest of an absolute address.
fn from_host(rest: &str) -> String {
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => rest[at..].to_owned(),
        Some(at) => format!("/{}", &rest[at..]),
        None => "/".to_owned(),
    }
}

fn relative(base: &str, link: &str) -> Option<String> {
    let (path, query) = link.split_once('?').map_or((link, None), |(path, query)| (path, Some(query)));
    let mut folders: Vec<&str> = base.split('/').collect();
    if path.is_empty() {
        return None;
    }
    folders.pop();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                // The first is what stands before the first slash: nothing.
                if segment == ".." && folders.len() > 1 {
                    folders.pop();
                }
                if segments.peek().is_none() {
                    folders.push("");
                }
            }
            segment => folders.push(segment),
        }
    }
    let path = folders.join("/");
    Some(query.map_or(path.clone(), |query| format!("{path}?{query}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_are_followed_as_players_do() {
        let base = Uri::from_static("http://up.example/cdn/v1/master/acct/Demo/a/i.m3u8?x=1");
        for (link, path) in [
            ("../../../../manifest/acct/Demo/s/0.m3u8?tok=1", "/cdn/v1/manifest/acct/Demo/s/0.m3u8?tok=1"),
            ("../../../../../../../../manifest", "/manifest"),
            ("0.m3u8#x", "/cdn/v1/master/acct/Demo/a/0.m3u8"),
            ("./b/./../c", "/cdn/v1/master/acct/Demo/a/c"),
            ("..", "/cdn/v1/master/acct/Demo/"),
            ("/v1/manifest/acct/Demo/s/0.m3u8", "/v1/manifest/acct/Demo/s/0.m3u8"),
            ("https://other.example/v1/x?y", "/v1/x?y"),
            ("//other.example?y", "/?y"),
            ("x?u=http://other.example/", "/cdn/v1/master/acct/Demo/a/x?u=http://other.example/"),
        ] {
            let led = follow(&base, link).map(|uri| uri.to_string());
            assert_eq!(led, Some(format!("http://up.example{path}")), "{link}");
        }
        assert_eq!(follow(&base, ""), None);
        assert_eq!(follow(&base, "a b"), None);
    }

    #[test]
    fn the_session_is_replaced_and_nothing_else() {
        for (kind, from, to) in [
            (Kind::Media, "/v1/manifest/a/c/old/0.m3u8", Some("/v1/manifest/a/c/new/0.m3u8")),
            (Kind::Media, "/v1/manifest/a/old/0.m3u8?old&x=%20", Some("/v1/manifest/a/new/0.m3u8?old&x=%20")),
            (
                Kind::Media,
                "/old/v1/manifest/old/old/old/old.m3u8",
                Some("/old/v1/manifest/old/old/new/old.m3u8"),
            ),
            (Kind::Tracking, "/v1/tracking/a/c/old", Some("/v1/tracking/a/c/new")),
            (Kind::Tracking, "/v1/tracking/a/c/old/?t=1", Some("/v1/tracking/a/c/new/?t=1")),
            (Kind::Multivariant, "/v1/master/a/c/i.m3u8?aws.sessionId=old", None),
            (Kind::Segment, "/v1/segment/a/c/old/0/1", None),
            (Kind::Media, "/old", None),
        ] {
            let uri: Uri = from.parse().expect("a URI");
            assert_eq!(with_session(&uri, kind, "new").map(|uri| uri.to_string()).as_deref(), to, "{from}");
        }
        assert_eq!(with_session(&Uri::from_static("/v1/manifest/a/c/s/0.m3u8"), Kind::Media, "a/b"), None);
    }

    proptest! {
        #[test]
        fn whatever_an_answer_says_is_read(link in "[ -~é]{0,48}", dots in "[./?#:a]{0,24}") {
            let base = Uri::from_static("http://up.example/v1/master/acct/Demo/i.m3u8");
            for link in [link, dots] {
                if let Some(uri) = follow(&base, &link) {
                    prop_assert_eq!(uri.host(), Some("up.example"));
                }
            }
        }
    }
}
