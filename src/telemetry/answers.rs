use std::time::Duration;

use ::metrics::{counter, histogram};
use http::StatusCode;
use tracing::{debug, warn};

use super::{Pulse, Recent, Seldom, TraceId, VERDICT, What, metrics, ms};
use crate::{
    session::{Kind, SessionKey},
    upstream::Verdict,
};

/// A player was given the last good playlist.
pub(crate) fn rescued(
    key: &SessionKey,
    kind: Kind,
    reason: &'static str,
    age: Duration,
    trace: Option<TraceId>,
) {
    counter!(metrics::RESCUES, "reason" => reason).increment(1);
    Pulse::get().rescue();
    Recent::get().push(Some(key), kind, What::Rescue { reason, age });
    histogram!(metrics::RESCUE_AGE_SECONDS).record(age);
    let trace_id = trace.map(tracing::field::display);
    warn!(target: VERDICT, session = %key, kind = kind.as_str(), reason, age_ms = ms(age), trace_id, "rescued");
}

/// A lost session goes on as another one.
pub(crate) fn resumed(key: &SessionKey, stand_in: &SessionKey, took: Duration) {
    counter!(metrics::RESUMED).increment(1);
    warn!(target: VERDICT, session = %key, new_session = %stand_in, took_ms = ms(took), "resumed");
}

/// A lost session stays lost.
pub(crate) fn not_resumed(key: &SessionKey, reason: &'static str) {
    counter!(metrics::NOT_RESUMED, "reason" => reason).increment(1);
    warn!(target: VERDICT, session = %key, reason, "not resumed");
}

/// A player of a marked session was answered without the upstream.
pub(crate) fn shielded(key: &SessionKey, kind: Kind, verdict: Verdict) {
    static SELDOM: Seldom = Seldom::new();
    let name = verdict.as_str();
    counter!(metrics::SHIELDED, "verdict" => name).increment(1);
    Pulse::get().shield();
    // What else is answered here was told when the upstream said it.
    match (verdict == Verdict::HeldBack).then(|| SELDOM.due()).flatten() {
        Some(silent) => {
            let (kind, remedy) = (kind.as_str(), verdict.remedy());
            warn!(target: VERDICT, session = %key, kind, verdict = name, remedy, silent, "held back");
        }
        None => {
            debug!(target: VERDICT, session = %key, kind = kind.as_str(), verdict = name, "answered here")
        }
    }
}

/// A player has an answer that was made here: what operators see of it.
pub(crate) fn made_here(key: Option<&SessionKey>, kind: Kind, reason: Verdict, status: StatusCode) {
    Recent::get().push(key, kind, What::MadeHere { reason, status });
}

/// A player was given an answer that was made here.
pub(crate) fn remapped(verdict: Verdict, status: StatusCode) {
    counter!(metrics::REMAPS, "verdict" => verdict.as_str(), "status" => status.as_str().to_owned())
        .increment(1);
}
