//! From start to stop: signals, the ports' way from one process to the next, reloads, and what is done
//! from time to time.

pub(super) mod attend;
pub(super) mod hand_over;
pub(super) mod reload;
pub(super) mod signals;
pub(super) mod system;
pub(super) mod upkeep;
