use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::{Method, Uri, request::Parts};
use opentelemetry::trace::{self, SpanContext, SpanId, TraceFlags, TraceState};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use super::{
    Traces,
    caller::{self, Caller},
    spans,
};
use crate::{observe::record::Noted, session::SessionKey, telemetry::TraceId};

/// The trace of one request: what its spans have in common, for as long as more may become of it.
///
/// The player's wait and the exchange both hold it, whichever is longer, and so does who attached to the
/// exchange. Dropping the last is its end: what was noted by then becomes the spans, or nothing does.
pub(crate) struct Trace {
    traces: Traces,
    notes: Notes,
    pub(super) key: Option<SessionKey>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) caller: Option<Caller>,
    id: trace::TraceId,
    /// The request's span.
    request: SpanId,
    /// The exchange's, if there will be one.
    exchange: SpanId,
    sampled: bool,
    /// It needs no turn.
    passes: AtomicBool,
    /// It is kept whatever comes of it.
    wanted: AtomicBool,
    /// Whose exchange has the answer.
    first: Mutex<Option<Arc<Self>>>,
}

/// Where it is noted what becomes of a request.
#[expect(
    clippy::large_enum_variant,
    reason = "it is in a trace's own memory, so that there is one allocation"
)]
pub(super) enum Notes {
    /// With a recorder.
    Recorded(Arc<Noted>),
    Alone(Noted),
}

// === impl Trace ===

impl Trace {
    pub(super) fn begin(
        traces: &Traces,
        notes: Notes,
        key: Option<SessionKey>,
        head: &mut Parts,
    ) -> Arc<Self> {
        let ids = RandomIdGenerator::default();
        let caller = Caller::of(&head.headers);
        let id = caller.as_ref().map_or_else(|| ids.new_trace_id(), |caller| caller.trace);
        let sampled = match &caller {
            Some(caller) => caller.sampled,
            None => traces.0.share.has(id),
        };
        let (request, exchange) = (ids.new_span_id(), ids.new_span_id());
        caller::tell(&mut head.headers, (id, exchange, sampled), caller.as_ref());
        Arc::new(Self {
            traces: traces.clone(),
            notes,
            key,
            method: head.method.clone(),
            uri: head.uri.clone(),
            caller,
            id,
            request,
            exchange,
            sampled,
            passes: AtomicBool::new(false),
            wanted: AtomicBool::new(sampled),
            first: Mutex::new(None),
        })
    }

    pub(crate) fn id(&self) -> TraceId {
        TraceId::new(self.id)
    }

    pub(crate) fn noted(&self) -> &Noted {
        match &self.notes {
            Notes::Recorded(noted) => noted,
            Notes::Alone(noted) => noted,
        }
    }

    /// The request's span.
    pub(super) fn request(&self) -> SpanContext {
        self.span(self.request)
    }

    /// The exchange's.
    pub(super) fn exchange(&self) -> SpanContext {
        self.span(self.exchange)
    }

    fn span(&self, id: SpanId) -> SpanContext {
        let state = self.caller.as_ref().map_or(TraceState::NONE, |caller| caller.state.clone());
        let flags = TraceFlags::default().with_sampled(self.sampled);
        SpanContext::new(self.id, id, flags, false, state)
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

impl Drop for Trace {
    fn drop(&mut self) {
        let first = mem::take(self.first.get_mut().unwrap_or_else(PoisonError::into_inner));
        let keep = self.wanted.load(Relaxed) || self.noted().went_wrong();
        if !keep {
            return;
        }
        if let Some(first) = &first {
            // What is linked to is to be found.
            first.wanted.store(true, Relaxed);
        }
        let queue = &self.traces.0.queue;
        for span in spans::of(self, first.as_deref(), &self.noted().read()) {
            queue.push(span);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("id", &self.id).finish_non_exhaustive()
    }
}
