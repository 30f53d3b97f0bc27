//! Every log line of the library, by name, and every [metric](metrics). A session is shown by the first characters
//! of its id. The lines can be joined with AWS's own by time, by these characters and by the request id.

mod answers;
mod bridged;
mod exchange;
mod flights;
mod lease;
mod levels;
mod meters;
pub mod metrics;
mod pulse;
mod recent;
mod seldom;
#[cfg(feature = "otlp")]
pub mod traces;
#[cfg(feature = "sidecar")]
mod turned_away;
#[cfg(not(feature = "otlp"))]
mod untraced;

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use ::metrics::counter;
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use tracing::{Span, debug, debug_span, error, info, warn};

#[cfg(feature = "otlp")]
pub(crate) use self::traces::{Trace, TraceId, Traces};
#[cfg(not(feature = "otlp"))]
pub(crate) use self::untraced::{Trace, TraceId, Traces};
pub(crate) use self::{
    answers::{made_here, not_resumed, remapped, rescued, resumed, shielded},
    bridged::bridged,
    exchange::Exchange,
    flights::Flights,
    lease::{lease_bypassed, lease_down, lease_failed, lease_granted, lease_lost, lease_up},
    levels::{Levels, OwnLevels},
    meters::{Meters, Name},
    pulse::Pulse,
    recent::{Recent, What},
    seldom::Seldom,
};
#[cfg(feature = "sidecar")]
pub(crate) use self::{
    levels::own,
    turned_away::{WENT_ROUND, turned_away, went_round},
};
#[cfg(feature = "sidecar")]
pub(crate) use self::{pulse::Beat, recent::Event};
use crate::{
    session::{Kind, Route, SessionKey},
    upstream::{Flaw, Judgement, Verdict},
};

/// The target of the lines on exchanges: one for each that was sent. Segments and requests that are not
/// MediaTailor's have theirs at debug level, unless they fail.
pub const EXCHANGE: &str = "onelane::exchange";

/// The target of the span that a request is in until its answer's head is there: with its session and
/// kind, at debug level.
pub const REQUEST: &str = "onelane::request";

/// The target of the lines on requests that were not sent, or not answered in time.
pub const LANE: &str = "onelane::lane";

/// The target of the lines on what the upstream's answers meant, and what was done about them.
pub const VERDICT: &str = "onelane::verdict";

/// The target of the lines on leases and on the engine that has them.
pub const LEASE: &str = "onelane::lease";

/// The target of the lines on traces that get lost.
#[cfg(feature = "otlp")]
pub const TRACES: &str = "onelane::traces";

/// The target of the sidecar's lines on itself: that it starts, serves, reads its settings again, hands over,
/// drains and ends.
#[cfg(feature = "sidecar")]
pub const SIDECAR: &str = "onelane::sidecar";

/// The header in which AWS names a request; its logs have the same id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// An error with all its causes, in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn StdError + 'static));

/// The longest part of a path or a host that is logged, in characters.
const SHOWN: usize = 64;

/// What the playback configuration is called, where a URL of MediaTailor's holds its name.
fn configuration(uri: &Uri) -> Option<&str> {
    let name = Route::of(uri.path(), uri.query()).configuration?;
    name.get(..name.len().min(SHOWN))
}

/// What a playlist is called in its session.
fn last_part(uri: &Uri) -> Option<&str> {
    uri.path().rsplit('/').next().and_then(|name| name.get(..name.len().min(SHOWN)))
}

/// Durations are logged in milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

