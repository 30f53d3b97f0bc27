//! Sees a request from the outside: which playback configuration it was for, what its player got, and
//! how long that took.
//!
//! What it sees goes to the [metrics](crate::telemetry::metrics) and, where somebody wants to look at single
//! sessions, into a [record] of their last requests.

mod layer;
pub mod record;

pub use self::layer::{Observe, ObserveFuture, ObserveLayer};
