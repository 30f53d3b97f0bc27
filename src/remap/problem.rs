use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{rescue::RESCUE, telemetry::REQUEST_ID, upstream::Verdict};

/// The header of an answer that was made here: its [verdict](Verdict::as_str).
pub const REASON: HeaderName = HeaderName::from_static("x-onelane-reason");

/// What may be read of an answer by a page of another origin.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-onelane-reason, x-onelane-rescue, x-amzn-requestid, retry-after, age");

/// Where the verdicts are explained.
const DOCS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/errors.md#");

/// What an answer that is made here says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem<'a> {
    pub(crate) verdict: Verdict,
    pub(crate) status: StatusCode,
    pub(crate) detail: &'a str,
    pub(crate) remedy: &'a str,
    /// In seconds.
    pub(crate) retry_after: Option<u64>,
}

/// Who gets an answer that is made here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asker<'a> {
    pub(crate) origin: Option<&'a HeaderValue>,
    /// It asked for the head alone. An HTTP/2 server sends whatever body there is, and its client takes that for a broken stream.
    pub(crate) is_head: bool,
}

/// An answer that is not the upstream's: readable across origins, never cached, and as RFC 9457 has it. It has the
/// upstream's request id, and nothing else of what the upstream said.
pub(crate) fn made_here<B: From<Bytes>>(
    problem: &Problem<'_>,
    Asker { origin, is_head }: Asker<'_>,
    credentials: bool,
    upstream: Option<&HeaderMap>,
) -> Response<B> {
    let reason = problem.verdict.as_str();
    let text = serde_json::json!({
        "type": format!("{DOCS}{reason}"),
        "title": problem.status.canonical_reason(),
        "status": problem.status.as_u16(),
        "detail": problem.detail,
        "remedy": problem.remedy,
        "reason": reason,
    })
    .to_string();
    let mut headers = HeaderMap::with_capacity(10);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REASON, HeaderValue::from_static(reason));
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(id) = upstream.and_then(|headers| headers.get(REQUEST_ID)) {
        headers.insert(REQUEST_ID, id.clone());
    }
    open(&mut headers, origin, credentials);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    let body = if is_head { Bytes::new() } else { Bytes::from(text) };
    let mut response = Response::new(B::from(body));
    *response.status_mut() = problem.status;
    *response.headers_mut() = headers;
    response
}

/// Opens an answer that is made here to the page that asks.
pub(super) fn open(headers: &mut HeaderMap, origin: Option<&HeaderValue>, credentials: bool) {
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.cloned().unwrap_or(any));
    if origin.is_some() {
        vary_by_origin(headers);
        if credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Lets the page that asks read a rescue, and that it is one, where the upstream lets pages of other origins read at all. What is
/// kept may name the origin of another page, which asked before.
pub(super) fn expose(headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    if !headers.contains_key(RESCUE) || !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        return;
    }
    if headers.get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN).iter().any(|allowed| allowed != "*") {
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        vary_by_origin(headers);
    }
    headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Says that the page of another origin would have another answer.
fn vary_by_origin(headers: &mut HeaderMap) {
    let lines = headers.get_all(header::VARY);
    let mut names = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    if !names.any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("origin")) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}
