//! WHAT goes wrong on purpose, for whom, and what it makes of an answer.

pub(super) mod aim;
pub(super) mod broken;
pub(super) mod damage;
pub(super) mod faults;
pub(super) mod kind;
pub(super) mod requests;
pub(super) mod what;
