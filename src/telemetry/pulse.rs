use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::StatusCode;

macro_rules! beats {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Sums over all of the process, for rates of now; the recorder of the metrics cannot be asked for its own.
        #[derive(Debug)]
        pub(crate) struct Pulse {
            $($name: AtomicU64,)*
            /// The longest wait since somebody looked, in microseconds.
            longest_wait: AtomicU64,
        }

        /// What a [`Pulse`] shows; since the process began, but for the last.
        #[cfg(feature = "sidecar")]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(crate) struct Beat {
            $($(#[doc = $doc])* pub(crate) $name: u64,)*
            /// The longest wait since the look before, in microseconds.
            pub(crate) longest_wait: u64,
        }

        impl Pulse {
            const fn new() -> Self {
                Self { $($name: AtomicU64::new(0),)* longest_wait: AtomicU64::new(0) }
            }

            /// Where it stands.
            #[cfg(feature = "sidecar")]
            pub(crate) fn look(&self) -> Beat {
                Beat { $($name: self.$name.load(Relaxed),)* longest_wait: self.longest_wait.swap(0, Relaxed) }
            }
        }

        #[cfg(feature = "sidecar")]
        impl Beat {
            /// What came since an earlier one.
            pub(crate) fn since(&self, before: &Self) -> Self {
                Self { $($name: self.$name - before.$name,)* longest_wait: self.longest_wait }
            }
        }
    };
}

beats! {
    /// Requests that were answered.
    requests,
    /// With a status from 400 on, among them.
    errors,
    /// Requests whose player left before.
    left,
    /// Exchanges that had a turn and have ended.
    exchanges,
    /// How long these waited for it, in microseconds.
    waited,
    /// How long these were upstream, in microseconds.
    upstream,
    conflicts,
    retries,
    rescues,
    shielded,
    attached,
}

static PULSE: Pulse = Pulse::new();

// === impl Pulse ===

impl Pulse {
    /// That of the process.
    pub(crate) fn get() -> &'static Self {
        &PULSE
    }

    pub(super) fn request(&self, status: Option<StatusCode>) {
        match status {
            Some(status) => {
                self.requests.fetch_add(1, Relaxed);
                if status.as_u16() >= 400 {
                    self.errors.fetch_add(1, Relaxed);
                }
            }
            None => {
                self.left.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn exchange(&self, waited: Duration, upstream: Duration) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.exchanges.fetch_add(1, Relaxed);
        self.upstream.fetch_add(micros(upstream), Relaxed);
        let waited = micros(waited);
        self.waited.fetch_add(waited, Relaxed);
        // Hardly ever the longest: it is only looked at.
        if waited > self.longest_wait.load(Relaxed) {
            self.longest_wait.fetch_max(waited, Relaxed);
        }
    }

    pub(super) fn conflict(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    pub(super) fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn rescue(&self) {
        self.rescues.fetch_add(1, Relaxed);
    }

    pub(super) fn shield(&self) {
        self.shielded.fetch_add(1, Relaxed);
    }

    pub(super) fn attached(&self, players: u32) {
        self.attached.fetch_add(players.into(), Relaxed);
    }
}
