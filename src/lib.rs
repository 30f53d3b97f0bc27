#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod lane;
pub mod lease;
pub mod observe;
pub mod remap;
pub mod rescue;
pub mod resume;
pub mod serialize;
pub mod session;
pub mod shield;
pub mod stack;
pub mod telemetry;
pub mod upstream;

#[cfg(feature = "sidecar")]
mod api;
#[cfg(all(feature = "sidecar", feature = "emulator"))]
pub mod demo;
#[cfg(feature = "sidecar")]
pub mod doctor;
#[cfg(feature = "emulator")]
pub mod emulator;

#[cfg(feature = "sidecar")]
pub mod sidecar;
