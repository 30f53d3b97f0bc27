use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use super::session::unix_ms;
use crate::telemetry::Beat;

/// How the last minutes went, second by second.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Second>);

/// How one second went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Second {
    at: SystemTime,
    /// It may have been a bit more than one.
    took: Duration,
    beat: Beat,
    /// At its end.
    waiting: usize,
}

/// Five minutes.
const KEPT: usize = 300;

// === impl History ===

impl History {
    pub(super) fn push(&mut self, second: Second) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(second);
    }

    /// The oldest first.
    pub(super) fn to_json(&self) -> Value {
        self.0.iter().map(Second::told).collect()
    }
}

// === impl Second ===

impl Second {
    pub(super) fn new(took: Duration, beat: Beat, waiting: usize) -> Self {
        Self { at: SystemTime::now(), took, beat, waiting }
    }

    pub(super) fn told(&self) -> Value {
        let Self { at, took, beat, waiting } = self;
        let mean_ms = |micros: u64| match beat.exchanges {
            0 => 0.0,
            exchanges => micros as f64 / exchanges as f64 / 1000.0,
        };
        json!({
            "at": unix_ms(*at),
            "took_ms": took.as_secs_f64() * 1000.0,
            "requests": beat.requests,
            "errors": beat.errors,
            "left": beat.left,
            "exchanges": beat.exchanges,
            "wait_ms": mean_ms(beat.waited),
            "longest_wait_ms": beat.longest_wait as f64 / 1000.0,
            "upstream_ms": mean_ms(beat.upstream),
            "conflicts": beat.conflicts,
            "retries": beat.retries,
            "rescues": beat.rescues,
            "shielded": beat.shielded,
            "attached": beat.attached,
            "waiting": waiting,
        })
    }
}
