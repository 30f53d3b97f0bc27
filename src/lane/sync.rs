//! What the lane is built from: tokio's semaphore and clock, dashmap's map. `tests/shuttle.rs` runs the lane's
//! own code on shuttle's models of the same.

#[cfg(not(onelane_shuttle))]
pub(super) use {
    dashmap::{DashMap, Entry},
    std::sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    tokio::{
        sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
        time::timeout,
    },
};

#[cfg(onelane_shuttle)]
pub(super) use {
    shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    shuttle_dashmap::{DashMap, Entry},
    shuttle_tokio::{
        sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
        time::timeout,
    },
};
