//! What the operator wants: flags, file and variables, how they are read, and what has changed in them.

pub(super) mod asked;
pub(super) mod bare;
pub(super) mod changes;
pub(super) mod check;
pub(super) mod config;
pub(super) mod file;
pub(super) mod flags;
pub(super) mod lease;
pub(super) mod otlp;
pub(super) mod reread;
pub(super) mod written;
