use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full, channel::Channel};
use serde_json::Value;

/// What the admin port answers with: something whole, or news as they come.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes, Infallible>>;

/// A page may load its own files and ask its own port, and nothing else; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Text for tools and people.
pub(super) fn text(status: StatusCode, text: String) -> Response<Body> {
    whole(status, "text/plain; version=0.0.4; charset=utf-8", text)
}

pub(super) fn json(value: &Value) -> Response<Body> {
    whole(StatusCode::OK, "application/json", value.to_string())
}

/// Why there is nothing, and what to do (RFC 9457).
pub(super) fn problem(status: StatusCode, detail: &str, remedy: &str) -> Response<Body> {
    let text = serde_json::json!({
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "remedy": remedy,
    });
    whole(status, "application/problem+json", text.to_string())
}

/// A reload that changes nothing (RFC 9457).
pub(super) fn not_reloaded(why: &str) -> Response<Body> {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let text = serde_json::json!({
        "type": "about:blank",
        "title": "not reloaded: nothing changes",
        "status": status.as_u16(),
        "detail": why,
    });
    whole(status, "application/problem+json", format!("{text}\n"))
}

/// A reload that another one keeps out (RFC 9457).
pub(super) fn reloading() -> Response<Body> {
    problem(StatusCode::CONFLICT, "a reload is under way", "ask again when it has been answered")
}

/// One of the page's own files.
pub(super) fn file(kind: &'static str, content: &'static str) -> Response<Body> {
    whole(StatusCode::OK, kind, content)
}

/// News as they come.
pub(super) fn events(channel: Channel<Bytes, Infallible>) -> Response<Body> {
    answer(StatusCode::OK, "text/event-stream", Either::Right(channel))
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    answer(status, kind, Either::Left(Full::new(body.into())))
}

fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    protect(headers);
    response
}

fn protect(headers: &mut HeaderMap) {
    const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), SAME_ORIGIN);
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), SAME_ORIGIN);
}
