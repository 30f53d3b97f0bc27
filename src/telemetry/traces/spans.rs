//! From what was noted of a request to its spans.

use std::{
    borrow::Cow,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode, Uri};
use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{Trace, export, names};
use crate::{
    observe::record::{Attempt, Ending, Record},
    rescue::SLOW,
    session::{Kind, Route, ShownPath},
    telemetry::ms,
    upstream::Verdict,
};

/// A span that is being made.
struct Draft {
    began: SystemTime,
    fields: Vec<KeyValue>,
    events: Vec<Event>,
}

static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(export::scope);

/// The request's, and its exchange's if it had one. `first` is whose exchange it attached to.
pub(super) fn of(trace: &Trace, first: Option<&Trace>, record: &Record) -> impl Iterator<Item = SpanData> {
    let request = request(trace, first, record);
    let exchange = record.sent.map(|sent| exchange(trace, record, sent));
    [Some(request), exchange].into_iter().flatten()
}

fn request(trace: &Trace, first: Option<&Trace>, record: &Record) -> SpanData {
    let mut draft = Draft::of(trace, record);
    let Record { answer, left, sent, attached_to, shielded, .. } = record;
    let answered = answer.as_ref().map(|answer| answer.at);
    let verdict = answer.as_ref().and_then(|answer| answer.reason).or(*shielded);
    let rescue = answer.as_ref().and_then(|answer| answer.rescue.as_deref());
    if let Some(path) = path(record.kind, &trace.uri) {
        draft.field(names::PATH, path);
    }
    draft.may(names::VERDICT, verdict.map(Verdict::as_str));
    draft.may(names::RESCUE, rescue.map(str::to_owned));

    let turn = sent.filter(|_| trace.takes_turns());
    if turn.is_some() || sent.is_none() && attached_to.is_none() && shielded.is_none() && trace.takes_turns()
    {
        draft.event(names::WAITING, Duration::ZERO, []);
    }
    if let Some(turn) = turn {
        draft.field(names::WAIT_MS, ms(turn));
        draft.event(names::TURN_GRANTED, turn, []);
    }
    if attached_to.is_some() || first.is_some() {
        draft.event(names::JOINED, Duration::ZERO, []);
    }
    if let (Some(verdict), Some(at)) = (shielded, answered) {
        draft.event(names::SHIELDED, at, [KeyValue::new(names::VERDICT, verdict.as_str())]);
    }
    let mut status = Status::Unset;
    if let Some(answer) = answer {
        let code = KeyValue::new(names::STATUS, i64::from(answer.status.as_u16()));
        draft.fields.push(code.clone());
        match (rescue, answer.reason) {
            (Some(rescue), _) => {
                draft.event(names::RESCUED, answer.at, [KeyValue::new(names::RESCUE, rescue.to_owned())]);
            }
            (None, Some(reason)) => {
                draft.event(
                    names::REMAPPED,
                    answer.at,
                    [code, KeyValue::new(names::VERDICT, reason.as_str())],
                );
            }
            (None, None) => draft.event(names::ANSWERED, answer.at, [code]),
        }
        if answer.status >= StatusCode::INTERNAL_SERVER_ERROR {
            status = draft.failed(verdict, Some(answer.status));
        }
    }
    if let Some(left) = left {
        draft.field(names::LEFT, true);
        draft.event(names::PLAYER_LEFT, *left, []);
    }
    let link = first.map(|first| Link::new(first.exchange(), Vec::new(), 0));
    let ended = answered.or(*left).unwrap_or(record.age);
    let caller = trace.caller.as_ref();
    let parent = caller.map_or(SpanId::INVALID, |caller| caller.span);
    SpanData {
        parent_span_is_remote: caller.is_some(),
        span_kind: SpanKind::Server,
        name: name(&trace.method, record.kind, "").into(),
        ..draft.span(trace.request(), parent, (Duration::ZERO, ended), link, status)
    }
}

fn exchange(trace: &Trace, record: &Record, sent: Duration) -> SpanData {
    let mut draft = Draft::of(trace, record);
    let Record { attempts, attempts_left_out, ending, .. } = record;
    let times = attempts.len() as u32 + attempts_left_out;
    let last = attempts.last().filter(|_| *attempts_left_out == 0);
    let ended = ending.map_or(record.age, |ending| ending.at).max(sent);
    let failed = ending.and_then(|ending| ending.failed);
    let verdict = failed.or(last.map(|attempt| attempt.verdict));
    draft.may(names::URL, url(record.kind, &trace.uri));
    draft.may(names::SERVER, trace.uri.host().map(str::to_owned));
    draft.may(names::PORT, port(&trace.uri));
    draft.field(names::ATTEMPTS, i64::from(times.max(1)));
    draft.may(names::RESENDS, times.checked_sub(1).filter(|again| *again > 0).map(i64::from));
    draft.may(names::VERDICT, verdict.map(Verdict::as_str));
    draft.may(names::EXCEPTION, last.and_then(|attempt| attempt.exception));
    draft.may(names::REQUEST_ID, last.and_then(|attempt| attempt.request_id.as_deref()).map(str::to_owned));
    draft.may(names::ATTACHED, Some(record.attached).filter(|attached| *attached > 0).map(i64::from));

    let mut begins = sent;
    for attempt in attempts {
        draft.event(names::SENT, begins, []);
        draft.attempt(attempt);
        begins = attempt.ended + attempt.pause.unwrap_or_default();
    }
    if attempts.is_empty() {
        draft.event(names::SENT, sent, []);
    }
    let mut status = Status::Unset;
    if let Some(Ending { at, status: code, abandoned, .. }) = ending {
        draft.may(names::STATUS, code.map(|code| i64::from(code.as_u16())));
        // Whoever got a rescue waits no more, and what goes on refreshes the store.
        let slow = record.answer.as_ref().is_some_and(|answer| answer.rescue.as_deref() == Some(SLOW));
        if *abandoned || slow {
            let since =
                record.answer.as_ref().map(|answer| answer.at).or(record.left).unwrap_or(*at).min(*at);
            draft.field(names::ABANDONED, true);
            draft.event(names::NOBODY_WAITS, since, []);
            draft.event(names::DRAINED, *at, []);
        }
        if failed.is_some() || code.is_some_and(|code| code.is_client_error() || code.is_server_error()) {
            status = draft.failed(verdict, *code);
        }
    }
    draft.events.sort_by_key(|event| event.timestamp);
    let mut span = SpanData {
        span_kind: SpanKind::Client,
        name: name(&trace.method, record.kind, " exchange").into(),
        ..draft.span(trace.exchange(), trace.request().span_id(), (sent, ended), None, status)
    };
    // Of each attempt three.
    span.events.dropped_count = 3 * attempts_left_out;
    span
}

