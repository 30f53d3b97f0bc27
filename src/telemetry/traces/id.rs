use std::fmt;

use opentelemetry::trace;

use crate::session::hex;

/// The id of a trace, as logs have it: 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(trace::TraceId);

// === impl TraceId ===

impl TraceId {
    pub(super) fn new(id: trace::TraceId) -> Self {
        Self(id)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&hex::<16, 32>(self.0.to_bytes())).unwrap_or_default())
    }
}
