use std::time::Duration;

use http::StatusCode;

use crate::upstream::Verdict;

/// One time that a request was sent upstream, and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// When the answer was judged, counted from when the request came.
    pub ended: Duration,
    /// The answer's status; `None` where no answer came.
    pub status: Option<StatusCode>,
    /// What the answer means.
    pub verdict: Verdict,
    /// The name of the exception that MediaTailor gave, or that the status stands for.
    pub exception: Option<&'static str>,
    /// The id that the request has in AWS's logs.
    pub request_id: Option<Box<str>>,
    /// How long it was until the next attempt; `None` after the last one.
    pub pause: Option<Duration>,
}
