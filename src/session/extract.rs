use std::borrow::Cow;

use http::{Method, request::Parts, uri::Authority};
use percent_encoding::percent_decode_str;

use super::{Creation, Kind, MalformedId, Route, SessionId, SessionKey, normal::normal, scope::Scope};

/// Tells which session a request belongs to.
///
/// A closure from a request's head to an optional key is one; what it names is taken for a [`Kind::Media`]
/// request, the rest for [`Kind::Other`]. Let it name the session of playlists alone: the stages of a whole
/// [`Stack`](crate::stack::Stack) take a segment that is named so for a playlist that cannot be read.
///
/// ```
/// use onelane::session::{Extract, SessionId, SessionKey};
///
/// let by_header = |parts: &http::request::Parts| {
///     let id = parts.headers.get("x-viewer")?.to_str().ok()?;
///     parts.uri.path().ends_with(".m3u8").then_some(())?;
///     Some(SessionKey::new(None, None, SessionId::parse(id).ok()?))
/// };
/// # fn is_extract(_: impl Extract) {}
/// # is_extract(by_header);
/// ```
///
/// It is called once for each request, before anything is waited for: it must not block.
pub trait Extract {
    /// Reads the head of a request.
    fn extract(&self, parts: &Parts) -> Extracted;

    /// The key of all requests that create a session of the same stream: what the upstream refuses of them counts together, and for
    /// the playback configuration as well. `None`, as by default, for every other request, and where that is not to be told.
    fn creates(&self, _parts: &Parts) -> Option<SessionKey> {
        None
    }
}

/// In the extensions of a request that creates a session: the key of [all that create one of its stream](Extract::creates).
#[derive(Debug, Clone)]
pub(crate) struct Creates(pub(crate) SessionKey);

/// What an [`Extract`] found in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// What the request asks for.
    pub kind: Kind,
    /// Whose it is: `None` where no session is named, an error where what is named cannot be one.
    pub session: Result<Option<SessionKey>, MalformedId>,
}

/// Reads AWS Elemental MediaTailor's URLs; see [`Route`].
///
/// The key is made of the upstream's authority, the playback configuration and the session id, as [`SessionKey`] tells. The `Host`
/// header is never read for it, since a player could give each of its requests a lane of its own that way. A path that names no session
/// as it is may do so as servers resolve it, without dot segments and empty ones: some clients glue a link to what they had it from.
/// Segments get no key: they need no lane.
#[derive(Debug, Clone)]
pub struct MediaTailor {
    /// The authority, hashed; `None` to take it from each request's URI.
    scope: Option<Scope>,
}

// === impl Extracted ===

impl Extracted {
    /// What [`NameLayer`](super::NameLayer) found in a request, or else what `extract` finds now.
    ///
    /// A CORS preflight is [`Kind::Other`], whatever its URL names: it asks for nothing of a session.
    pub fn of(parts: &Parts, extract: &impl Extract) -> Self {
        parts.extensions.get().cloned().unwrap_or_else(|| Self::by(extract, parts))
    }

    pub(crate) fn by(extract: &impl Extract, parts: &Parts) -> Self {
        match parts.method {
            Method::OPTIONS => Self { kind: Kind::Other, session: Ok(None) },
            _ => extract.extract(parts),
        }
    }

    /// The session's key, if one is named as it should be.
    pub fn key(&self) -> Option<&SessionKey> {
        self.session.as_ref().ok().and_then(Option::as_ref)
    }
}

// === impl MediaTailor ===

impl MediaTailor {
    /// Takes the upstream's authority from a request's URI where it has one, as it does in a client's stack.
    ///
    /// A server's stack has to name its [`upstream`](Self::upstream), unless the URI was rewritten before: in an absolute-form
    /// target (RFC 9112 section 3.2.2) and in HTTP/2's `:authority` it is the player's word, and two hosts would be two lanes.
    pub fn new() -> Self {
        Self { scope: None }
    }

    /// For one upstream: every request counts as a request to `authority`, whatever its URI says.
    #[must_use]
    pub fn upstream(self, authority: &Authority) -> Self {
        Self { scope: Some(Scope::of(Some(authority.as_str()))) }
    }

