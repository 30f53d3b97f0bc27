//! One lane per MediaTailor session.
pub mod lane;
pub mod session;

#[cfg(feature = "emulator")]
pub mod emulator;
