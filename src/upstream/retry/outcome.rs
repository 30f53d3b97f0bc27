use http::{Response, StatusCode};
use tower::BoxError;

use super::{NotSent, RetryConfig};
use crate::{
    session::Kind,
    upstream::{Judgement, Verdict},
};

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) verdict: Verdict,
    /// `None` if there was no answer.
    pub(super) status: Option<StatusCode>,
    /// Whether nothing of the request was sent.
    pub(super) is_unsent: bool,
    /// How many times a request may be sent again after it.
    pub(super) times: u32,
    judgement: Option<&'a Judgement>,
}

// === impl Outcome ===

impl<'a> Outcome<'a> {
    pub(super) fn of<B>(result: &'a Result<Response<B>, BoxError>, kind: Kind, config: &RetryConfig) -> Self {
        let (judgement, status) = match result {
            Ok(response) => (response.extensions().get::<Judgement>(), Some(response.status())),
            Err(_) => (None, None),
        };
        let times = match status {
            None => config.broken,
            // What is passed on is asked for again by its player.
            Some(_) if matches!(kind, Kind::Segment | Kind::Other) => 0,
            Some(status) => judgement.map_or(0, |judgement| times(judgement, status, config)),
        };
        Self {
            verdict: judgement.map_or(Verdict::Unreachable, |judgement| judgement.verdict),
            status,
            is_unsent: result.as_ref().is_err_and(|error| NotSent::is_in(&**error)),
            times,
            judgement,
        }
    }

    /// Whether an exchange that ends with it pays for those that will be repeated.
    pub(super) fn pays(&self) -> bool {
        self.times == 0 && self.status.is_some()
    }

    /// Whether the next answer may be better, if not in a moment.
    pub(super) fn may_get_better(&self, config: &RetryConfig) -> bool {
        self.times > 0 || config.broken > 0 && self.judgement.is_some_and(Judgement::blames_what_stays)
    }
}

fn times(judgement: &Judgement, status: StatusCode, config: &RetryConfig) -> u32 {
    match judgement.verdict {
        Verdict::Conflict => config.conflict,
        Verdict::Throttled | Verdict::Overloaded => config.overloaded,
        Verdict::TimedOut | Verdict::Unreachable | Verdict::NotPlaylist => config.broken,
        // Nobody is asked again for a playlist who speaks another protocol from there on.
        Verdict::OriginBroken if status.is_informational() => 0,
        // What has gone round once goes round again, and every hop does it once more.
        Verdict::OriginBroken if status == StatusCode::LOOP_DETECTED => 0,
        Verdict::OriginBroken if judgement.blames_what_stays() => 0,
        Verdict::OriginBroken => config.broken,
        _ => 0,
    }
}
