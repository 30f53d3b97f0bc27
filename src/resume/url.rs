//! Addresses in answers, and the session in them.

use http::{Uri, uri::PathAndQuery};

use crate::session::{Kind, Route, link};

/// The address that a link in the answer to `base` leads to, at the same upstream whatever host it names: players
/// follow it through the same proxy. `None` for one back to that answer.
pub(super) fn follow(base: &Uri, link: &str) -> Option<Uri> {
    let link = link.trim();
    if link.is_empty() || link.starts_with(['?', '#']) {
        return None;
    }
    at(base, link::resolve(base, link)?.path_and_query()?.as_str())
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
        for nowhere in ["", "?y", "#y", "a b"] {
            assert_eq!(follow(&base, nowhere), None, "{nowhere}");
        }
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
