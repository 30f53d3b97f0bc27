use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the emulator answers with: always the whole of it at once.
pub(in crate::emulator) type Answer = Response<Bytes>;

/// The type of a playlist. AWS's documents do not say which of the two that are common it is.
pub(in crate::emulator) const PLAYLIST: &str = "application/vnd.apple.mpegurl";
pub(in crate::emulator) const JSON: &str = "application/json";

/// What went wrong, by the names of AWS's documents ("playback errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "&'static str")]
pub(in crate::emulator) enum Exception {
    BadRequest,
    AccessDenied,
    NotFound,
    /// Not among AWS's: what a method that no path takes gets.
    MethodNotAllowed,
    Conflict,
    Gone,
    Internal,
    BadGateway,
    UnsupportedManifest,
    LoadShed,
    Throttling,
    GatewayTimeout,
}

/// Marks an answer as one that something else than the service wrote: it has none of the service's headers.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct Foreign;

/// A request that gets an exception in place of what it asked for.
#[derive(Debug)]
pub(in crate::emulator) struct Refused {
    exception: Exception,
    message: String,
}

// === impl Exception ===

impl Exception {
    /// All of AWS's. Where two have a status, the one that it has without more being known comes first.
    const ALL: [Self; 11] = [
        Self::BadRequest,
        Self::AccessDenied,
        Self::NotFound,
        Self::Conflict,
        Self::Gone,
        Self::Internal,
        Self::BadGateway,
        Self::UnsupportedManifest,
        Self::LoadShed,
        Self::Throttling,
        Self::GatewayTimeout,
    ];

    /// One with a status, if AWS has one.
    pub(in crate::emulator) fn with(status: StatusCode) -> Option<Self> {
        Self::ALL.into_iter().find(|exception| exception.status() == status)
    }

    pub(in crate::emulator) fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequestException",
            Self::AccessDenied => "AccessDeniedException",
            Self::NotFound => "NotFoundException",
            Self::MethodNotAllowed => "MethodNotAllowedException",
            Self::Conflict => "ConflictException",
            Self::Gone => "Gone",
            Self::Internal => "InternalServiceError",
            Self::BadGateway => "BadGatewayException",
            Self::UnsupportedManifest => "UnsupportedManifestException",
            Self::LoadShed => "LoadShed",
            Self::Throttling => "ThrottlingException",
            Self::GatewayTimeout => "GatewayTimeoutException",
        }
    }

    /// The one with a status that a lost session may have: both are documented.
    pub(in crate::emulator) fn of_lost(status: StatusCode) -> Self {
        if status == StatusCode::NOT_FOUND { Self::NotFound } else { Self::BadRequest }
    }

    pub(in crate::emulator) fn refuse(self, message: impl Into<String>) -> Refused {
        Refused { exception: self, message: message.into() }
    }

    pub(in crate::emulator) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::AccessDenied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGateway | Self::UnsupportedManifest => StatusCode::BAD_GATEWAY,
            Self::LoadShed | Self::Throttling => StatusCode::SERVICE_UNAVAILABLE,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The error as the service writes it.
    pub(in crate::emulator) fn answer(self, message: &str) -> Answer {
        error(self.status(), Some(self), message)
    }
}

impl TryFrom<String> for Exception {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::ALL.into_iter().find(|exception| exception.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is no exception of MediaTailor's; write one of {names}")
        })
    }
}

impl From<Exception> for &'static str {
    fn from(exception: Exception) -> Self {
        exception.name()
    }
}

// === impl Refused ===

impl Refused {
    pub(in crate::emulator) fn answer(&self) -> Answer {
        self.exception.answer(&self.message)
    }
}

/// An error as the service writes it, with or without its name.
pub(in crate::emulator) fn error(status: StatusCode, named: Option<Exception>, message: &str) -> Answer {
    let body = serde_json::json!({ "message": message }).to_string();
    let mut answer = ok(JSON, body);
    *answer.status_mut() = status;
    let kind = named
        .map(|named| format!("{}:http://internal.amazon.com/coral/com.amazon.mediatailor/", named.name()));
    if let Some(Ok(kind)) = kind.map(|kind| HeaderValue::from_str(&kind)) {
        answer.headers_mut().insert("x-amzn-errortype", kind);
    }
    answer
}

