//! WHERE requests go: the upstream's URL and the client that speaks with it.

pub(crate) mod client;
pub(super) mod counted;
pub(super) mod endpoint;
mod sent;
