use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use super::forward::strip_hop_by_hop;
use crate::serialize::{self, ErrorKind};

/// The body of what a player gets: an answer through the lanes, or one made here.
pub(super) type Body = Either<serialize::Body<Incoming>, Full<Bytes>>;

/// Makes an upstream's answer the player's: what belongs to the connection it came on stays behind.
pub(super) fn of_upstream(response: Response<serialize::Body<Incoming>>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if head.status.is_informational() {
        // No upgrade was asked for, so there is none to pass on.
        return made_here(
            StatusCode::BAD_GATEWAY,
            "the upstream switched to another protocol, which nobody asked for",
            "load the playlist again; operators: see what --upstream names",
        );
    }
    one_length(&mut head.headers);
    strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    Response::from_parts(head, Either::Left(body))
}

/// Leaves one `Content-Length` at most, and none that the body was not framed by: what reads the answer next
/// could take its rest for another one (RFC 9112 section 6.3).
fn one_length(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return };
    if lengths.next().is_none() && length.as_bytes().iter().all(u8::is_ascii_digit) {
        return;
    }
    // The client has made sure that all are the same.
    let first = length.to_str().ok().and_then(|all| all.split(',').next());
    match first.and_then(|first| HeaderValue::from_str(first.trim()).ok()) {
        Some(first) => drop(headers.insert(header::CONTENT_LENGTH, first)),
        None => drop(headers.remove(header::CONTENT_LENGTH)),
    }
}

/// No answer in time.
pub(super) fn too_late() -> Response<Body> {
    made_here(
        StatusCode::GATEWAY_TIMEOUT,
        "the upstream did not answer in time",
        "load the playlist again; operators: see --answer-within and --max-hold",
    )
}

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
        ErrorKind::TimedOut | ErrorKind::HeldTooLong => return too_late(),
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