/// 200 with a body.
pub(in crate::emulator) fn ok(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A redirect.
pub(in crate::emulator) fn redirect(status: StatusCode, to: &str) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    match HeaderValue::from_str(to) {
        Ok(to) => drop(answer.headers_mut().insert(header::LOCATION, to)),
        Err(_) => return Exception::BadRequest.answer("the redirect's target is no URI"),
    }
    answer
}

/// The answer to a CORS preflight.
pub(in crate::emulator) fn preflight(asked: &HeaderMap) -> Answer {
    let mut answer = Response::new(Bytes::new());
    let headers = answer.headers_mut();
    let allowed = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        allowed.unwrap_or_else(|| HeaderValue::from_static("*")),
    );
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    answer
}

/// Compresses what is text, which the service does if the client asked for it and not otherwise, as documented.
fn compress(answer: Answer) -> Answer {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let text = kind.is_some_and(|kind| [PLAYLIST, JSON].iter().any(|text| kind == text));
    if !text || answer.body().is_empty() {
        return answer;
    }
    let (mut head, plain) = answer.into_parts();
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 2), Compression::fast());
    // Writing to a Vec cannot fail; were it to, the plain bytes serve as well.
    let Ok(packed) = encoder.write_all(&plain).and_then(|()| encoder.finish()) else {
        return Response::from_parts(head, plain);
    };
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Response::from_parts(head, Bytes::from(packed))
}

/// Last touches that every answer gets: its id, CORS, its length, and no body for HEAD.
pub(in crate::emulator) fn finish(
    answer: Answer,
    id: Uuid,
    asked: (Method, bool),
    cors_on_errors: bool,
) -> Answer {
    let (method, gzip) = asked;
    let answer = if gzip { compress(answer) } else { answer };
    let (mut head, body) = answer.into_parts();
    let failed = head.status.is_client_error() || head.status.is_server_error();
    let foreign = head.extensions.get::<Foreign>().is_some();
    let id = HeaderValue::from_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    if let Some(id) = id.ok().filter(|_| !foreign) {
        head.headers.insert("x-amzn-requestid", id);
    }
    if !foreign && (cors_on_errors || !failed) {
        head.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        head.headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let body = if method == Method::HEAD { Bytes::new() } else { body };
    Response::from_parts(head, body)
}

/// Whether a client takes gzip.
pub(in crate::emulator) fn wants_gzip(asked: &HeaderMap) -> bool {
    let refused = |parameters: &str| {
        let quality = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
        quality.is_some_and(|quality| quality.trim().parse().is_ok_and(|quality: f32| quality <= 0.0))
    };
    let values = asked.get_all(header::ACCEPT_ENCODING).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !refused(parameters)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn asked(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for value in ["gzip", "deflate, GZIP;q=0.5", "br, gzip; q=1"] {
            assert!(wants_gzip(&asked(value)), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "gzip; q=0.0", "identity"] {
            assert!(!wants_gzip(&asked(value)), "{value}");
        }
        assert!(!wants_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_playlist_is_packed_and_media_is_not() {
        let packed = finish(ok(PLAYLIST, "#EXTM3U\n"), Uuid::nil(), (Method::GET, true), true);
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&packed.body()[..]).read_to_string(&mut plain).expect("gzip");
        assert_eq!(plain, "#EXTM3U\n");
        let media = finish(ok("video/mp2t", "x"), Uuid::nil(), (Method::GET, true), true);
        assert!(media.headers().get(header::CONTENT_ENCODING).is_none());
    }

    #[test]
    fn head_has_the_length_and_no_body() {
        let answer = finish(ok(PLAYLIST, "12345"), Uuid::nil(), (Method::HEAD, false), true);
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "5");
        assert!(answer.body().is_empty());
    }

    #[test]
    fn errors_are_written_as_the_service_writes_them() {
        let answer = finish(Exception::Conflict.answer("a \"b\""), Uuid::nil(), (Method::GET, false), false);
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        let name = answer.headers()["x-amzn-errortype"].to_str().expect("text");
        assert!(name.starts_with("ConflictException:http://internal.amazon.com/coral/"), "{name}");
        assert_eq!(answer.body(), &Bytes::from(r#"{"message":"a \"b\""}"#));
        assert!(answer.headers().contains_key("x-amzn-requestid"));
        assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
