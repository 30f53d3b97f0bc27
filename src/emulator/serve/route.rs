use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use uuid::Uuid;

/// What a request's path asks for.
///
/// Read apart from [`crate::session`] on purpose: whoever tests that module against the emulator has two
/// readers of MediaTailor's URLs that agree or do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Route<'a> {
    /// A multivariant playlist; it makes a session unless it names one.
    Master {
        home: Home<'a>,
        asset: &'a str,
    },
    /// A media playlist. Without a configuration in the path it is the shape printed on one page of AWS's.
    Media {
        account: &'a str,
        configuration: Option<&'a str>,
        session: &'a str,
        number: u32,
    },
    /// The creation of a session.
    Create {
        home: Home<'a>,
        asset: &'a str,
    },
    /// Ad breaks for client-side reporting.
    Tracking {
        home: Home<'a>,
        session: &'a str,
    },
    /// An ad segment of HLS or DASH, answered with a redirect.
    Segment {
        session: &'a str,
        number: u32,
        sequence: u64,
    },
    /// A DASH manifest.
    Dash {
        home: Home<'a>,
        asset: &'a str,
    },
    /// A media playlist for server-guided ads, the same for every viewer.
    Guided {
        number: u32,
    },
    /// The list of ads behind an interstitial.
    AssetList {
        number: u64,
    },
    /// The filler for captions that an ad lacks.
    Captions,
    /// Media: of the content, or of an ad.
    Content(&'a str),
    Ad(&'a str),
    /// The emulator's own pages.
    Own(&'a str),
    Nothing,
}

/// Whose stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) struct Home<'a> {
    pub(in crate::emulator) account: &'a str,
    pub(in crate::emulator) configuration: &'a str,
}

// === impl Route ===

impl<'a> Route<'a> {
    pub(in crate::emulator) fn of(path: &'a str) -> Self {
        let Some((root, rest)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
            return Self::Nothing;
        };
        match root {
            "content" => Self::Content(rest),
            "tm" => Self::Ad(rest),
            "__emulator" => Self::Own(rest),
            "v1" => {
                rest.split_once('/').and_then(|(kind, rest)| Self::v1(kind, rest)).unwrap_or(Self::Nothing)
            }
            _ => Self::Nothing,
        }
    }

    fn v1(kind: &str, rest: &'a str) -> Option<Self> {
        match kind {
            "master" => Home::and_rest(rest)
                .filter(|(_, asset)| asset.ends_with(".m3u8"))
                .map(|(home, asset)| Self::Master { home, asset }),
            "session" => Home::and_rest(rest)
                .filter(|(_, asset)| asset.ends_with(".m3u8") || asset.ends_with(".mpd"))
                .map(|(home, asset)| Self::Create { home, asset }),
            "dash" => Home::and_rest(rest)
                .filter(|(_, asset)| asset.ends_with(".mpd"))
                .map(|(home, asset)| Self::Dash { home, asset }),
            "tracking" => Home::and_rest(rest)
                .map(|(home, session)| (home, session.strip_suffix('/').unwrap_or(session)))
                .filter(|(_, session)| !session.is_empty() && !session.contains('/'))
                .map(|(home, session)| Self::Tracking { home, session }),
            "manifest" => Self::media(rest),
            "segment" | "dashsegment" => Self::segment(rest),
            "i-media" => Some(Self::Guided { number: number_of(rest.rsplit('/').next()?)? }),
            "interstitials" => Some(Self::AssetList {
                number: rest.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()?,
            }),
            "webvtt" => Some(Self::Captions),
            _ => None,
        }
    }

    fn media(rest: &'a str) -> Option<Self> {
        let parts: Vec<&str> = rest.split('/').collect();
        let (account, configuration, session, file) = match parts[..] {
            [account, configuration, session, file] => (account, Some(configuration), session, file),
            [account, session, file] => (account, None, session, file),
            _ => return None,
        };
        Some(Self::Media { account, configuration, session, number: number_of(file)? })
    }

    fn segment(rest: &'a str) -> Option<Self> {
        let parts: Vec<&str> = rest.split('/').collect();
        let ([_, _, session, number, sequence] | [_, session, number, sequence]) = parts[..] else {
            return None;
        };
        let sequence = sequence.split_once('.').map_or(sequence, |(sequence, _)| sequence);
        Some(Self::Segment { session, number: number.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

fn number_of(file: &str) -> Option<u32> {
    file.strip_suffix(".m3u8")?.parse().ok()
}

// === impl Home ===

impl<'a> Home<'a> {
    fn and_rest(rest: &'a str) -> Option<(Self, &'a str)> {
        let (account, rest) = rest.split_once('/')?;
        let (configuration, rest) = rest.split_once('/')?;
        let there = !account.is_empty() && !configuration.is_empty() && !rest.is_empty();
        there.then_some((Self { account, configuration }, rest))
    }
}

/// The way from a multivariant playlist up to `/v1/`: three folders and those of the asset.
pub(in crate::emulator) fn up_from_master(asset: &str) -> String {
    "../".repeat(3 + asset.matches('/').count())
}

/// The way from a media playlist up to `/v1/`.
pub(in crate::emulator) fn up_from_media(configuration: Option<&str>) -> &'static str {
    match configuration {
        Some(_) => "../../../../",
        None => "../../../",
    }
}

/// A query's pairs, decoded, in their order.
pub(in crate::emulator) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text| percent_decode_str(text).decode_utf8_lossy();
        (decode(key), decode(value))
    })
}

/// The session that a query names: `aws.sessionId`, else a UUID in `sessionId`; anything else there is a
/// parameter of the origin's.
pub(in crate::emulator) fn session_in(query: &str) -> Option<Cow<'_, str>> {
    let named = |name: &str| pairs(query).find(|(key, _)| key == name).map(|(_, value)| value);
    let bare = || named("sessionId").filter(|value| value.len() == 36 && Uuid::try_parse(value).is_ok());
    named("aws.sessionId").or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Home<'_> = Home { account: "9f3c", configuration: "News" };

    #[test]
    fn reads_every_shape() {
        let media = |configuration| Route::Media { account: "9f3c", configuration, session: "s", number: 3 };
        for (path, route) in [
            ("/v1/master/9f3c/News/index.m3u8", Route::Master { home: HOME, asset: "index.m3u8" }),
            ("/v1/master/9f3c/News/a/b/i.m3u8", Route::Master { home: HOME, asset: "a/b/i.m3u8" }),
            ("/v1/manifest/9f3c/News/s/3.m3u8", media(Some("News"))),
            ("/v1/manifest/9f3c/s/3.m3u8", media(None)),
            ("/v1/session/9f3c/News/a/i.m3u8", Route::Create { home: HOME, asset: "a/i.m3u8" }),
            ("/v1/tracking/9f3c/News/s", Route::Tracking { home: HOME, session: "s" }),
            ("/v1/tracking/9f3c/News/s/", Route::Tracking { home: HOME, session: "s" }),
            ("/v1/segment/9f3c/News/s/0/41201", Route::Segment { session: "s", number: 0, sequence: 41201 }),
            ("/v1/segment/News/s/0/41201", Route::Segment { session: "s", number: 0, sequence: 41201 }),
            (
                "/v1/dashsegment/9f3c/News/s/0/41201",
                Route::Segment { session: "s", number: 0, sequence: 41201 },
            ),
            ("/v1/dash/9f3c/News/a.mpd", Route::Dash { home: HOME, asset: "a.mpd" }),
            ("/v1/i-media/9f3c/News/a/2.m3u8", Route::Guided { number: 2 }),
            ("/v1/interstitials/9f3c/News/7.json", Route::AssetList { number: 7 }),
            ("/content/v0/1.ts", Route::Content("v0/1.ts")),
            ("/tm/v0/1.ts", Route::Ad("v0/1.ts")),
            ("/__emulator/stats", Route::Own("stats")),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
        for path in [
            "/",
            "",
            "*",
            "/v1",
            "/v1/master/9f3c/index.m3u8",
            "/v1/manifest/9f3c/News/s/x.m3u8",
            "/v1/manifest/9f3c/News/s/more/3.m3u8",
            "/v1/master/9f3c/News/index.ts",
            "/v1/segment/s/0/1",
            "/cdn/v1/master/9f3c/News/index.m3u8",
        ] {
            assert_eq!(Route::of(path), Route::Nothing, "{path}");
        }
    }

    #[test]
    fn ways_up_lead_to_v1() {
        assert_eq!(up_from_master("index.m3u8"), "../../../");
        assert_eq!(up_from_master("out/v1/group/channel/x/index.m3u8"), "../".repeat(8));
        assert_eq!(up_from_media(Some("News")), "../../../../");
        assert_eq!(up_from_media(None), "../../../");
    }

    #[test]
    fn the_session_of_a_query() {
        assert_eq!(session_in("tok=1&aws.sessionId=a%2Db&sessionId=c").as_deref(), Some("a-b"));
        const ID: &str = "6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901";
        assert_eq!(session_in(&format!("sessionId={ID}")).as_deref(), Some(ID));
        assert_eq!(session_in("sessionId=c"), None);
        assert_eq!(session_in("AWS.SESSIONID=c"), None);
    }
}
