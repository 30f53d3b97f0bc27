//! The sidecar over real sockets: bad input, a bad upstream, headers, connections, TLS and the process.
#![cfg(unix)]

mod admin;
mod bad_input;
mod bad_upstream;
mod clients;
mod connections;
mod far;
mod hand_over;
mod headers;
mod logs;
mod metrics;
mod player;
mod players_tls;
mod process;
mod reload;
mod settings;
mod sharing;
mod sites;
mod support;
mod survive;
mod tls;