    fn read(&self, parts: &Parts, route: &Route<'_>) -> Extracted {
        let session = match (route.kind, route.session) {
            (Kind::Segment, _) | (_, None) => Ok(None),
            (_, Some(text)) => decoded(text)
                .and_then(|text| SessionId::parse(&text))
                .map(|id| Some(self.key(parts, route, id))),
        };
        Extracted { kind: route.kind, session }
    }

    fn key(&self, parts: &Parts, route: &Route<'_>, id: SessionId) -> SessionKey {
        let configuration = route.configuration.map(super::route::decoded);
        let configuration = configuration.as_deref();
        match &self.scope {
            Some(scope) => SessionKey::within(scope, configuration, id),
            None => SessionKey::new(parts.uri.authority().map(Authority::as_str), configuration, id),
        }
    }
}

impl Default for MediaTailor {
    fn default() -> Self {
        Self::new()
    }
}

impl Extract for MediaTailor {
    fn extract(&self, parts: &Parts) -> Extracted {
        let path = normal(parts.uri.path());
        self.read(parts, &route(parts, &path))
    }

    fn creates(&self, parts: &Parts) -> Option<SessionKey> {
        let path = normal(parts.uri.path());
        let route = route(parts, &path);
        match self.read(parts, &route).creation(&parts.method)? {
            Creation::Hls | Creation::Dash => {
                Some(self.key(parts, &route, SessionId::of_stream(parts.uri.path())))
            }
            Creation::Unusual => None,
        }
    }
}

/// What a request asks for, by its path or, where that names no session, by the same as servers resolve it.
fn route<'a>(parts: &'a Parts, normal: &'a str) -> Route<'a> {
    let literal = Route::of(parts.uri.path(), parts.uri.query());
    if literal.session.is_some() || normal == parts.uri.path() {
        return literal;
    }
    let resolved = Route::of(normal, parts.uri.query());
    if resolved.session.is_some() { resolved } else { literal }
}

fn decoded(text: &str) -> Result<Cow<'_, str>, MalformedId> {
    if !text.as_bytes().contains(&b'%') {
        return Ok(Cow::Borrowed(text));
    }
    percent_decode_str(text).decode_utf8().map_err(|_| MalformedId::NOT_TEXT)
}

// === impl Extract for closures ===

