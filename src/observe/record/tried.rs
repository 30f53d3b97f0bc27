use std::time::Duration;

use http::{Response, StatusCode};
use tokio::time::Instant;

use super::{Attempt, text::Text};
use crate::{
    telemetry::REQUEST_ID,
    upstream::{Judgement, Verdict},
};

/// An [`Attempt`] as it is noted.
#[derive(Debug)]
pub(super) struct Tried {
    ended: Instant,
    status: Option<StatusCode>,
    pub(super) verdict: Verdict,
    exception: Option<&'static str>,
    request_id: Option<Text>,
    pause: Option<Duration>,
}

/// The longest request id that is kept, in bytes; AWS's have 36.
const LONGEST_ID: usize = 64;

// === impl Tried ===

impl Tried {
    pub(super) fn of<B, E>(came: &Result<Response<B>, E>, pause: Option<Duration>) -> Self {
        let ended = Instant::now();
        let Ok(response) = came else {
            let verdict = Verdict::Unreachable;
            return Self { ended, status: None, verdict, exception: None, request_id: None, pause };
        };
        let judgement = response.extensions().get::<Judgement>();
        let id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
        Self {
            ended,
            status: Some(response.status()),
            verdict: judgement.map_or(Verdict::Passed, |judgement| judgement.verdict),
            exception: judgement.and_then(Judgement::named_exception),
            request_id: id.filter(|id| id.len() <= LONGEST_ID).map(Text::from),
            pause,
        }
    }

    pub(super) fn read(&self, since: Instant) -> Attempt {
        Attempt {
            ended: self.ended - since,
            status: self.status,
            verdict: self.verdict,
            exception: self.exception,
            request_id: self.request_id.as_ref().map(Text::read),
            pause: self.pause,
        }
    }

    /// What it takes besides itself, in bytes.
    pub(super) fn heap(&self) -> usize {
        self.request_id.as_ref().map_or(0, Text::heap)
    }
}
