use std::borrow::Cow;

use http::Uri;

use crate::session::{Kind, Route};

/// Whether a player that follows this `Location` gets anything but a media playlist of the session that it
/// asked for one of, through the session's lane.
pub(super) fn leads_away(location: &str, asked: &Uri) -> bool {
    let Some(target) = within(location, asked) else { return true };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*target, None),
    };
    let (own, other) = (Route::of(asked.path(), asked.query()), Route::of(path, query));
    other.kind != Kind::Media
        || other.session != own.session
        || path.split('/').any(|segment| segment == "..")
}

/// Path and query of a `Location` by the host that was asked; `None` for one by another (RFC 3986 section 5.2).
fn within<'a>(location: &'a str, asked: &Uri) -> Option<Cow<'a, str>> {
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match location.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
        Some((_, rest)) => {
            let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let own = asked.authority()?.as_str();
            own.eq_ignore_ascii_case(host).then(|| path.into())
        }
        None if location.starts_with("//") => None,
        None if location.starts_with('/') => Some(location.into()),
        None if location.starts_with('?') => Some(format!("{}{location}", asked.path()).into()),
        None => {
            let folder = asked.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            Some(format!("{folder}/{location}").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_away_or_stays() {
        let asked = Uri::from_static("http://far.example/v1/manifest/a/c/s/0.m3u8?x=1");
        for stays in [
            "/v1/manifest/a/c/s/1.m3u8",
            "/prefix/v1/manifest/a/c/s/0.m3u8?back=http://x/",
            "1.m3u8",
            "?x=2",
            "http://far.example/v1/manifest/a/c/s/1.m3u8",
            "https://FAR.example/v1/manifest/a/c/s/1.m3u8?y",
        ] {
            assert!(!leads_away(stays, &asked), "{stays}");
        }
        for away in [
            "",
            "/",
            "/login?next=/v1/manifest/a/c/s/0.m3u8",
            "../t/1.m3u8",
            "/v1/manifest/a/c/other/0.m3u8",
            "/v1/master/a/c/i.m3u8",
            "https://login.example/v1/manifest/a/c/s/1.m3u8",
            "//far.example/v1/manifest/a/c/s/1.m3u8",
            "http://far.example:81/v1/manifest/a/c/s/1.m3u8",
            "http://far.example",
            "x://y z",
        ] {
            assert!(leads_away(away, &asked), "{away}");
        }
    }
}
