use std::time::Duration;

use http::{Response, StatusCode};

use crate::{
    telemetry::REQUEST_ID,
    upstream::{Judgement, Verdict},
};

/// One time that a request was sent upstream, and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// When the answer was judged, after the request came.
    pub ended: Duration,
    /// `None` where none came.
    pub status: Option<StatusCode>,
    /// What it means.
    pub verdict: Verdict,
    /// The name of the exception that MediaTailor gave, or that the status stands for.
    pub exception: Option<&'static str>,
    /// In AWS's logs the request has the same id.
    pub request_id: Option<Box<str>>,
    /// How long it was until the next attempt; `None` after the last one.
    pub pause: Option<Duration>,
}

/// The longest request id that is kept, in bytes; AWS's have 36.
const LONGEST_ID: usize = 64;

// === impl Attempt ===

impl Attempt {
    pub(super) fn of<B, E>(ended: Duration, came: &Result<Response<B>, E>, pause: Option<Duration>) -> Self {
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
            exception: judgement.and_then(|judgement| judgement.exception).map(|exception| exception.name()),
            request_id: id.filter(|id| id.len() <= LONGEST_ID).map(Into::into),
            pause,
        }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.request_id.as_deref().map_or(0, str::len)
    }
}
