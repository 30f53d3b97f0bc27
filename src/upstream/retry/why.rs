use std::time::Duration;

use http::{StatusCode, Uri};
use tokio::time::Instant;
use tower::retry::backoff::Backoff as _;

use super::{RetryConfig, course::Course, outcome::Outcome};
use crate::{
    serialize::GRACE,
    session::Kind,
    upstream::{Verdict, directives},
};

/// Why a request is sent again.
#[derive(Debug)]
pub(super) enum Why {
    /// Its low-latency directives were refused; this is its URL without them.
    Undirected(Uri),
    /// Its verdict allows for so many times.
    Times,
    /// There is nothing to give its player but another failure.
    Patience,
}

// === impl Why ===

impl Why {
    /// For its directives, if it had any and they were refused.
    pub(super) fn undirected(uri: &Uri, course: &Course, came: &Outcome<'_>) -> Option<Self> {
        let is_playlist = !matches!(course.named.1, Kind::Segment | Kind::Other);
        let is_refused = matches!(came.verdict, Verdict::SessionLost | Verdict::BadRequest)
            && came.status == Some(StatusCode::BAD_REQUEST);
        let may = is_playlist && is_refused && !course.directives_gone;
        may.then(|| directives::without(uri)).flatten().map(Self::Undirected)
    }

    /// How long the request waits before that.
    pub(super) fn pause(&self, course: &mut Course, verdict: Verdict, config: &RetryConfig) -> Duration {
        let is_broken = verdict == Verdict::Unreachable;
        match self {
            Self::Undirected(_) => return Duration::ZERO,
            // The upstream may have got it and still be at work on it.
            Self::Times if is_broken => return GRACE,
            Self::Times | Self::Patience => {}
        }
        let pauses = course.pauses.get_or_insert_with(|| config.pauses());
        let pause = pauses.next_backoff().deadline().saturating_duration_since(Instant::now());
        let least = if is_broken { GRACE } else { Duration::ZERO };
        match self {
            Self::Patience => (pause * 4).max(least),
            _ if matches!(verdict, Verdict::Throttled | Verdict::Overloaded) => pause * 4,
            _ => pause,
        }
    }
}
