use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use crate::serialize::{self, ErrorKind};

/// The body of what a player gets: an answer through the lanes, or one made here.
pub(super) type Body = Either<serialize::Body<Incoming>, Full<Bytes>>;

/// Turns an error into an answer that a player's page can read and a person understands.
pub(super) fn of_error(error: &serialize::Error) -> Response<Body> {
    let (detail, remedy) = match error.kind() {
        ErrorKind::MalformedSession => (
            "the session id in the URL is malformed",
            "use the playlist address that MediaTailor gave, unchanged",
        ),
        ErrorKind::LaneFull => (
            "too many requests of this session, or of all, wait for their turn",
            "load a session's playlists one at a time; operators: see --depth and --waiting",
        ),
        ErrorKind::TimedOut | ErrorKind::HeldTooLong => (
            "the upstream did not answer in time",
            "load the playlist again; operators: see --answer-within and --max-hold",
        ),
        ErrorKind::Closed => ("the proxy is shutting down", "load the playlist again"),
        _ => ("the upstream's answer failed", "load the playlist again"),
    };
    made_here(error.status(), detail, remedy)
}

/// A request that no proxy can pass on.
pub(super) fn bad_request(detail: &str, remedy: &str) -> Response<Body> {
    made_here(StatusCode::BAD_REQUEST, detail, remedy)
}

/// An answer that is not the upstream's: readable across origins, never cached (RFC 9457 for its body).
fn made_here(status: StatusCode, detail: &str, remedy: &str) -> Response<Body> {
    let problem = serde_json::json!({
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "remedy": remedy,
    });
    let mut response = Response::new(Either::Right(Full::from(problem.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
