//! The outermost look at a request: which playback configuration it was for, what its player got, and how long that took.
//!
//! What it sees goes to the [metrics](crate::telemetry::metrics).

mod layer;

pub use self::layer::{Observe, ObserveFuture, ObserveLayer};
