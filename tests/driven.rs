//! The tests of `serialize` once more, where the players' futures drive their exchanges.

#[path = "serialize/main.rs"]
mod serialize;