/// Of few different ones, as the conventions want it.
fn name(method: &Method, kind: Kind, what: &str) -> String {
    let method = if is_known(method) { method.as_str() } else { "HTTP" };
    format!("{method} {}{what}", kind.as_str())
}

/// Those of RFC 9110, and PATCH.
fn is_known(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ]
    .contains(method)
}

/// What is not MediaTailor's may have anything in it.
fn path(kind: Kind, uri: &Uri) -> Option<String> {
    (!matches!(kind, Kind::Segment | Kind::Other)).then(|| ShownPath(uri).to_string())
}

fn url(kind: Kind, uri: &Uri) -> Option<String> {
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default();
    Some(format!("{scheme}://{host}{}", path(kind, uri)?))
}

fn port(uri: &Uri) -> Option<i64> {
    let by_scheme = match uri.scheme_str()? {
        "https" => 443,
        _ => 80,
    };
    Some(i64::from(uri.port_u16().unwrap_or(by_scheme)))
}

// === impl Draft ===

impl Draft {
    /// With what both spans have.
    fn of(trace: &Trace, record: &Record) -> Self {
        let mut draft =
            Self { began: record.began, fields: Vec::with_capacity(16), events: Vec::with_capacity(8) };
        let method = if is_known(&trace.method) { trace.method.as_str() } else { "_OTHER" };
        draft.field(names::METHOD, method.to_owned());
        draft.field(names::KIND, record.kind.as_str());
        draft.may(names::SESSION, trace.key.as_ref().map(ToString::to_string));
        let configuration = Route::of(trace.uri.path(), trace.uri.query()).configuration;
        draft.may(names::CONFIGURATION, configuration.map(str::to_owned));
        draft.may(names::UPSTREAM, record.upstream.clone());
        draft
    }

    fn field(&mut self, name: &'static str, value: impl Into<Value>) {
        self.fields.push(KeyValue::new(name, value));
    }

    fn may(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        self.fields.extend(value.map(|value| KeyValue::new(name, value)));
    }

    fn event<const N: usize>(&mut self, name: &'static str, at: Duration, fields: [KeyValue; N]) {
        self.events.push(Event::new(name, self.began + at, fields.into(), 0));
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let verdict = || KeyValue::new(names::VERDICT, attempt.verdict.as_str());
        match attempt.status {
            None => self.event(names::UNANSWERED, attempt.ended, [verdict()]),
            Some(status) => {
                let mut fields = vec![KeyValue::new(names::STATUS, i64::from(status.as_u16())), verdict()];
                let more = [
                    attempt.exception.map(|name| KeyValue::new(names::EXCEPTION, name)),
                    attempt.request_id.as_deref().map(|id| KeyValue::new(names::REQUEST_ID, id.to_owned())),
                ];
                fields.extend(more.into_iter().flatten());
                self.events.push(Event::new(names::ANSWERED, self.began + attempt.ended, fields, 0));
            }
        }
        if let Some(pause) = attempt.pause {
            let pause = KeyValue::new(names::PAUSE_MS, ms(pause));
            self.event(names::RETRIED, attempt.ended, [verdict(), pause]);
        }
    }

    /// Says what went wrong, and that something did.
    fn failed(&mut self, verdict: Option<Verdict>, status: Option<StatusCode>) -> Status {
        let known = verdict.filter(|verdict| !matches!(verdict, Verdict::Playlist | Verdict::Passed));
        let kind: Cow<'static, str> = match (known, status) {
            (Some(verdict), _) => verdict.as_str().into(),
            (None, Some(status)) => status.as_str().to_owned().into(),
            (None, None) => "_OTHER".into(),
        };
        self.field(names::ERROR, kind);
        Status::error(known.map_or("", Verdict::meaning))
    }

    fn span(
        self,
        context: SpanContext,
        parent: SpanId,
        (start, end): (Duration, Duration),
        link: Option<Link>,
        status: Status,
    ) -> SpanData {
        let mut events = SpanEvents::default();
        events.events = self.events;
        let mut links = SpanLinks::default();
        links.links.extend(link);
        SpanData {
            span_context: context,
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(""),
            start_time: self.began + start,
            end_time: self.began + end,
            attributes: self.fields,
            dropped_attributes_count: 0,
            events,
            links,
            status,
            instrumentation_scope: SCOPE.clone(),
        }
    }
}
