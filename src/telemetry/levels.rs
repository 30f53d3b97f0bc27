use std::{sync::Arc, time::Duration};

use metrics::{Gauge, gauge};
use tokio::time::Instant;

use super::{
    Flights,
    metrics::{
        DRAINING, IN_FLIGHT, LANES, MARKED, OPEN, QUOTA_CONFIGURATIONS, QUOTA_USED, SETTLE_CONFIGURATIONS,
        SETTLE_SECONDS, STORE_BYTES, STORE_PLAYLISTS, STORE_SESSIONS, WAITING,
    },
};
use crate::{serialize::SerializeLayer, upstream::Lessons};

/// What all upstreams have in common, to be shown; read when somebody asks for it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Levels {
    lanes: usize,
    waiting: usize,
    exchanges: usize,
    in_flight: usize,
    draining: usize,
    marked: usize,
    store_bytes: u64,
    store_playlists: usize,
    store_sessions: usize,
}

/// What each upstream has by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnLevels {
    quota_configurations: usize,
    quota_used: f64,
    settle: (Duration, usize),
}

// === impl Levels ===

impl Levels {
    /// As they are now.
    pub(crate) fn of(serialize: &SerializeLayer, lessons: &Lessons) -> Self {
        let store = &lessons.store;
        let (lanes, flights) = (serialize.lanes(), Flights::get());
        Self {
            lanes: lanes.len(),
            waiting: lanes.waiting(),
            exchanges: serialize.exchanges(),
            in_flight: flights.in_flight(),
            draining: flights.draining(),
            marked: lessons.marked_sessions(),
            store_bytes: store.bytes(),
            store_playlists: store.playlists(),
            store_sessions: store.sessions(),
        }
    }

    /// Shows them.
    pub(crate) fn show(&self) {
        gauge!(LANES).set(count(self.lanes));
        gauge!(WAITING).set(count(self.waiting));
        gauge!(OPEN).set(count(self.exchanges));
        gauge!(IN_FLIGHT).set(count(self.in_flight));
        gauge!(DRAINING).set(count(self.draining));
        gauge!(MARKED).set(count(self.marked));
        gauge!(STORE_BYTES).set(self.store_bytes as f64);
        gauge!(STORE_PLAYLISTS).set(count(self.store_playlists));
        gauge!(STORE_SESSIONS).set(count(self.store_sessions));
    }
}

// === impl OwnLevels ===

impl OwnLevels {
    /// As they are now.
    pub(crate) fn of(lessons: &Lessons) -> Self {
        let now = Instant::now();
        let Lessons { quota, settle, .. } = lessons;
        Self {
            quota_configurations: quota.configurations(),
            quota_used: quota.used(now),
            settle: settle.longest(now),
        }
    }

    /// Shows them as those of this upstream, if it has a name.
    pub(crate) fn show(&self, upstream: Option<&Arc<str>>) {
        own(QUOTA_CONFIGURATIONS, upstream).set(count(self.quota_configurations));
        own(QUOTA_USED, upstream).set(self.quota_used);
        own(SETTLE_SECONDS, upstream).set(self.settle.0.as_secs_f64());
        own(SETTLE_CONFIGURATIONS, upstream).set(count(self.settle.1));
    }
}

/// The gauge of an upstream: it has a label only where there are several.
pub(crate) fn own(name: &'static str, upstream: Option<&Arc<str>>) -> Gauge {
    match upstream {
        Some(upstream) => gauge!(name, "upstream" => Arc::clone(upstream)),
        None => gauge!(name),
    }
}

fn count(count: usize) -> f64 {
    count as f64
}
