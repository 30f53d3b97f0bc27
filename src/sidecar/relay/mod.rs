//! WHAT becomes of a request: which upstream it is for, what goes there of it, and what of the answer comes back.

pub(super) mod answer;
pub(super) mod arriving;
pub(super) mod forward;
pub(super) mod proxy;
pub(super) mod site;
pub(super) mod via;
