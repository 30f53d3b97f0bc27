use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode};
use tokio::sync::Notify;

use super::{Error, ErrorKind, MadeHere, body::Whole, repeats::Identity, story::Driven, stream::Parts};
use crate::{
    observe::record::Note,
    telemetry::{self, Flights},
    upstream::{Judgement, Verdict},
};

/// The most players that one exchange answers; a bound for memory, far above what any player repeats.
const MOST_WATCHERS: u32 = 1024;

/// What one exchange and the players that wait for it share.
#[derive(Debug)]
pub(super) struct Exchange {
    /// What a repeat must equal to attach; `None` where none may.
    identity: Option<Identity>,
    /// Where it is written down what becomes of it, if it is.
    note: Option<Note>,
    state: Mutex<State>,
    answered: Notify,
    deserted: Notify,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    watchers: u32,
    /// Whether the player that made the exchange still waits: a stream is its own.
    maker_waits: bool,
    /// How many attached to the first.
    attached: u32,
    answer: Option<Result<Answer, Error>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// Every player left while it waited; it will not be sent.
    Deserted,
    /// With the upstream: it runs to its end.
    Sent,
    Answered,
}

/// What came of an exchange.
#[derive(Debug)]
pub(super) enum Answer {
    Whole(Response<Whole>),
    /// For one player alone; `None` once it has it.
    Streamed(Option<Response<Parts>>),
}

/// What an answer's head says of how the exchange ended.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// The upstream's.
    pub(super) request_id: Option<HeaderValue>,
    pub(super) verdict: Option<Verdict>,
    /// Whether the upstream was not asked.
    pub(super) made_here: bool,
}

/// One player's wait for an exchange. Dropping it abandons the exchange.
#[derive(Debug)]
pub(super) struct Watcher {
    exchange: Arc<Exchange>,
    /// It made the exchange; the others attached.
    maker: bool,
    answered: bool,
}

/// How many players an exchange had, for its log line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Audience {
    pub(super) attached: u32,
    /// Nobody was left to answer.
    pub(super) abandoned: bool,
}

// === impl Exchange ===

impl Exchange {
    /// A new exchange with its first watcher.
    pub(super) fn new(identity: Option<Identity>, note: Option<Note>) -> (Arc<Self>, Watcher) {
        let state =
            State { stage: Stage::Waiting, watchers: 1, maker_waits: true, attached: 0, answer: None };
        let exchange = Arc::new(Self {
            identity,
            note,
            state: Mutex::new(state),
            answered: Notify::new(),
            deserted: Notify::new(),
        });
        let watcher = Watcher { exchange: Arc::clone(&exchange), maker: true, answered: false };
        (exchange, watcher)
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    pub(super) fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    /// One more player for the same answer; `None` when it is too late to get it.
    pub(super) fn attach(self: &Arc<Self>) -> Option<Watcher> {
        let mut state = self.state();
        match state.stage {
            Stage::Waiting | Stage::Sent if state.watchers < MOST_WATCHERS => {}
            _ => return None,
        }
        if state.stage == Stage::Sent && state.watchers == 0 {
            Flights::get().found();
        }
        state.watchers += 1;
        state.attached += 1;
        Some(Watcher { exchange: Arc::clone(self), maker: false, answered: false })
    }

    /// Resolves when every player left before the exchange was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn deserted(&self) {
        self.deserted.notified().await;
    }

    /// From here on the exchange outlives its players. `false` when they have all left: do not send.
    pub(super) fn send(&self) -> bool {
        let mut state = self.state();
        let wanted = state.stage == Stage::Waiting;
        if wanted {
            state.stage = Stage::Sent;
            Flights::get().sent();
        }
        wanted
    }

    /// Gives the answer to all who wait for it. Only the first answer counts.
    pub(super) fn answer(&self, answer: Result<Answer, Error>) -> Audience {
        let mut state = self.state();
        let audience = Audience { attached: state.attached, abandoned: state.watchers == 0 };
        if state.stage != Stage::Answered {
            state.stage = Stage::Answered;
            state.answer = (!audience.abandoned).then_some(answer);
        }
        drop(state);
        self.answered.notify_waiters();
        audience
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way, and a poisoned lock must not stick a session.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn head(&self) -> Option<Head> {
        match self {
            Self::Whole(response) => Some(Head::of(response)),
            Self::Streamed(response) => response.as_ref().map(Head::of),
        }
    }

    /// For one of several players.
    fn share(&mut self) -> Option<Self> {
        match self {
            Self::Whole(response) => Some(Self::Whole(response.clone())),
            Self::Streamed(response) => Some(Self::Streamed(Some(response.take()?))),
        }
    }
}

// === impl Head ===

impl Head {
    fn of<B>(response: &Response<B>) -> Self {
        let (headers, extensions): (&HeaderMap, &Extensions) = (response.headers(), response.extensions());
        Self {
            status: response.status(),
            request_id: headers.get(telemetry::REQUEST_ID).cloned(),
            verdict: extensions.get().map(|judgement: &Judgement| judgement.verdict),
            made_here: extensions.get::<MadeHere>().is_some(),
        }
    }
}

// === impl Watcher ===

impl Watcher {
    /// Waits for the answer; `None` when it is a stream that another player has: the request must be made
    /// anew.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the exchange.
    pub(super) async fn answer(mut self) -> Option<Result<Answer, Error>> {
        let exchange = Arc::clone(&self.exchange);
        loop {
            // Made before the look, so that an answer in between is not missed.
            let answered = exchange.answered.notified();
            if let Some(answer) = self.look() {
                return answer;
            }
            answered.await;
        }
    }

    /// As [`answer`](Self::answer), for the one who drives the exchange. Nobody else answers it, so that there is no word of
    /// it to wait for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the exchange, which goes on in a task of its own.
    pub(super) async fn drive(mut self, mut driven: Driven) -> Option<Result<Answer, Error>> {
        poll_fn(|cx| {
            driven.go_on(cx);
            self.look().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn look(&mut self) -> Option<Option<Result<Answer, Error>>> {
        let mut state = self.exchange.state();
        if state.stage != Stage::Answered {
            return None;
        }
        self.answered = true;
        state.watchers -= 1;
        if !self.maker && state.maker_waits && matches!(state.answer, Some(Ok(Answer::Streamed(_)))) {
            return Some(None);
        }
        if self.maker {
            state.maker_waits = false;
        }
        if state.watchers == 0 {
            return Some(match state.answer.take() {
                Some(Ok(Answer::Streamed(None))) => None,
                Some(answer) => Some(answer),
                None => Some(Err(Error::new(ErrorKind::Panicked))),
            });
        }
        Some(match &mut state.answer {
            Some(Ok(answer)) => answer.share().map(Ok),
            Some(Err(error)) => Some(Err(error.clone())),
            None => Some(Err(Error::new(ErrorKind::Panicked))),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut state = self.exchange.state();
        state.watchers -= 1;
        if self.maker {
            state.maker_waits = false;
        }
        if state.watchers > 0 {
            return;
        }
        // An answer that came too late for everybody is not kept.
        let _late = state.answer.take();
        if state.stage == Stage::Sent {
            Flights::get().left();
        }
        if state.stage == Stage::Waiting {
            state.stage = Stage::Deserted;
            drop(state);
            self.exchange.deserted.notify_one();
        }
    }
}
