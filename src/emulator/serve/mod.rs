//! HOW a request comes in and an answer goes out: the port, the URLs of MediaTailor, and its errors.

pub(super) mod answer;
pub(super) mod json;
pub(super) mod route;
pub(super) mod server;
pub(super) mod service;
pub(super) mod socket;
