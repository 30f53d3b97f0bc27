//! Turns agreed among instances: by an engine that the test is, by a real Redis, and by three sidecars before one upstream.

mod bad_input;
mod engine;
mod faults;
mod fleet;
mod forms;
mod order;
mod policy;
mod quota;
mod redis;
mod viewers;
