//! WHO plays, and may they now? Sessions from their creation to their end, what is in flight in each, and
//! how long it takes.

pub(super) mod admission;
pub(super) mod chance;
pub(super) mod client;
pub(super) mod create;
pub(super) mod exchange;
pub(super) mod latency;
pub(super) mod rate;
pub(super) mod sessions;
pub(super) mod state;
pub(super) mod work;
