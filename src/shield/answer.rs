use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::{Cause, Known, Playlist};
use crate::{
    observe::record::Note,
    serialize::MadeHere,
    session::{Kind, SessionKey},
    telemetry,
    upstream::{Judgement, Verdict},
};

/// What a player gets without the upstream.
#[derive(Debug)]
pub(crate) struct Answer {
    verdict: Verdict,
    status: Option<StatusCode>,
    again: Duration,
    in_doubt: bool,
}

/// When to ask again; in the extensions of an answer of the shield.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskAgainIn(pub(crate) Duration);

/// In the extensions of an answer that a session is lost, which others of its playlists have yet to say: the last good playlist may
/// bridge that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InDoubt;

/// Once a quota is spent, when to ask again.
const LATER: Duration = Duration::from_secs(10);

// === impl Answer ===

impl Answer {
    pub(crate) fn of(known: &Known) -> Self {
        let verdict = match (known.cause, known.status.map(|status| status.as_u16())) {
            (Cause::Lost, _) => Verdict::SessionLost,
            (Cause::Blocked, _) => Verdict::Blocked,
            (Cause::Missing, _) => Verdict::NotFound,
            (Cause::Failing, Some(409)) => Verdict::Conflict,
            (Cause::Failing, Some(429)) => Verdict::Throttled,
            (Cause::Failing, Some(503)) => Verdict::Overloaded,
            (Cause::Failing, Some(504)) => Verdict::TimedOut,
            (Cause::Failing, Some(_)) => Verdict::OriginBroken,
            (Cause::Failing, None) => Verdict::Unreachable,
        };
        Self { verdict, status: known.status, again: known.next_probe, in_doubt: false }
    }

    /// The same to who asks for this playlist.
    pub(crate) fn to(playlist: Playlist, known: &Known) -> Self {
        Self { in_doubt: known.is_in_doubt_for(playlist), ..Self::of(known) }
    }

    pub(super) fn held_back() -> Self {
        Self { verdict: Verdict::HeldBack, status: None, again: LATER, in_doubt: false }
    }

    /// Tells the log, the metrics and, where one is kept, the request's record that it is given.
    pub(crate) fn told(self, key: &SessionKey, kind: Kind, note: Option<&Note>) -> Self {
        telemetry::shielded(key, kind, self.verdict);
        if let Some(note) = note {
            note.shielded(self.verdict);
        }
        self
    }

    /// With an empty body: the stages around make of it what players get.
    pub(crate) fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = Response::new(B::from(Bytes::new()));
        *response.status_mut() = self.status.unwrap_or(StatusCode::BAD_GATEWAY);
        response.extensions_mut().insert(Judgement::from(self.verdict));
        response.extensions_mut().insert(AskAgainIn(self.again));
        response.extensions_mut().insert(MadeHere);
        if self.in_doubt {
            response.extensions_mut().insert(InDoubt);
        }
        response
    }
}
