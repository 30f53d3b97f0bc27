//! WHAT is told of it, and what it can be told: the pages below `/__emulator`.

pub(super) mod control;
pub(super) mod debug;
pub(super) mod tally;
pub(super) mod trace;