// === impl Chain ===

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// A request found no room in its lane, or in all of them.
pub(crate) fn refused(key: &SessionKey, kind: Kind, error: &(dyn StdError + 'static)) {
    counter!(metrics::REFUSED, "reason" => Verdict::of_error(error).as_str()).increment(1);
    warn!(target: LANE, session = %key, kind = kind.as_str(), error = %Chain(error), "refused");
}

/// What stands where the session id belongs cannot be one.
pub(crate) fn malformed(kind: Kind, error: &(dyn StdError + 'static)) {
    counter!(metrics::REFUSED, "reason" => Verdict::MalformedSession.as_str()).increment(1);
    warn!(target: LANE, kind = kind.as_str(), error = %Chain(error), "refused");
}

/// Every player of a request left while it waited: it was not sent.
pub(crate) fn left(key: &SessionKey, kind: Kind, waited: Duration) {
    counter!(metrics::LEFT).increment(1);
    debug!(target: LANE, session = %key, kind = kind.as_str(), wait_ms = ms(waited), "left before its turn");
}

/// A player's time ran out; what it asked for may go on without it.
pub(crate) fn timed_out(key: &SessionKey, kind: Kind, waited: Duration, trace: Option<TraceId>) {
    if bridged::is_here() {
        return;
    }
    counter!(metrics::TIMED_OUT, "kind" => kind.as_str()).increment(1);
    let trace_id = trace.map(tracing::field::display);
    warn!(target: LANE, session = %key, kind = kind.as_str(), wait_ms = ms(waited), trace_id, "no answer in time");
}

/// An attempt had an answer that is no playlist. It says here, and only here, what MediaTailor said in free text.
pub(crate) fn judged(
    (key, uri): (Option<&SessionKey>, &Uri),
    kind: Kind,
    judgement: &Judgement,
    (status, headers): (StatusCode, &HeaderMap),
    trace: Option<TraceId>,
) {
    if judgement.verdict == Verdict::Conflict {
        counter!(metrics::CONFLICTS, "kind" => kind.as_str()).increment(1);
        Pulse::get().conflict();
        Recent::get().push(key, kind, What::Conflict);
    }
    came_to(kind, judgement.verdict);
    let session = key.map(tracing::field::display);
    let configuration = configuration(uri);
    let status = status.as_u16();
    let request_id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let exception = judgement.named_exception();
    let flaw = judgement.flaw.map(Flaw::as_str);
    let verdict = judgement.verdict.as_str();
    let message = judgement.message.as_deref();
    let message = message.map(|said| key.map_or(Cow::Borrowed(said), |key| key.id().shortened_in(said)));
    let message = message.as_deref();
    let trace_id = trace.map(tracing::field::display);
    macro_rules! line {
        ($level:ident, $($rest:tt)*) => {
            $level!(
                target: VERDICT, session, configuration, kind = kind.as_str(), verdict, status, exception, flaw,
                request_id, said = message, trace_id, $($rest)*
            )
        };
    }
    match judgement.verdict {
        // A set-up that meets every viewer, and a block that does.
        Verdict::Misaddressed | Verdict::Blocked => {
            line!(error, remedy = judgement.verdict.remedy(), "judged");
        }
        _ => line!(warn, "judged"),
    }
}

/// An attempt had no answer that could be judged: it broke off, or its time ran out. The line on its exchange has
/// the error.
pub(crate) fn unanswered(kind: Kind, verdict: Verdict) {
    came_to(kind, verdict);
}

fn came_to(kind: Kind, verdict: Verdict) {
    counter!(metrics::VERDICTS, "kind" => kind.as_str(), "verdict" => verdict.as_str()).increment(1);
}

/// A request that needs no turn was given up: its time ran out. The line on its exchange says so.
pub(crate) fn gave_up(kind: Kind) {
    counter!(metrics::TIMED_OUT, "kind" => kind.as_str()).increment(1);
    unanswered(kind, Verdict::TimedOut);
}

/// A request is sent again within its turn.
pub(crate) fn again(
    key: Option<&SessionKey>,
    kind: Kind,
    verdict: &'static str,
    (nth, pause): (u32, Duration),
    trace: Option<TraceId>,
) {
    counter!(metrics::RETRIES, "verdict" => verdict).increment(1);
    Pulse::get().retry();
    let session = key.map(tracing::field::display);
    let trace_id = trace.map(tracing::field::display);
    info!(target: VERDICT, session, kind = kind.as_str(), verdict, nth, pause_ms = ms(pause), trace_id, "again");
}

/// A request is not sent again, since the time or the budget for it is used up.
pub(crate) fn not_again(key: Option<&SessionKey>, kind: Kind, verdict: &'static str) {
    counter!(metrics::RETRIES_DENIED, "verdict" => verdict).increment(1);
    let session = key.map(tracing::field::display);
    warn!(target: VERDICT, session, kind = kind.as_str(), verdict, "no time or budget to try again");
}

/// A playback configuration had so many 4xx in a minute that AWS may block it.
pub(crate) fn quota(key: &SessionKey, spent: bool, seldom: &Seldom) {
    if seldom.due().is_none() {
        return;
    }
    counter!(metrics::QUOTA_NEAR, "spent" => if spent { "true" } else { "false" }).increment(1);
    let last = "onelane answers sessions that were not good before itself";
    let near = "AWS blocks configurations that have very many: find the player or the link that makes them";
    let configuration = Meters::get().configuration(key.scope_id());
    let configuration = configuration.as_deref();
    error!(target: VERDICT, session = %key, configuration, spent, remedy = if spent { last } else { near }, "4xx of a configuration near their limit");
}

/// Tracking has spent its part of a configuration's quota.
pub(crate) fn tracking_is_spent(key: &SessionKey, seldom: &Seldom) {
    if seldom.due().is_some() {
        let remedy =
            "set client-side tracking up for this configuration, or find the player that asks for it in vain";
        let configuration = Meters::get().configuration(key.scope_id());
        let configuration = configuration.as_deref();
        error!(target: VERDICT, session = %key, configuration, remedy, "tracking met so many 4xx that more of it is refused");
    }
}

/// The numbering of a session's playlist has begun anew, and its players get what comes.
pub(crate) fn renumbered(key: &SessionKey, uri: &Uri) {
    let playlist = last_part(uri);
    info!(target: VERDICT, session = %key, playlist, "the media sequence has begun anew");
}

/// A request waits, since as many are in flight as its configuration may have 4xx.
pub(crate) fn waits_for_quota(key: &SessionKey) {
    counter!(metrics::QUOTA_WAITS).increment(1);
    debug!(target: VERDICT, session = %key, "waits until others are heard of");
}

/// A request waits, since one playlist says that its session is lost and another is about to be asked.
pub(crate) fn waits_for_word(key: &SessionKey) {
    debug!(target: VERDICT, session = %key, "waits until more is known of its session");
}

/// A player asks.
pub(crate) fn request(key: Option<&SessionKey>, kind: Kind) -> Span {
    debug_span!(target: REQUEST, "request", session = key.map(tracing::field::display), kind = kind.as_str())
}
