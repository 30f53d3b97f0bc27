//! Every log line of the library, by name. A session is shown by the first characters of its id, and the lines
//! join with AWS's own by time, that beginning and the request id.

use std::{error::Error as StdError, fmt, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode, Uri};
use tracing::{debug, info, warn};

use crate::session::{Kind, SessionKey};

/// The target of the lines on exchanges: one for each that was sent. Segments and requests that are not
/// MediaTailor's have theirs at debug level, unless they fail.
pub const EXCHANGE: &str = "onelane::exchange";

/// The target of the lines on requests that were not sent, or not answered in time.
pub const LANE: &str = "onelane::lane";

/// The header in which AWS names a request; its logs have the same id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What is logged of one exchange once it has ended.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// `None` where the request names no session.
    pub(crate) key: Option<&'a SessionKey>,
    pub(crate) kind: Kind,
    pub(crate) uri: &'a Uri,
    pub(crate) waited: Duration,
    pub(crate) upstream: Duration,
    pub(crate) status: Option<StatusCode>,
    pub(crate) request_id: Option<&'a HeaderValue>,
    /// How many repeats attached.
    pub(crate) attached: u32,
    /// No player was left for the answer.
    pub(crate) abandoned: bool,
    pub(crate) error: Option<&'a (dyn StdError + 'static)>,
}

/// The longest part of a path that is logged, in characters.
const SHOWN: usize = 64;

/// An error with all its causes, in one line.
struct Chain<'a>(&'a (dyn StdError + 'static));

/// Durations are logged in milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

// === impl Exchange ===

impl Exchange<'_> {
    pub(crate) fn log(&self) {
        let request_id = self.request_id.and_then(|id| id.to_str().ok());
        let status = self.status.map(|status| status.as_u16());
        let playlist = self.playlist();
        let session = self.key.map(tracing::field::display);
        macro_rules! line {
            ($level:ident, $($rest:tt)*) => {
                $level!(
                    target: EXCHANGE,
                    session,
                    kind = self.kind.as_str(),
                    playlist,
                    wait_ms = ms(self.waited),
                    upstream_ms = ms(self.upstream),
                    status,
                    request_id,
                    attached = self.attached,
                    abandoned = self.abandoned,
                    $($rest)*
                )
            };
        }
        match self.error {
            None if matches!(self.kind, Kind::Segment | Kind::Other) => line!(debug, "exchange"),
            None => line!(info, "exchange"),
            Some(error) => line!(warn, error = %Chain(error), "exchange failed"),
        }
    }

    /// The last part of the path, unless that may be a secret or another's words.
    fn playlist(&self) -> Option<&str> {
        if matches!(self.kind, Kind::Tracking | Kind::Segment | Kind::Other) {
            return None;
        }
        self.uri.path().rsplit('/').next().and_then(|name| name.get(..name.len().min(SHOWN)))
    }
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
    warn!(target: LANE, session = %key, kind = kind.as_str(), error = %Chain(error), "refused");
}

/// Every player of a request left while it waited: it was not sent.
pub(crate) fn left(key: &SessionKey, kind: Kind, waited: Duration) {
    debug!(target: LANE, session = %key, kind = kind.as_str(), wait_ms = ms(waited), "left before its turn");
}

/// A player's time ran out; what it asked for may go on without it.
pub(crate) fn timed_out(key: &SessionKey, kind: Kind, waited: Duration) {
    warn!(target: LANE, session = %key, kind = kind.as_str(), wait_ms = ms(waited), "no answer in time");
}
