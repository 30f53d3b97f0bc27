use std::fmt;

use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

use super::message;

/// The header in which MediaTailor names what went wrong: the name, a colon, a URL.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// What MediaTailor says went wrong: the rows of "Playback errors" in its user guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exception {
    /// 400: malformed, of an invalid session or configuration, or of a session that has expired.
    BadRequest,
    /// 403: the `Host` header is not the endpoint's own.
    AccessDenied,
    /// 404: the URL maps to nothing, or the session is not available.
    NotFound,
    /// 409: playlists of one session were loaded at once.
    Conflict,
    /// 410: AWS Support has blocked the session or the configuration.
    Gone,
    /// 500: an error that MediaTailor did not expect.
    InternalService,
    /// 502: the address of the origin or the ad server is not valid.
    BadGateway,
    /// 502: the origin's manifest has changed or is not supported.
    UnsupportedManifest,
    /// 503: MediaTailor has too much to do.
    LoadShed,
    /// 503: the account's quota of requests per second is used up.
    Throttling,
    /// 504: the origin did not answer MediaTailor in time.
    GatewayTimeout,
}

// === impl Exception ===

impl Exception {
    /// All of them, in the order of their statuses.
    pub const ALL: &[Self] = &[
        Self::BadRequest,
        Self::AccessDenied,
        Self::NotFound,
        Self::Conflict,
        Self::Gone,
        Self::InternalService,
        Self::BadGateway,
        Self::UnsupportedManifest,
        Self::LoadShed,
        Self::Throttling,
        Self::GatewayTimeout,
    ];

