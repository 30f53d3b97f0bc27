use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::{Method, StatusCode, Uri, request::Parts};
use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use super::{
    Traces,
    caller::{self, Caller},
    spans,
};
use crate::{
    observe::record::{Note, Record},
    session::SessionKey,
    telemetry::TraceId,
    upstream::Verdict,
};

/// The trace of one request: what its spans have in common, for as long as more may become of it.
///
/// The player's wait and the exchange both hold it, whichever is longer, and so does who attached to the exchange. Dropping the last is
/// its end: what was noted by then becomes the spans, or nothing does.
pub(crate) struct Trace {
    traces: Traces,
    note: Note,
    pub(super) key: Option<SessionKey>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) caller: Option<Caller>,
    /// The request's span.
    pub(super) request: SpanContext,
    /// The exchange's, if there will be one.
    pub(super) exchange: SpanContext,
    /// It needs no turn.
    passes: AtomicBool,
    /// It is kept whatever comes of it.
    wanted: AtomicBool,
    /// Whose exchange has the answer.
    first: Mutex<Option<Arc<Self>>>,
}

// === impl Trace ===

impl Trace {
    pub(super) fn begin(traces: &Traces, note: Note, key: Option<SessionKey>, head: &mut Parts) -> Self {
        let ids = RandomIdGenerator::default();
        let caller = Caller::of(&head.headers);
        let id = caller.as_ref().map_or_else(|| ids.new_trace_id(), |caller| caller.trace);
        let sampled = match &caller {
            Some(caller) => caller.sampled,
            None => traces.0.share.has(id),
        };
        let state = caller.as_ref().map_or(TraceState::NONE, |caller| caller.state.clone());
        let flags = TraceFlags::default().with_sampled(sampled);
        let span = |state| SpanContext::new(id, ids.new_span_id(), flags, false, state);
        let (request, exchange) = (span(state.clone()), span(state));
        caller::tell(&mut head.headers, &exchange, caller.as_ref());
        Self {
            traces: traces.clone(),
            note,
            key,
            method: head.method.clone(),
            uri: head.uri.clone(),
            caller,
            request,
            exchange,
            passes: AtomicBool::new(false),
            wanted: AtomicBool::new(sampled),
            first: Mutex::new(None),
        }
    }

    pub(crate) fn id(&self) -> TraceId {
        TraceId::new(self.request.trace_id())
    }

    /// It is not for a lane.
    pub(crate) fn passes(&self) {
        self.passes.store(true, Relaxed);
    }

    /// It has the answer of another's exchange.
    pub(crate) fn attached_to(&self, first: &Arc<Self>) {
        *self.first() = Some(Arc::clone(first));
    }

    /// It has not, after all.
    pub(crate) fn detached(&self) {
        // Dropped once the lock is let go.
        let first = self.first().take();
        drop(first);
    }

    pub(super) fn takes_turns(&self) -> bool {
        !self.passes.load(Relaxed)
    }

    fn first(&self) -> MutexGuard<'_, Option<Arc<Self>>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something failed for a request.
fn went_wrong(record: &Record) -> bool {
    let answered_wrong = record.answer.as_ref().is_some_and(|answer| {
        answer.status >= StatusCode::INTERNAL_SERVER_ERROR
            || answer.rescue.is_some()
            || answer.reason.is_some()
    });
    answered_wrong
        || record.attempts_left_out > 0
        || record
            .attempts
            .iter()
            .any(|attempt| !matches!(attempt.verdict, Verdict::Playlist | Verdict::Passed))
        || record.ending.is_some_and(|ending| ending.failed.is_some())
}

impl Drop for Trace {
    fn drop(&mut self) {
        let first = mem::take(self.first.get_mut().unwrap_or_else(PoisonError::into_inner));
        let keep = self.wanted.load(Relaxed) || self.note.look(went_wrong);
        if !keep {
            return;
        }
        if let Some(first) = &first {
            // What is linked to is to be found.
            first.wanted.store(true, Relaxed);
        }
        let queue = &self.traces.0.queue;
        for span in spans::of(self, first.as_deref(), &self.note.read()) {
            queue.push(span);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("id", &self.request.trace_id()).finish_non_exhaustive()
    }
}
