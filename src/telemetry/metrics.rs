//! Every metric of the library, by name.
//!
//! They go through the facade of the [`metrics`] crate: a program that embeds the library installs a recorder
//! of its own before the first request, since the metrics that each request needs are looked up once.
//! `onelane serve` shows them at `/metrics`; `docs/metrics.md` says what each metric is good for. No label
//! names a session, and no label has a value of a client's own making beyond [`CONFIGURATIONS`]. The label
//! `upstream` is there where several are [named](crate::stack::Stack::named), and left out where there is one.

use metrics::{Unit, counter};

use crate::{remap, session::Kind, upstream::Verdict};

/// The most playback configurations that have a name of their own in the label `configuration`; the
/// others share `other`.
pub const CONFIGURATIONS: usize = 64;

/// What there is to know of a metric before it has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, unit included.
    pub name: &'static str,
    /// What it is.
    pub form: Form,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// The form of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What only grows.
    Counter,
    /// What goes up and down.
    Gauge,
    /// How values are spread, in seconds.
    Histogram,
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $id:ident = $form:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $($(#[doc = $doc])* #[doc = $help] pub const $id: &str = $name;)*

        /// All of them.
        pub const ALL: &[Metric] = &[
            $(Metric { name: $name, form: Form::$form, labels: &[$($label),*], help: $help }),*
        ];
    };
}

metrics! {
    REQUESTS = Counter "onelane_requests_total" ["configuration", "kind", "status"]
        "Requests of players by the status that they got; 'left' where the player went before.";
    REQUEST_SECONDS = Histogram "onelane_request_seconds" ["kind"]
        "From a player's request to the head of its answer.";
    LANE_WAIT_SECONDS = Histogram "onelane_lane_wait_seconds" ["kind"]
        "How long exchanges waited for their turn.";
    EXCHANGE_SECONDS = Histogram "onelane_exchange_seconds" ["kind"]
        "How long exchanges were with the upstream, retries and pauses included.";
    EXCHANGES = Counter "onelane_exchanges_total" ["kind", "status"]
        "Exchanges with the upstream by the status they ended with; 'none' where there was no answer.";
    ATTACHED = Counter "onelane_attached_total" []
        "Repeats that joined an exchange of their session and had its answer.";
    ABANDONED = Counter "onelane_abandoned_total" []
        "Exchanges that all their players left: they ran to their end for nobody.";
    LEFT = Counter "onelane_left_waiting_total" []
        "Requests whose players left while they waited: they were never sent.";
    REFUSED = Counter "onelane_refused_total" ["reason"]
        "Requests that were not taken into a lane.";
    TIMED_OUT = Counter "onelane_timed_out_total" ["kind"]
        "Players whose time ran out before an answer: answer_within, or max_hold for what makes a session.";
    CONFLICTS = Counter "onelane_conflicts_total" ["kind"]
        "409 ConflictException of the upstream, each attempt counted.";
    VERDICTS = Counter "onelane_verdicts_total" ["kind", "verdict"]
        "Attempts that ended in an error, in what is no playlist or in no answer at all, by what it means.";
    RETRIES = Counter "onelane_retries_total" ["verdict"]
        "Attempts after the first, by what the one before met.";
    RETRIES_DENIED = Counter "onelane_retries_denied_total" ["verdict"]
        "Attempts that were due and not made, for want of time or of the budget.";
    RESCUES = Counter "onelane_rescues_total" ["reason"]
        "Last good playlists that players got instead of a failure.";
    RESCUE_AGE_SECONDS = Histogram "onelane_rescue_age_seconds" []
        "How old they were.";
    SHIELDED = Counter "onelane_shielded_total" ["verdict"]
        "Requests that were answered without the upstream, by what is known of their session or playlist, or past a quota.";
    QUOTA_WAITS = Counter "onelane_quota_waits_total" []
        "Requests of sessions that were not good before that waited, a second at most, until it was known how others of their configuration went.";
    REMAPS = Counter "onelane_remaps_total" ["verdict", "status"]
        "Answers that were made here in place of a failure, by its verdict and the status that the player got.";
    QUOTA_NEAR = Counter "onelane_4xx_quota_near_total" ["spent"]
        "How often a playback configuration was found near its limit of 4xx, or past it; counted once in ten seconds.";
    RESUMED = Counter "onelane_resumed_total" []
        "Lost sessions that went on as another.";
    NOT_RESUMED = Counter "onelane_not_resumed_total" ["reason"]
        "Lost sessions that stayed lost.";
    LEASES = Counter "onelane_leases_total" ["result"]
        "Turns that were to be agreed among instances: granted a lease, or bypassed for want of an engine.";
    LEASE_SECONDS = Histogram "onelane_lease_seconds" []
        "How long the heads of lanes waited for their lease.";
    LEASE_FAILURES = Counter "onelane_lease_failures_total" []
        "Calls to the engine of leases that failed or took too long.";
    LEASES_LOST = Counter "onelane_leases_lost_total" []
        "Leases that became another's while their turn went on.";
    LEASE_UP = Gauge "onelane_lease_up" []
        "Whether turns are agreed among instances: 1, or 0 while the engine is bypassed; absent without one.";
    SPANS_EXPORTED = Counter "onelane_spans_exported_total" []
        "Spans of traces that the collector took.";
    SPANS_LOST = Counter "onelane_spans_lost_total" ["reason"]
        "Spans of traces that were lost: more came than it took, or it did not take them.";
    LANES = Gauge "onelane_lanes" []
        "Sessions with a request in their lane.";
    WAITING = Gauge "onelane_waiting" []
        "Requests that wait for their turn.";
    OPEN = Gauge "onelane_open_exchanges" []
        "Exchanges that wait, are in flight or drain.";
    IN_FLIGHT = Gauge "onelane_in_flight" []
        "Exchanges that are with the upstream, of the whole process.";
    DRAINING = Gauge "onelane_draining" []
        "Those of them that all their players have left.";
    MARKED = Gauge "onelane_marked_sessions" []
        "Sessions that are known to be lost, blocked or failing, or to miss a playlist.";
    QUOTA_CONFIGURATIONS = Gauge "onelane_4xx_configurations" ["upstream"]
        "Playback configurations with a 4xx other than conflicts in the last minute.";
    QUOTA_USED = Gauge "onelane_4xx_quota_used_ratio" ["upstream"]
        "The most that any playback configuration has used of its 4xx per minute, 0 to 1.";
    SETTLE_SECONDS = Gauge "onelane_settle_gap_seconds" ["upstream"]
        "The longest gap between turns that was learned and is in force.";
    SETTLE_CONFIGURATIONS = Gauge "onelane_settle_configurations" ["upstream"]
        "Playback configurations with such a gap.";
    STORE_BYTES = Gauge "onelane_rescue_store_bytes" []
        "What the last good playlists take.";
    STORE_PLAYLISTS = Gauge "onelane_rescue_store_playlists" []
        "Last good playlists that are kept.";
    STORE_SESSIONS = Gauge "onelane_rescue_store_sessions" []
        "Sessions with a last good playlist.";
}

