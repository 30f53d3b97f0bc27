use std::{error::Error as StdError, fmt, sync::Arc};

use http::StatusCode;
use tower::BoxError;

use crate::{lane, session::MalformedId};

/// Why a request got no answer, or an answer's body no end.
///
/// It can be cloned, since an exchange may have several players that wait for it.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of [`Error`] it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What stands where the session id belongs cannot be one.
    MalformedSession,
    /// As many requests wait as the lane's limits allow.
    LaneFull,
    /// No answer within [`Config::answer_within`](super::Config::answer_within); the exchange goes on.
    TimedOut,
    /// The exchange held its turn for [`Config::max_hold`](super::Config::max_hold) and was dropped.
    HeldTooLong,
    /// The lanes were closed.
    Closed,
    /// The inner service failed, or the body of its response did.
    Upstream,
    /// The inner service panicked, or the runtime shut down under the exchange.
    Panicked,
}

// === impl Error ===

impl Error {
    pub(super) fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(super) fn upstream(source: impl Into<BoxError>) -> Self {
        match source.into().downcast::<Self>() {
            // Said once already, by what read the body under a layer in between.
            Ok(own) => *own,
            Err(source) => Self { kind: ErrorKind::Upstream, source: Some(Arc::from(source)) },
        }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The status that a player survives best: 504 where time or room ran out, 502 where the upstream failed,
    /// 503 at shutdown, 400 for a malformed session id. Never 409 or 429, on which hls.js gives up at once.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            ErrorKind::MalformedSession => StatusCode::BAD_REQUEST,
            ErrorKind::LaneFull | ErrorKind::TimedOut | ErrorKind::HeldTooLong => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Upstream | ErrorKind::Panicked => StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<lane::Error> for Error {
    fn from(source: lane::Error) -> Self {
        let kind = match source.kind() {
            lane::ErrorKind::Full => ErrorKind::LaneFull,
            lane::ErrorKind::WaitedTooLong => ErrorKind::TimedOut,
            lane::ErrorKind::Closed => ErrorKind::Closed,
        };
        Self { kind, source: Some(Arc::new(source)) }
    }
}

impl From<MalformedId> for Error {
    fn from(source: MalformedId) -> Self {
        Self { kind: ErrorKind::MalformedSession, source: Some(Arc::new(source)) }
    }
}

// === impl ErrorKind ===

impl ErrorKind {
    /// The kind in words, as logs and `Display` have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedSession => "malformed session id",
            Self::LaneFull => "lane full",
            Self::TimedOut => "no answer in time",
            Self::HeldTooLong => "exchange held its turn too long",
            Self::Closed => "shutting down",
            Self::Upstream => "upstream failed",
            Self::Panicked => "exchange ended without an answer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_below_is_said_once() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = Error::upstream(BoxError::from(Error::upstream(reset)));
        assert_eq!(error.kind(), ErrorKind::Upstream);
        let cause = error.source().expect("a cause");
        assert!(cause.is::<std::io::Error>(), "{cause:?}");
        let late = Error::upstream(Error::new(ErrorKind::TimedOut));
        assert_eq!(late.kind(), ErrorKind::TimedOut, "what a layer in between found out is kept");
    }
}
