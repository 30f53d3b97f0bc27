use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

#[cfg(feature = "otlp")]
use http::Uri;
use tokio::time::Instant;

use super::{Record, jots::Jots};
#[cfg(feature = "otlp")]
use crate::session::Kind;

/// What all who have a note of one request share.
#[derive(Debug)]
pub(crate) struct Noted {
    /// When the request came.
    pub(super) since: Instant,
    /// What all notes of the recorder take, if it is in one.
    bytes: Option<Arc<AtomicUsize>>,
    jots: Mutex<Jots>,
}

// === impl Noted ===

impl Noted {
    /// What one takes at the least, in bytes, its place in memory that is shared included.
    pub(super) const BYTES: usize = size_of::<Self>() + 2 * size_of::<usize>();

    /// One that a recorder has.
    pub(super) fn recorded(since: Instant, jots: Jots, bytes: &Arc<AtomicUsize>) -> Arc<Self> {
        bytes.fetch_add(Self::BYTES + jots.heap(), Relaxed);
        Arc::new(Self { since, bytes: Some(Arc::clone(bytes)), jots: Mutex::new(jots) })
    }

    /// One that is in no recorder.
    #[cfg(feature = "otlp")]
    pub(crate) fn alone(since: Instant, upstream: Option<Arc<str>>, kind: Kind, uri: &Uri) -> Self {
        Self { since, bytes: None, jots: Mutex::new(Jots::new(0, upstream, kind, uri)) }
    }

    /// It takes so much more.
    pub(super) fn takes(&self, bytes: usize) {
        if let Some(all) = &self.bytes {
            all.fetch_add(bytes, Relaxed);
        }
    }

    /// Whether something failed for the request.
    #[cfg(feature = "otlp")]
    pub(crate) fn went_wrong(&self) -> bool {
        self.jots().went_wrong()
    }

    /// What there is by now.
    pub(crate) fn read(&self) -> Record {
        self.jots().read(self.since)
    }

    pub(super) fn jots(&self) -> MutexGuard<'_, Jots> {
        // Nothing in here can panic half-way.
        self.jots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(all) = &self.bytes {
            let jots = self.jots.get_mut().unwrap_or_else(PoisonError::into_inner);
            all.fetch_sub(Self::BYTES + jots.heap(), Relaxed);
        }
    }
}
