//! HOW players' connections come in and end: the port, HTTP/1.1, HTTP/2 and TLS on it, the threads that serve them.

pub(super) mod activity;
pub(super) mod connection;
pub(super) mod door;
mod expiry;
pub(super) mod threads;
pub(super) mod tls;
pub(super) mod watched;
pub(super) mod wire;
