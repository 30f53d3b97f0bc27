use http::Method;

use super::{Extracted, Kind};

/// How a request creates a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// In the usual way, and it is one of HLS.
    Hls,
    /// In the usual way, and it is one of DASH.
    Dash,
    /// By a method that no player creates one by, or under an id that cannot be one: sent twice, it may create two all the same.
    Unusual,
}

// === impl Extracted ===

impl Extracted {
    /// How such a request creates a session, if it does.
    pub(crate) fn creation(&self, method: &Method) -> Option<Creation> {
        let is_get = *method == Method::GET;
        match (self.kind, &self.session) {
            (Kind::SessionCreation, _) if is_get || *method == Method::POST => Some(Creation::Hls),
            (Kind::Multivariant, Ok(None)) if is_get => Some(Creation::Hls),
            (Kind::Dash, Ok(None)) if is_get => Some(Creation::Dash),
            (Kind::SessionCreation, _) => Some(Creation::Unusual),
            (Kind::Multivariant | Kind::Dash, Ok(None) | Err(_)) => Some(Creation::Unusual),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::session::MediaTailor;

    #[test]
    fn what_creates_a_session_does_so_by_kind_and_method() {
        let (master, dash) = ("/v1/master/acct/Cfg/a.m3u8", "/v1/dash/acct/Cfg/a.mpd");
        let (session, media) = ("/v1/session/acct/Cfg/a.m3u8", "/v1/manifest/acct/Cfg/s/0.m3u8");
        let with = |uri: &str, id: &str| format!("{uri}?aws.sessionId={id}");
        for (uri, get, post, head) in [
            (master.to_owned(), Some(Creation::Hls), Some(Creation::Unusual), Some(Creation::Unusual)),
            (dash.to_owned(), Some(Creation::Dash), Some(Creation::Unusual), Some(Creation::Unusual)),
            (session.to_owned(), Some(Creation::Hls), Some(Creation::Hls), Some(Creation::Unusual)),
            (with(session, "s"), Some(Creation::Hls), Some(Creation::Hls), Some(Creation::Unusual)),
            (with(master, "s"), None, None, None),
            (with(dash, "s"), None, None, None),
            (with(master, "a%00"), Some(Creation::Unusual), Some(Creation::Unusual), Some(Creation::Unusual)),
            (media.to_owned(), None, None, None),
            ("/v1/segment/acct/Cfg/s/0/1".to_owned(), None, None, None),
            ("/".to_owned(), None, None, None),
        ] {
            for (method, creation) in
                [(Method::GET, get), (Method::POST, post), (Method::HEAD, head), (Method::OPTIONS, None)]
            {
                let request = Request::builder().method(&method).uri(&uri).body(()).expect("a request");
                let extracted = Extracted::of(&request.into_parts().0, &MediaTailor::new());
                assert_eq!(extracted.creation(&method), creation, "{method} {uri}");
            }
        }
    }
}
