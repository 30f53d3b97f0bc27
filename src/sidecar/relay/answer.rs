use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version, header, request::Parts};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::forward::{Unpassable, strip_hop_by_hop};
use crate::{
    remap::{Asker, Problem, made_here},
    serialize,
    session::{Extracted, MediaTailor, link},
    sidecar::Upstream,
    stack::{MayResume, Stack},
    telemetry::{self, Seldom},
    upstream::Verdict,
};

/// The body of what a player gets.
pub(in crate::sidecar) type Body = serialize::Body<serialize::Body<Incoming>>;

/// Makes the stack's answer the player's: what belongs to the connection it came on stays behind, and a
/// redirect within the upstream leads through here as well.
pub(in crate::sidecar) fn of_stack(response: Response<Body>, upstream: &Upstream) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if head.status.is_informational() {
        // No upgrade was asked for, so there is none to pass on.
        let problem = Problem {
            verdict: Verdict::Failed,
            status: StatusCode::BAD_GATEWAY,
            detail: "the upstream switched to another protocol, which nobody asked for",
            remedy: "load the playlist again; operators: see what --upstream names",
            retry_after: None,
        };
        return made_here(&problem, Asker::default(), false, None);
    }
    if head.status.is_redirection() {
        lead_through_here(&mut head.headers, upstream);
    }
    one_length(&mut head.headers);
    strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    Response::from_parts(head, body)
}

/// Takes the upstream's own name from the front of a `Location`: a player that followed it there would be
/// past its session's lane, and may not even reach it.
fn lead_through_here(headers: &mut HeaderMap, upstream: &Upstream) {
    let base = Uri::builder().scheme(upstream.scheme().clone()).authority(upstream.authority().clone());
    let Ok(base) = base.path_and_query("/").build() else { return };
    // What names no host leads through here as it is.
    let names_host = |location: &&str| {
        location.starts_with("//") || Uri::try_from(*location).is_ok_and(|uri| uri.authority().is_some())
    };
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let location = location.filter(names_host).and_then(|location| link::resolve(&base, location));
    let Some(location) = location.filter(|location| link::same_host(location, &base)) else { return };
    let path = location.path_and_query().map_or("/", |path| path.as_str());
    // A path that begins with two slashes would name a host (RFC 3986 section 4.2).
    let apart = if path.starts_with("//") { "/." } else { "" };
    if let Ok(path) = HeaderValue::try_from(format!("{apart}{path}")) {
        headers.insert(header::LOCATION, path);
    }
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

/// To a request that is for none of several upstreams.
pub(in crate::sidecar) fn no_upstream(head: Parts, stack: &Stack<MediaTailor, MayResume>) -> Response<Body> {
    let problem = Problem {
        verdict: Verdict::BadRequest,
        status: StatusCode::NOT_FOUND,
        detail: "no upstream is for requests of this host and path",
        remedy: "correct the URL; operators: see hosts and path_prefix of each [[upstream]]",
        retry_after: None,
    };
    static SELDOM: Seldom = Seldom::new();
    turn_away(&problem, head, stack, &SELDOM)
}

/// To a request that was sent upstream from here and has come back: the next one would, too, for ever.
pub(in crate::sidecar) fn went_round(head: Parts, stack: &Stack<MediaTailor, MayResume>) -> Response<Body> {
    let problem = Problem {
        verdict: Verdict::Misaddressed,
        status: StatusCode::LOOP_DETECTED,
        detail: "the request went upstream from here and has come back",
        remedy: telemetry::WENT_ROUND,
        retry_after: None,
    };
    refusal(&problem, head, stack)
}

/// To a request that no proxy can pass on.
pub(in crate::sidecar) fn unpassable(
    (head, Unpassable(detail, remedy)): (Parts, Unpassable),
    stack: &Stack<MediaTailor, MayResume>,
) -> Response<Body> {
    let status = StatusCode::BAD_REQUEST;
    let problem = Problem { verdict: Verdict::BadRequest, status, detail, remedy, retry_after: None };
    static SELDOM: Seldom = Seldom::new();
    turn_away(&problem, head, stack, &SELDOM)
}

/// A refusal that counts as a player's request. What has come back does not: it was counted when it was sent.
fn turn_away(
    problem: &Problem<'_>,
    head: Parts,
    stack: &Stack<MediaTailor, MayResume>,
    seldom: &Seldom,
) -> Response<Body> {
    let named = Extracted::of(&head, &MediaTailor::new());
    // The target's own authority goes before the header (RFC 9112 section 3.2.2).
    let host = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| head.headers.get(header::HOST).map(HeaderValue::as_bytes)).unwrap_or_default();
    let why = (problem.detail, problem.remedy);
    telemetry::turned_away(&named, host, (problem.verdict, problem.status), why, seldom);
    refusal(problem, head, stack)
}

/// The stages, which write down what becomes of requests, do not see this one.
fn refusal(problem: &Problem<'_>, mut head: Parts, stack: &Stack<MediaTailor, MayResume>) -> Response<Body> {
    let asker = Asker { origin: head.headers.get(header::ORIGIN), is_head: head.method == Method::HEAD };
    let answer: Response<Body> = made_here(problem, asker, false, None);
    if let Some(traces) = stack.traces() {
        let named = Extracted::of(&head, &MediaTailor::new());
        let now = Instant::now();
        let note = traces.begin(now, None, &named, stack.upstream(), &mut head);
        note.kept_out();
        note.answered(now, answer.status(), answer.headers());
    }
    answer
}
