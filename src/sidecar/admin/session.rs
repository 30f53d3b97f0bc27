use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::{self, Body};
use crate::{
    observe::record::{Answer, Attempt, Ending, Found, Record, Recorder},
    upstream::Verdict,
};

/// The last requests of a session, by the id as it stands in a path.
pub(super) fn find(recorder: Option<&Recorder>, id: &str) -> Response<Body> {
    let none = |status, detail: &str, remedy: &str| answer::problem(status, detail, remedy);
    let Some(recorder) = recorder else {
        return none(
            StatusCode::NOT_FOUND,
            "sessions are not recorded",
            "start onelane with --record-sessions 1000; recording begins with the next request",
        );
    };
    let Ok(id) = percent_decode_str(id).decode_utf8() else {
        return none(
            StatusCode::BAD_REQUEST,
            "this is no text",
            "give the session's id, or its first eight characters",
        );
    };
    match recorder.find(&id) {
        Found::One(id, records) => answer::json(&json!({
            "session": id.to_string(),
            "now": unix_ms(SystemTime::now()),
            "requests": records.iter().map(told).collect::<Value>(),
        })),
        Found::Several(several) => none(
            StatusCode::CONFLICT,
            &format!("{several} sessions begin so"),
            "give more of the session's id",
        ),
        Found::None => none(
            StatusCode::NOT_FOUND,
            "nothing is recorded of this session",
            "give the whole id, or its first eight characters as logs have them; if it was active a while ago, raise \
             --record-sessions: it has made room for others",
        ),
    }
}

/// Milliseconds since 1970, as JavaScript counts them.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// All times are milliseconds after the request came.
fn told(record: &Record) -> Value {
    json!({
        "number": record.number,
        "at": unix_ms(record.began),
        "age_ms": ms(record.age),
        "upstream": record.upstream.as_deref(),
        "kind": record.kind.as_str(),
        "playlist": record.playlist,
        "sent_ms": record.sent.map(ms),
        "attempts": record.attempts.iter().map(attempt).collect::<Value>(),
        "attempts_left_out": record.attempts_left_out,
        "ended": record.ending.as_ref().map(ending),
        "attached_to": record.attached_to,
        "attached": record.attached,
        "shielded": record.shielded.map(Verdict::as_str),
        "answer": record.answer.as_ref().map(got),
        "left_ms": record.left.map(ms),
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "ended_ms": ms(attempt.ended),
        "status": attempt.status.map(|status| status.as_u16()),
        "verdict": attempt.verdict.as_str(),
        "means": (!attempt.verdict.is_playlist()).then(|| attempt.verdict.meaning()),
        "exception": attempt.exception,
        "request_id": attempt.request_id,
        "pause_ms": attempt.pause.map(ms),
    })
}

fn ending(ending: &Ending) -> Value {
    json!({
        "at_ms": ms(ending.at),
        "status": ending.status.map(|status| status.as_u16()),
        "failed": ending.failed.map(Verdict::as_str),
    })
}

fn got(answer: &Answer) -> Value {
    json!({
        "at_ms": ms(answer.at),
        "status": answer.status.as_u16(),
        "rescue": answer.rescue,
        "reason": answer.reason.map(Verdict::as_str),
        "means": answer.reason.map(Verdict::meaning),
        "remedy": answer.reason.map(Verdict::remedy),
    })
}

/// To the microsecond.
fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
