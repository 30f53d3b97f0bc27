//! One lane per MediaTailor session.
pub mod session;

#[cfg(feature = "emulator")]
pub mod emulator;
