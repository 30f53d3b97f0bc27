use std::{error::Error as StdError, time::Duration};

use http::{HeaderValue, StatusCode, Uri};
use tracing::{debug, info, warn};

use super::{Chain, EXCHANGE, Meters, TraceId, configuration, last_part, ms};
use crate::{
    session::{Kind, SessionKey},
    upstream::Verdict,
};

/// What is logged of one exchange once it has ended.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// `None` where the request names no session.
    pub(crate) key: Option<&'a SessionKey>,
    pub(crate) kind: Kind,
    pub(crate) uri: &'a Uri,
    /// `None` where no turn was needed.
    pub(crate) waited: Option<Duration>,
    pub(crate) upstream: Duration,
    pub(crate) status: Option<StatusCode>,
    pub(crate) request_id: Option<&'a HeaderValue>,
    /// What its answer meant, or that there was none.
    pub(crate) verdict: Option<Verdict>,
    /// It had its turn, and was answered without the upstream: that was told when it was decided.
    pub(crate) made_here: bool,
    /// How many repeats attached.
    pub(crate) attached: u32,
    /// No player was left for the answer.
    pub(crate) abandoned: bool,
    /// The trace of the request that made it.
    pub(crate) trace: Option<TraceId>,
    pub(crate) error: Option<&'a (dyn StdError + 'static)>,
}

// === impl Exchange ===

impl Exchange<'_> {
    pub(crate) fn log(&self) {
        let meters = Meters::get();
        if let Some(waited) = self.waited {
            meters.waited(self.kind, waited);
        }
        meters.audience(self.attached, self.abandoned);
        if self.made_here {
            return;
        }
        meters.exchange(self.kind, self.status, self.waited, self.upstream);
        let request_id = self.request_id.and_then(|id| id.to_str().ok());
        let status = self.status.map(|status| status.as_u16());
        let playlist = self.playlist();
        let session = self.key.map(tracing::field::display);
        // All is said of an answer that is good.
        let failed = self.verdict.filter(|verdict| !matches!(verdict, Verdict::Playlist | Verdict::Passed));
        let verdict = failed.map(Verdict::as_str);
        let trace_id = self.trace.map(tracing::field::display);
        macro_rules! line {
            ($level:ident, $($rest:tt)*) => {
                $level!(
                    target: EXCHANGE,
                    session,
                    configuration = configuration(self.uri),
                    kind = self.kind.as_str(),
                    playlist,
                    wait_ms = ms(self.waited.unwrap_or_default()),
                    upstream_ms = ms(self.upstream),
                    status,
                    verdict,
                    request_id,
                    attached = self.attached,
                    abandoned = self.abandoned,
                    trace_id,
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
        last_part(self.uri)
    }
}
