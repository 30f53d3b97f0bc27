//! One lane per MediaTailor session.
pub mod lane;
pub mod serialize;
pub mod session;
pub mod telemetry;

#[cfg(feature = "emulator")]
pub mod emulator;
#[cfg(feature = "sidecar")]
pub mod sidecar;