impl<F> Extract for F
where
    F: Fn(&Parts) -> Option<SessionKey>,
{
    fn extract(&self, parts: &Parts) -> Extracted {
        let session = self(parts);
        let kind = if session.is_some() { Kind::Media } else { Kind::Other };
        Extracted { kind, session: Ok(session) }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const SID: &str = "6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901";

    fn extract(extract: &impl Extract, uri: &str) -> Extracted {
        extract.extract(&Request::get(uri).body(()).expect("a request").into_parts().0)
    }

    fn key(uri: &str) -> Option<SessionKey> {
        extract(&MediaTailor::new(), uri).session.expect("well formed")
    }

    #[test]
    fn one_session_has_one_key_in_all_its_urls() {
        let media = key(&format!("/v1/manifest/acct/Cfg/{SID}/0.m3u8")).expect("a session");
        for other in [
            format!("/v1/manifest/acct/Cfg/{SID}/3.m3u8?tok=1"),
            format!("/prefix/v1/manifest/acct/C%66g/{SID}/0.m3u8"),
            format!("/v1/manifest/acct/Cfg/{}/0.m3u8", SID.replace('6', "%36")),
            format!("/v1/master/acct/Cfg/a/b.m3u8?aws.sessionId={SID}"),
            format!("/v1/tracking/acct/Cfg/{SID}"),
            format!("/v1/master/acct/Cfg/../../../manifest/acct/Cfg/{SID}/1.m3u8"),
            format!("/v1//manifest/acct/Cfg/{SID}/0.m3u8"),
            format!("/v1/./manifest/acct/Cfg/%2e%2E/Cfg/{SID}/0.m3u8"),
            // As one page of MediaTailor's guide prints it.
            format!("/v1/manifest/acct/{SID}/0.m3u8"),
        ] {
            assert_eq!(key(&other), Some(media.clone()), "{other}");
        }
        let token = |configuration| key(&format!("/v1/manifest/acct/{configuration}/token/0.m3u8"));
        assert_ne!(token("Cfg"), token("Other"));
    }

    #[test]
    fn the_authority_is_the_upstreams() {
        let uri = |host: &str| format!("http://{host}/v1/manifest/acct/Cfg/{SID}/0.m3u8");
        assert_ne!(key(&uri("a.example")), key(&uri("b.example")));
        assert_eq!(key(&uri("a.example")), key(&uri("A.EXAMPLE")));

        let fixed = MediaTailor::new().upstream(&Authority::from_static("origin.example"));
        assert_eq!(extract(&fixed, &uri("a.example")), extract(&fixed, &uri("b.example")));
        let id = SessionId::parse(SID).expect("a UUID");
        assert_eq!(
            extract(&fixed, &uri("a.example")).session,
            Ok(Some(SessionKey::new(Some("origin.example"), Some("Cfg"), id)))
        );
    }

    #[test]
    fn malformed_ids_are_told_from_none() {
        let malformed = |sid: &str| {
            extract(&MediaTailor::new(), &format!("/v1/manifest/acct/Cfg/{sid}/0.m3u8")).session.is_err()
        };
        assert!(malformed(""));
        assert!(malformed(&"a".repeat(4096)));
        assert!(malformed("%00%0a"));
        assert!(malformed("a%2Fb"));
        assert!(malformed(".."));
        assert!(malformed("%ff"));
        assert!(!malformed("some-token"));
        assert!(key("/v1/master/acct/Cfg/index.m3u8").is_none());
        let segment = format!("/v1/segment/acct/Cfg/{}/0/1", "b".repeat(500));
        assert!(key(&segment).is_none(), "a blob where a segment's session would be is no error");
    }

    #[test]
    fn what_creates_sessions_of_a_stream_has_a_key_in_its_configuration() {
        let creates = |method: Method, uri: &str| {
            let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
            MediaTailor::new().creates(&request.into_parts().0)
        };
        let get = |uri: &str| creates(Method::GET, uri);
        let one = get("/v1/master/acct/Cfg/a.m3u8?x=1").expect("a key");
        assert_eq!(get("/v1/master/acct/Cfg/a.m3u8?x=2"), Some(one.clone()));
        assert_ne!(get("/v1/master/acct/Cfg/b.m3u8"), Some(one.clone()));
        let session = key(&format!("/v1/manifest/acct/Cfg/{SID}/0.m3u8")).expect("a session");
        assert_eq!(one.scope_id(), session.scope_id());
        assert!(creates(Method::POST, "/v1/session/acct/Cfg/a.m3u8").is_some());
        assert!(get("/v1/dash/acct/Cfg/a.mpd").is_some());
        for (method, uri) in [
            (Method::HEAD, "/v1/master/acct/Cfg/a.m3u8"),
            (Method::GET, "/v1/dash/acct/Cfg/a.mpd?aws.sessionId=x"),
            (Method::POST, "/v1/master/acct/Cfg/a.m3u8"),
            (Method::GET, "/v1/master/acct/Cfg/a.m3u8?aws.sessionId=x"),
            (Method::OPTIONS, "/v1/session/acct/Cfg/a.m3u8"),
            (Method::GET, "/v1/manifest/acct/Cfg/x/0.m3u8"),
            (Method::GET, "/"),
        ] {
            assert_eq!(creates(method, uri), None, "{uri}");
        }
    }

    #[test]
    fn a_preflight_is_nobodys() {
        for uri in [format!("/v1/manifest/acct/Cfg/{SID}/0.m3u8"), "/v1/manifest/acct/Cfg/a%00/0.m3u8".into()]
        {
            let (head, ()) = Request::options(uri).body(()).expect("a request").into_parts();
            let found = Extracted::of(&head, &MediaTailor::new());
            assert_eq!(found, Extracted { kind: Kind::Other, session: Ok(None) });
        }
    }

    #[test]
    fn a_closure_brings_its_own_key() {
        let named = |parts: &Parts| {
            let id = parts.uri.path().strip_prefix("/watch/")?;
            Some(SessionKey::new(None, None, SessionId::parse(id).ok()?))
        };
        assert_eq!(extract(&named, "/watch/me").kind, Kind::Media);
        assert_eq!(extract(&named, "/").kind, Kind::Other);
    }
}
