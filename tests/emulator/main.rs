//! The emulator over real sockets, as players and proxies meet it.
#![cfg(feature = "emulator")]

#[path = "../../src/emulator/play/fixture.rs"]
mod fixture;

mod client;
mod conflicts;
mod content;
mod faults;
mod requests;
mod service;
mod sessions;
