//! The command line: where its lines of log go, the variables that stand for flags, and what is written about it.

pub(crate) mod logs;
pub(crate) mod papers;
pub(crate) mod variables;
