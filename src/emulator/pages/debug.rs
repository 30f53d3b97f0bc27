use std::sync::Arc;

use http::{Method, request::Parts};
use serde::Serialize;
use uuid::Uuid;

use super::trace::Entry;
use crate::emulator::{
    fault::kind::Kind,
    serve::{
        answer::{Answer, Exception, JSON, ok},
        json,
        route::{Route, pairs},
        service::Service,
    },
    session::state::{Over, Session},
};

/// What the emulator has seen of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionReport {
    /// Its id.
    pub id: String,
    /// The playback configuration it was created under.
    pub configuration: String,
    /// `alive`, `expired` or `blocked`.
    pub state: &'static str,
    /// Requests of all kinds that named it.
    pub requests: u64,
    /// Exchanges among them: those that may conflict, and tracking.
    pub playlists: u64,
    /// Exchanges being worked on.
    pub in_flight: u32,
    /// The most that were at once, refused ones among them.
    pub max_in_flight: u32,
    /// 409s.
    pub conflicts: u64,
    /// Requests whose client went away while they were worked on.
    pub abandoned: u64,
    /// `User-Agent` of its last request.
    pub user_agent: Option<String>,
    /// `X-Forwarded-For` of its last request.
    pub x_forwarded_for: Option<String>,
    /// `Host` of its last request.
    pub host: Option<String>,
    /// Its last requests, in order of arrival.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<RequestReport>,
}

/// What the emulator has seen of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestReport {
    /// Its place in the session's order of arrival, from nought.
    pub arrival: u64,
    /// When it arrived, in milliseconds since the emulator's start.
    pub at_ms: u64,
    /// Path and query.
    pub target: String,
    /// Exchanges of the session in flight when it came.
    pub in_flight_before: u32,
    /// The status that was made for it, or none while it is worked on and where a fault left it without.
    pub status: Option<u16>,
    /// Whether its client went away while it was worked on.
    pub abandoned: bool,
    /// The kind of the fault that befell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Sessions on one page, unless `?limit=` says otherwise.
const PAGE: usize = 10_000;

/// The emulator's own pages, which never conflict and are not counted.
pub(in crate::emulator) fn page(service: &Service, head: &Parts) -> Answer {
    let Route::Own(path) = Route::of(head.uri.path()) else {
        return Exception::NotFound.answer("no such page");
    };
    let query = head.uri.query().unwrap_or_default();
    match (path, head.method == Method::POST) {
        ("reset", true) => {
            service.reset();
            ok(JSON, "{}")
        }
        ("reset", false) => Exception::MethodNotAllowed.answer("reset wants POST"),
        ("stats", false) => json::page(&service.stats()),
        ("sessions", false) => {
            let limit =
                pairs(query).find(|(key, _)| key == "limit").and_then(|(_, value)| value.parse().ok());
            let sessions = service.sessions.all().take(limit.unwrap_or(PAGE));
            json::page(&sessions.map(|session| report(&session, false)).collect::<Vec<_>>())
        }
        (path, false) => {
            let session = path.strip_prefix("sessions/").and_then(|id| Uuid::try_parse(id).ok());
            match session.and_then(|id| service.sessions.get(&id)) {
                Some(session) => json::page(&report(&session, true)),
                None => Exception::NotFound.answer(
                    "no such page; there are sessions, sessions/ID, stats, faults and busy-after, and for POST \
                     reset and expire, under /__emulator/",
                ),
            }
        }
        _ => Exception::MethodNotAllowed.answer("only reset, faults, busy-after and expire want POST"),
    }
}

/// A session's report, with its last requests if they are asked for.
pub(in crate::emulator) fn report(session: &Arc<Session>, detailed: bool) -> SessionReport {
    let state = session.state();
    let counts = state.counts;
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let request = |(arrival, entry): (u64, &Entry)| RequestReport {
        arrival,
        at_ms: entry.at,
        target: session.text_of(&entry.target),
        in_flight_before: entry.with,
        status: Some(entry.status).filter(|status| *status > 0),
        abandoned: entry.left,
        fault: entry.fault.map(Kind::name),
    };
    SessionReport {
        id: session.id.to_string(),
        configuration: session.terms.configuration.to_string(),
        state: match state.over {
            None => "alive",
            Some(Over::Expired) => "expired",
            Some(Over::Blocked) => "blocked",
        },
        requests: counts.requests,
        playlists: counts.playlists,
        in_flight: counts.in_flight,
        max_in_flight: counts.max_in_flight,
        conflicts: counts.conflicts,
        abandoned: counts.abandoned,
        user_agent: text(&state.client.user_agent),
        x_forwarded_for: text(&state.client.forwarded_for),
        host: text(&state.client.host),
        recent: if detailed { state.trace.entries().map(request).collect() } else { Vec::new() },
    }
}