    /// Reads what an error answer says: by the name in `x-amzn-ErrorType`, else by the one in a JSON body
    /// (`__type`, `code`), else by the status alone.
    ///
    /// `None` where the status is no error, or one that MediaTailor does not document. A body that is HTML,
    /// compressed or larger than 64 KiB names nothing.
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        if !(status.is_client_error() || status.is_server_error()) {
            return None;
        }
        Self::of_headers(headers).or_else(|| Self::of_body(body)).or_else(|| Self::of_status(status))
    }

    /// Whether an answer names something, be it known here or not.
    pub(super) fn is_named(headers: &HeaderMap) -> bool {
        headers.contains_key(ERROR_TYPE)
    }

    pub(super) fn of_headers(headers: &HeaderMap) -> Option<Self> {
        Self::of_name(headers.get(ERROR_TYPE)?.to_str().ok()?)
    }

    pub(super) fn of_body(body: &[u8]) -> Option<Self> {
        let body = message::object(body)?;
        let names = ["__type", "code"].into_iter().filter_map(|key| body.get(key).and_then(Value::as_str));
        names.filter_map(Self::of_name).next()
    }

    /// The one that a status stands for where nothing is named. 429 is not documented for playback: something
    /// on the way throttles.
    fn of_status(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::BAD_REQUEST => Self::BadRequest,
            StatusCode::FORBIDDEN => Self::AccessDenied,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::GONE => Self::Gone,
            StatusCode::TOO_MANY_REQUESTS => Self::Throttling,
            StatusCode::INTERNAL_SERVER_ERROR => Self::InternalService,
            StatusCode::BAD_GATEWAY => Self::BadGateway,
            StatusCode::SERVICE_UNAVAILABLE => Self::LoadShed,
            StatusCode::GATEWAY_TIMEOUT => Self::GatewayTimeout,
            _ => return None,
        })
    }

    /// Finds a name, with or without a namespace before `#` and a URL behind the colon. AWS writes some with
    /// "Exception" at the end in one place and without it in another, so it does not count.
    fn of_name(text: &str) -> Option<Self> {
        let text = text.split(':').next().unwrap_or(text);
        let name = bare(text.rsplit('#').next().unwrap_or(text).trim());
        Self::ALL.iter().copied().find(|exception| bare(exception.name()).eq_ignore_ascii_case(name))
    }

    /// The name as MediaTailor writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequestException",
            Self::AccessDenied => "AccessDeniedException",
            Self::NotFound => "NotFoundException",
            Self::Conflict => "ConflictException",
            Self::Gone => "Gone",
            Self::InternalService => "InternalServiceError",
            Self::BadGateway => "BadGatewayException",
            Self::UnsupportedManifest => "UnsupportedManifestException",
            Self::LoadShed => "LoadShed",
            Self::Throttling => "ThrottlingException",
            Self::GatewayTimeout => "GatewayTimeoutException",
        }
    }

    /// What it means, in a sentence without its full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "the request is malformed, has an invalid parameter, or its session is invalid or has expired"
            }
            Self::AccessDenied => "the Host header is not the name of the MediaTailor endpoint",
            Self::NotFound => "the URL maps to nothing, or the session is not available any more",
            Self::Conflict => "playlists of one session were loaded at the same time",
            Self::Gone => "AWS Support has blocked the session or the playback configuration",
            Self::InternalService => "MediaTailor met an error that it did not expect",
            Self::BadGateway => {
                "the address of the origin or of the ad server is not one that MediaTailor takes"
            }
            Self::UnsupportedManifest => {
                "the origin's manifest has changed or is not supported, such as ad markers that differ between \
                 its renditions"
            }
            Self::LoadShed => "MediaTailor has too much to do at the moment",
            Self::Throttling => "the account's quota of requests per second is used up",
            Self::GatewayTimeout => "the origin did not answer MediaTailor in time",
        }
    }

    /// What to do about it, in a sentence without its full stop.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::BadRequest => "check the parameters, and start a new session",
            Self::AccessDenied => {
                "let the Host header be the endpoint's name, which is what the sidecar's --host rewrite does"
            }
            Self::NotFound => "check the URL and the playback configuration, and start a new session",
            Self::Conflict => "let every request of the session go through the same onelane, one at a time",
            Self::Gone => "ask AWS Support why, and bring the number of requests that fail with a 4xx down",
            Self::InternalService => "try again; if it stays, ask AWS Support with the request id",
            Self::BadGateway => {
                "correct the origin and the ad server in the playback configuration: no private address, no localhost"
            }
            Self::UnsupportedManifest => {
                "start a new session; if it comes back, align the ad markers of the origin's renditions"
            }
            Self::LoadShed => "try again, a little later each time",
            Self::Throttling => "load less often, or have the account's quota raised",
            Self::GatewayTimeout => {
                "try again; if it stays, see why the origin takes longer than two seconds"
            }
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name without "Exception" at its end.
fn bare(name: &str) -> &str {
    const SUFFIX: &str = "Exception";
    let start = name.len().saturating_sub(SUFFIX.len());
    match name.get(start..) {
        Some(end) if start > 0 && end.eq_ignore_ascii_case(SUFFIX) => &name[..start],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn named(name: &str) -> HeaderMap {
        HeaderMap::from_iter([(ERROR_TYPE, HeaderValue::from_str(name).expect("a header's value"))])
    }

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).expect("a status")
    }

    fn by_body(code: u16, body: &str) -> Option<Exception> {
        Exception::read(status(code), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn the_name_in_the_header_comes_first() {
        for &exception in Exception::ALL {
            for shape in ["{}:http://internal.amazon.com/coral/com.amazon.mediatailor/", "{}", "a.b#{}:x:y"] {
                let headers = named(&shape.replace("{}", exception.name()));
                assert_eq!(Exception::read(status(418), &headers, b"{}"), Some(exception), "{shape}");
            }
        }
        // Two exceptions share a status, and one may come with another's.
        let headers = named("UnsupportedManifestException:http://x");
        assert_eq!(Exception::read(status(502), &headers, b""), Some(Exception::UnsupportedManifest));
        let headers = named("throttlingexception");
        assert_eq!(Exception::read(status(400), &headers, b""), Some(Exception::Throttling));
        assert_eq!(Exception::read(status(410), &named("GoneException"), b""), Some(Exception::Gone));
    }

    #[test]
    fn an_unknown_name_says_nothing() {
        for name in ["SomethingNewException:http://x", ":http://x", "", "Exception", "#:"] {
            let read = |body| Exception::read(status(409), &named(name), body);
            assert_eq!(read(b""), Some(Exception::Conflict), "{name:?}");
            assert_eq!(read(br#"{"code":"LoadShed"}"#), Some(Exception::LoadShed), "{name:?}");
        }
        let not_text =
            HeaderMap::from_iter([(ERROR_TYPE, HeaderValue::from_bytes(b"\xff").expect("opaque"))]);
        assert_eq!(Exception::read(status(504), &not_text, b""), Some(Exception::GatewayTimeout));
    }

    #[test]
    fn the_body_may_name_it() {
        assert_eq!(by_body(502, r#"{"__type":"com.amazon.x#UnsupportedManifestException"}"#), {
            Some(Exception::UnsupportedManifest)
        });
        assert_eq!(
            by_body(503, r#"{"code":"ThrottlingException","message":"…"}"#),
            Some(Exception::Throttling)
        );
        assert_eq!(by_body(503, r#"{"__type":7,"code":"Throttling"}"#), Some(Exception::Throttling));
        // A message is free text, whatever it says.
        assert_eq!(by_body(503, r#"{"message":"ThrottlingException"}"#), Some(Exception::LoadShed));
    }

    #[test]
    fn the_status_is_the_last_resort() {
        for (code, exception) in [
            (400, Some(Exception::BadRequest)),
            (403, Some(Exception::AccessDenied)),
            (404, Some(Exception::NotFound)),
            (409, Some(Exception::Conflict)),
            (410, Some(Exception::Gone)),
            (429, Some(Exception::Throttling)),
            (500, Some(Exception::InternalService)),
            (502, Some(Exception::BadGateway)),
            (503, Some(Exception::LoadShed)),
            (504, Some(Exception::GatewayTimeout)),
            (401, None),
            (418, None),
            (200, None),
            (302, None),
        ] {
            for body in ["", "<html><h1>503</h1>", "{", "[]", "\u{1f}\u{8b}\u{8}"] {
                assert_eq!(by_body(code, body), exception, "{code} {body:?}");
            }
        }
        assert_eq!(Exception::read(status(200), &named("Gone"), b""), None, "a success is no exception");
    }

    proptest! {
        #[test]
        fn nothing_panics(code in 100_u16..1000, name: Vec<u8>, body: Vec<u8>) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&name) {
                headers.insert(ERROR_TYPE, value);
            }
            let _ = Exception::read(status(code), &headers, &body);
            let _ = Exception::of_name(&String::from_utf8_lossy(&name));
            let _ = message::message(&body);
        }
    }
}