/// Tells the recorder what each metric is, and sets those whose labels are known to zero: a rate shows the
/// first event only where there was a value before.
pub fn describe() {
    for Metric { name, form, help, .. } in ALL {
        match form {
            Form::Counter => metrics::describe_counter!(*name, *help),
            Form::Gauge => metrics::describe_gauge!(*name, *help),
            Form::Histogram => metrics::describe_histogram!(*name, Unit::Seconds, *help),
        }
    }
    for name in [ATTACHED, ABANDONED, LEFT, RESUMED, LEASE_FAILURES, LEASES_LOST] {
        counter!(name).absolute(0);
    }
    for kind in [Kind::Media, Kind::Multivariant].map(Kind::as_str) {
        counter!(CONFLICTS, "kind" => kind).absolute(0);
        counter!(TIMED_OUT, "kind" => kind).absolute(0);
        for verdict in failures() {
            counter!(VERDICTS, "kind" => kind, "verdict" => verdict.as_str()).absolute(0);
        }
    }
    let remaps = remap::Config::default();
    for (verdict, rule) in failures().filter_map(|verdict| Some((verdict, remaps.of(verdict)?))) {
        let status = rule.to_status().as_str().to_owned();
        counter!(REMAPS, "verdict" => verdict.as_str(), "status" => status).absolute(0);
    }
    for verdict in [Verdict::LaneFull, Verdict::MalformedSession] {
        counter!(REFUSED, "reason" => verdict.as_str()).absolute(0);
    }
    for verdict in [Verdict::SessionLost, Verdict::Blocked, Verdict::HeldBack] {
        counter!(SHIELDED, "verdict" => verdict.as_str()).absolute(0);
    }
    for verdict in Verdict::ALL.iter().filter(|verdict| verdict.survivable()) {
        counter!(RESCUES, "reason" => verdict.as_str()).absolute(0);
        counter!(RETRIES, "verdict" => verdict.as_str()).absolute(0);
        counter!(RETRIES_DENIED, "verdict" => verdict.as_str()).absolute(0);
    }
    for result in ["granted", "bypassed"] {
        counter!(LEASES, "result" => result).absolute(0);
    }
    for spent in ["false", "true"] {
        counter!(QUOTA_NEAR, "spent" => spent).absolute(0);
    }
}

fn failures() -> impl Iterator<Item = Verdict> {
    let is_failure = |verdict: &Verdict| !matches!(verdict, Verdict::Playlist | Verdict::Passed);
    Verdict::ALL.iter().copied().filter(is_failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for Metric { name, form, labels, help } in ALL {
            assert!(name.starts_with("onelane_"), "{name}");
            assert_eq!(*form == Form::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(
                *form == Form::Histogram,
                name.ends_with("_seconds") && *form != Form::Gauge,
                "{name}"
            );
            assert!(help.ends_with('.'), "{name}");
            assert!(labels.iter().all(|label| !label.contains("session")), "{name}");
        }
    }
}
