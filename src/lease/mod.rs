//! A turn agreed among instances, for where the balancer cannot always send a session to the same one.
//!
//! The head of a session's [lane](crate::lane) asks an engine that all instances share for the session's
//! **lease**, and has its turn once the lease is granted; the rest of the lane waits behind it as ever. So
//! each instance has one contender per session at most, order within an instance stays, and the engine lets
//! the instances have their turns in the order in which they asked.
//!
//! # A lock for efficiency
//!
//! MediaTailor cannot check a fencing token, and two holders at once cost a 409 and its retry. An engine that is
//! slow or down is therefore **bypassed**: a call may take [`BUDGET`], and after three failures in a row, or half
//! a second of them, no turn asks the engine any more until it answers again, which is tried in the background.
//! Turns are then those of the local lanes alone. No player's request ever fails for want of a lease.
//!
//! A lease that is held is renewed, but never for longer than its exchange may hold the turn, plus a second.
//! The lease of an instance that died is free after [`TTL`].

mod health;
mod held;
mod leases;
mod owed;
#[cfg(feature = "redis")]
pub mod redis;
mod store;
mod upkeep;
mod waiting;

use std::time::Duration;

pub use self::{
    held::Lease,
    leases::Leases,
    store::{Answer, Grant, LeaseId, LeaseStore, StoreError, Token, Wakes},
};

/// A request has it in its extensions whose turn was to be agreed with other instances, and is not: a
/// conflict is then theirs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotAgreed;

/// How long one call to the engine may take, unless [`Leases::within`] says otherwise. This is far above what
/// an engine next door takes, some 0.5 ms.
pub const BUDGET: Duration = Duration::from_millis(50);

/// How long a lease is valid without being renewed, which happens every third of it.
pub const TTL: Duration = Duration::from_secs(3);

/// How long a released lease is kept for the instance that is next.
pub const RESERVED: Duration = Duration::from_millis(100);
