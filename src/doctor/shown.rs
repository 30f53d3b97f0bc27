use std::fmt;

use http::Uri;

use crate::session::ShownPath;

/// A URL as a report may hold it: without its query, which has tokens of viewers in it, without a user's name
/// and password, and with session ids as short as in logs. Reports are pasted into tickets, and whoever knows
/// a whole id can watch the session's stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a>(pub(super) &'a Uri);

// === impl Shown ===

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.0.scheme_str() {
            write!(f, "{scheme}://")?;
        }
        if let Some(authority) = self.0.authority() {
            f.write_str(authority.as_str().rsplit('@').next().unwrap_or_default())?;
        }
        ShownPath(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_queries_are_left_out() {
        for (url, shown) in [
            ("https://a.example/v1/master/x/y/i.m3u8?token=t", "https://a.example/v1/master/x/y/i.m3u8"),
            (
                "https://me:word@a.example:81/v1/manifest/x/y/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8",
                "https://a.example:81/v1/manifest/x/y/6f1b7c52…/0.m3u8",
            ),
            ("http://a/v1/tracking/x/y/some-other-token", "http://a/v1/tracking/x/y/some-oth…"),
            (
                "http://a/v1/manifest/x/y/a%20b%20c%20d%20e/0.m3u8",
                "http://a/v1/manifest/x/y/a%20b%20…/0.m3u8",
            ),
            ("http://a/tv/6F1B7C52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8?x", "http://a/tv/6f1b7c52…/0.m3u8"),
            ("/v1/master/a/b/c.m3u8?secret", "/v1/master/a/b/c.m3u8"),
        ] {
            assert_eq!(Shown(&url.parse().expect(url)).to_string(), shown);
        }
    }
}
