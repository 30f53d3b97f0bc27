use http::Uri;

use crate::session::{Kind, Route, link};

/// Whether a player that follows this `Location` gets anything but a media playlist of the session that it
/// asked for one of, through the session's lane.
pub(super) fn leads_away(location: &str, asked: &Uri) -> bool {
    // One that names nothing leads to itself.
    if location.is_empty() || location.starts_with('#') {
        return true;
    }
    let Some(target) = link::resolve(asked, location) else { return true };
    let (own, other) = (Route::of(asked.path(), asked.query()), Route::of(target.path(), target.query()));
    !link::same_host(&target, asked) || other.kind != Kind::Media || other.session != own.session
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
            "//far.example/v1/manifest/a/c/s/1.m3u8",
            "http://far.example:80/v1/manifest/a/c/s/1.m3u8",
            "../s/0.m3u8",
            "./1.m3u8",
            "/v1/manifest/a/c/t/../s/0.m3u8",
        ] {
            assert!(!leads_away(stays, &asked), "{stays}");
        }
        for away in [
            "",
            "/",
            "/login?next=/v1/manifest/a/c/s/0.m3u8",
            "#",
            "../t/1.m3u8",
            "../s/../t/1.m3u8",
            "../../../master/a/c/i.m3u8",
            "/v1/manifest/a/c/s/../t/0.m3u8",
            "/v1/manifest/a/c/other/0.m3u8",
            "/v1/master/a/c/i.m3u8",
            "https://login.example/v1/manifest/a/c/s/1.m3u8",
            "//other.example/v1/manifest/a/c/s/1.m3u8",
            "http://far.example:81/v1/manifest/a/c/s/1.m3u8",
            "http://far.example",
            "x://y z",
        ] {
            assert!(leads_away(away, &asked), "{away}");
        }
    }
}
