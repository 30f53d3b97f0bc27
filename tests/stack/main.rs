//! All stages in their order over a mock of the upstream. Time is paused: it advances only when nothing else can
//! happen.

mod options;
mod rescue;
mod retry;
mod shield;
mod support;
mod variants;
mod verdicts;
