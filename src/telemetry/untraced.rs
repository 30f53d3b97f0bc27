//! What [`traces`](super) are where the feature `otlp` is left out: there is none, and nothing to write down.

use std::{fmt, sync::Arc};

use http::request::Parts;
use tokio::time::Instant;

use crate::{
    observe::record::{Note, Noted},
    session::Extracted,
};

/// Nobody has one.
#[derive(Debug, Clone)]
pub(crate) enum Traces {}

/// Nor one of these.
#[derive(Debug)]
pub(crate) enum Trace {}

/// So that none of these needs room, nor is it looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TraceId {}

// === impl Traces ===

impl Traces {
    #[cfg(feature = "sidecar")]
    pub(crate) fn keep(&self, _: f64) {
        match *self {}
    }

    pub(crate) fn begin(
        &self,
        _: Instant,
        _: Option<Note>,
        _: &Extracted,
        _: Option<&Arc<str>>,
        _: &mut Parts,
    ) -> Note {
        match *self {}
    }
}

// === impl Trace ===

impl Trace {
    pub(crate) fn id(&self) -> TraceId {
        match *self {}
    }

    pub(crate) fn noted(&self) -> &Noted {
        match *self {}
    }

    pub(crate) fn passes(&self) {
        match *self {}
    }

    pub(crate) fn attached_to(&self, _: &Arc<Self>) {
        match *self {}
    }

    pub(crate) fn detached(&self) {
        match *self {}
    }
}

// === impl TraceId ===

impl fmt::Display for TraceId {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
