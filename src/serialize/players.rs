use std::sync::Arc;

use http::Uri;
use tokio::time::Instant;

use super::{
    Error, ErrorKind,
    exchange::{Answer, Audience, Exchange, Head},
    repeats::Open,
};
use crate::{
    session::{Kind, SessionKey},
    telemetry::{self, Flights, TraceId},
    upstream::Verdict,
};

/// Who asked for what, and when.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) key: SessionKey,
    pub(super) kind: Kind,
    pub(super) at: Instant,
    /// When its player's time began: before, if something around has kept it waiting.
    pub(super) since: Instant,
    pub(super) trace: Option<TraceId>,
}

/// The players' side of a running exchange: whatever becomes of it, they get an answer.
pub(super) struct Players {
    exchange: Arc<Exchange>,
    open: Option<Open>,
    asked: Asked,
    uri: Uri,
    /// When the turn came.
    sent: Option<Instant>,
    outcome: Option<Outcome>,
}

/// How an exchange ended, for its log line.
struct Outcome {
    head: Option<Head>,
    error: Option<Error>,
    audience: Audience,
}

// === impl Players ===

impl Players {
    /// Those of an exchange that is still to be sent, which others may attach to as long as it is `open`.
    pub(super) fn new(exchange: Arc<Exchange>, open: Option<Open>, asked: Asked, uri: Uri) -> Self {
        Self { exchange, open, asked, uri, sent: None, outcome: None }
    }

    /// Whose playlist they asked for.
    pub(super) fn session(&self) -> &SessionKey {
        &self.asked.key
    }

    /// Resolves when the last has gone or run out of time.
    pub(super) async fn deserted(&self) {
        self.exchange.deserted().await;
    }

    /// The turn has come. `false` when there is nobody left to send for.
    pub(super) fn send(&mut self) -> bool {
        let wanted = self.exchange.send();
        self.sent = wanted.then(Instant::now);
        if let (Some(note), Some(sent)) = (self.exchange.note(), self.sent) {
            note.sent(sent);
        }
        wanted
    }

    /// Everybody left while it waited.
    pub(super) fn left(self) {
        telemetry::left(&self.asked.key, self.asked.kind, self.asked.at.elapsed());
    }

    /// From here on nobody attaches: who comes stands in line like any other.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Answers all players. A second answer is one that came too late; it only says how the exchange ended.
    pub(super) fn answer(&mut self, answer: Result<Answer, Error>) {
        self.close();
        if self.outcome.is_some() {
            if let Err(error) = answer {
                self.failed(&error);
            }
            return;
        }
        let (head, error) = match &answer {
            Ok(answer) => (answer.head(), None),
            Err(error) => (None, Some(error.clone())),
        };
        let audience = self.exchange.answer(answer);
        self.outcome = Some(Outcome { head, error, audience });
    }

    /// Its time is up.
    pub(super) fn held_too_long(&mut self) {
        // What has its answer by now is cut short in its body.
        if self.outcome.is_none() {
            telemetry::unanswered(self.asked.kind, Verdict::TimedOut);
        }
        self.answer(Err(Error::new(ErrorKind::HeldTooLong)));
    }

    /// The exchange failed after its players had the beginning of the answer.
    pub(super) fn failed(&mut self, error: &Error) {
        if let Some(outcome) = &mut self.outcome {
            outcome.error = Some(error.clone());
        }
    }
}

impl Drop for Players {
    /// The end of the exchange, by whatever way: a panic of the inner service and the end of the runtime come
    /// by here as well.
    fn drop(&mut self) {
        if self.outcome.is_none() {
            self.answer(Err(Error::new(ErrorKind::Panicked)));
        }
        let (Some(sent), Some(outcome)) = (self.sent, &self.outcome) else {
            return;
        };
        let ended = Instant::now();
        let Audience { attached, abandoned } = outcome.audience;
        Flights::get().ended(abandoned);
        let failed = outcome.error.as_ref().map(|error| Verdict::of_error(error));
        let head = outcome.head.as_ref();
        let status = head.map(|head| head.status);
        if let Some(note) = self.exchange.note() {
            note.ended(ended, status, failed, abandoned);
        }
        telemetry::Exchange {
            key: Some(&self.asked.key),
            kind: self.asked.kind,
            uri: &self.uri,
            waited: Some(sent - self.asked.at),
            upstream: ended - sent,
            status,
            request_id: head.and_then(|head| head.request_id.as_ref()),
            verdict: failed.or(head.and_then(|head| head.verdict)),
            made_here: head.is_some_and(|head| head.made_here),
            attached,
            abandoned,
            trace: self.asked.trace,
            error: outcome.error.as_ref().map(|error| error as _),
        }
        .log();
    }
}
