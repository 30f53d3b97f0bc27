//! One lane per MediaTailor session.
pub mod lane;
pub mod serialize;
pub mod session;
pub mod telemetry;

#[cfg(all(feature = "sidecar", feature = "emulator"))]
pub mod demo;
#[cfg(feature = "emulator")]
pub mod emulator;
#[cfg(feature = "sidecar")]
pub mod sidecar;
