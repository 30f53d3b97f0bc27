use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use http::StatusCode;
use serde::Serialize;

use crate::emulator::session::sessions::Sessions;

/// What the emulator has seen in all, since its start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Requests of all kinds but the emulator's own pages.
    pub requests: u64,
    /// The same by kind, such as `media` or `multivariant`.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// Answers by status, of those that a client waited for.
    pub by_status: BTreeMap<u16, u64>,
    /// Answers with a status from 400 to 499 among them.
    pub client_errors: u64,
    /// Answers with a status from 500 to 599 among them.
    pub server_errors: u64,
    /// Requests that a [`Fault`](crate::emulator::Fault) befell, whatever their client got.
    pub faulty: u64,
    /// Exchanges of a session that an answer or a 409 was made for.
    pub playlists: u64,
    /// 409s, whether or not their client waited for them.
    pub conflicts: u64,
    /// Requests whose client went away while they were worked on.
    pub abandoned: u64,
    /// Exchanges being worked on.
    pub in_flight: u64,
    /// The most exchanges that any one session had in flight, refused ones among them.
    pub max_in_flight: u32,
    /// Sessions that are remembered.
    pub sessions: usize,
    /// Sessions made, adopted ones among them.
    pub sessions_created: u64,
    /// Sessions forgotten to make room.
    pub sessions_forgotten: u64,
}

/// What kind of request was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Kind {
    Multivariant,
    Media,
    SessionCreation,
    Tracking,
    Segment,
    Dash,
    Guided,
    Content,
    Preflight,
    Other,
}

/// The counters behind [`Stats`].
#[derive(Debug)]
pub(in crate::emulator) struct Tally {
    kinds: [AtomicU64; KINDS.len()],
    statuses: [AtomicU64; 600],
    playlists: AtomicU64,
    conflicts: AtomicU64,
    faulty: AtomicU64,
    abandoned: AtomicU64,
    in_flight: AtomicU64,
    max_in_flight: AtomicU32,
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Multivariant, "multivariant"),
    (Kind::Media, "media"),
    (Kind::SessionCreation, "session_creation"),
    (Kind::Tracking, "tracking"),
    (Kind::Segment, "segment"),
    (Kind::Dash, "dash"),
    (Kind::Guided, "guided"),
    (Kind::Content, "content"),
    (Kind::Preflight, "preflight"),
    (Kind::Other, "other"),
];

// === impl Tally ===

impl Tally {
    pub(in crate::emulator) fn new() -> Self {
        Self {
            kinds: std::array::from_fn(|_| AtomicU64::new(0)),
            statuses: std::array::from_fn(|_| AtomicU64::new(0)),
            playlists: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
            faulty: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            max_in_flight: AtomicU32::new(0),
        }
    }

    pub(in crate::emulator) fn asked(&self, kind: Kind) {
        self.kinds[kind as usize].fetch_add(1, Relaxed);
    }

    pub(in crate::emulator) fn answered(&self, status: StatusCode) {
        if let Some(counter) = self.statuses.get(usize::from(status.as_u16())) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts an exchange that has `with_it` in flight in its session.
    pub(in crate::emulator) fn took_off(&self, with_it: u32) {
        self.max_in_flight.fetch_max(with_it, Relaxed);
        self.playlists.fetch_add(1, Relaxed);
    }

    pub(in crate::emulator) fn flies(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(in crate::emulator) fn landed(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(in crate::emulator) fn conflicted(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    pub(in crate::emulator) fn faulty(&self) {
        self.faulty.fetch_add(1, Relaxed);
    }

    pub(in crate::emulator) fn abandoned(&self) {
        self.abandoned.fetch_add(1, Relaxed);
    }

    pub(in crate::emulator) fn reset(&self) {
        let all = self.kinds.iter().chain(&self.statuses);
        all.chain([&self.playlists, &self.conflicts, &self.faulty, &self.abandoned])
            .for_each(|counter| counter.store(0, Relaxed));
        self.max_in_flight.store(0, Relaxed);
    }

    pub(in crate::emulator) fn stats(&self, sessions: &Sessions) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let by_kind: BTreeMap<_, _> =
            KINDS.iter().map(|&(kind, name)| (name, read(&self.kinds[kind as usize]))).collect();
        let by_status = (0..).zip(&self.statuses).map(|(status, counter)| (status, read(counter)));
        let by_status: BTreeMap<u16, _> = by_status.filter(|(_, count)| *count > 0).collect();
        let (now, created, forgotten) = sessions.numbers();
        Stats {
            requests: by_kind.values().sum(),
            by_kind,
            client_errors: by_status.range(400..500).map(|(_, count)| count).sum(),
            server_errors: by_status.range(500..600).map(|(_, count)| count).sum(),
            by_status,
            faulty: read(&self.faulty),
            playlists: read(&self.playlists),
            conflicts: read(&self.conflicts),
            abandoned: read(&self.abandoned),
            in_flight: read(&self.in_flight),
            max_in_flight: self.max_in_flight.load(Relaxed),
            sessions: now,
            sessions_created: created,
            sessions_forgotten: forgotten,
        }
    }
}
