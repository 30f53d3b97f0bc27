//! What there is to tell of leases.

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use ::metrics::{counter, gauge, histogram};
use tracing::{debug, info, warn};

use super::{LEASE, Seldom, metrics};

/// Turns without a lease since that was last said.
static BYPASSED: AtomicU64 = AtomicU64::new(0);

/// Bounds how often it is said that the engine is bypassed.
static SELDOM: Seldom = Seldom::new();

/// Whether that is what was said last, or nothing yet.
static SAID: AtomicBool = AtomicBool::new(true);

/// A turn has its lease.
pub(crate) fn lease_granted(waited: Duration) {
    counter!(metrics::LEASES, "result" => "granted").increment(1);
    histogram!(metrics::LEASE_SECONDS).record(waited);
}

/// A turn goes without.
pub(crate) fn lease_bypassed() {
    counter!(metrics::LEASES, "result" => "bypassed").increment(1);
    BYPASSED.fetch_add(1, Ordering::Relaxed);
}

/// A call to the engine failed.
pub(crate) fn lease_failed(why: &dyn Display) {
    counter!(metrics::LEASE_FAILURES).increment(1);
    debug!(target: LEASE, %why, "a call failed");
}

/// A lease became another's while its turn went on.
pub(crate) fn lease_lost(lease: &dyn Display) {
    counter!(metrics::LEASES_LOST).increment(1);
    warn!(target: LEASE, %lease, "lost while its turn goes on: it may conflict");
}

/// The engine is asked from now on. It is said after each time that the contrary was, and so no more often.
pub(crate) fn lease_up() {
    gauge!(metrics::LEASE_UP).set(1.0);
    if !SAID.swap(false, Ordering::Relaxed) {
        return;
    }
    let bypassed = BYPASSED.swap(0, Ordering::Relaxed);
    info!(target: LEASE, bypassed, "turns are agreed among instances");
}

/// The engine is not asked until it answers again.
pub(crate) fn lease_down(why: &dyn Display) {
    gauge!(metrics::LEASE_UP).set(0.0);
    if SELDOM.due().is_none() {
        return;
    }
    SAID.store(true, Ordering::Relaxed);
    let bypassed = BYPASSED.swap(0, Ordering::Relaxed);
    warn!(
        target: LEASE, %why, bypassed,
        "the engine is of no use: turns are those of the local lanes alone, and may conflict with other instances'"
    );
}
