use crate::request::NONE;

/// What there is to know of a session: at MediaTailor, at the engine and in the lanes.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// The first of its requests; [`NONE`] while it is idle.
    pub(crate) first: u32,
    /// The token of the turn that has the lease; 0 for none.
    pub(crate) holder: u32,
    /// The process that has the lease, or for which it is kept.
    pub(crate) holds: u8,
    /// How often its player has refreshed.
    pub(crate) refreshed: u32,
    /// How many of its requests MediaTailor works on.
    pub(crate) flying: u32,
    pub(crate) lease_since: u64,
    /// When others may take it; never while its process lives and renews it.
    pub(crate) lease_ends: u64,
    /// The processes that wait for it.
    pub(crate) line: Vec<u8>,
    pub(crate) busy_until: u64,
    /// When a single lane would be free.
    pub(crate) ideal_free: u64,
    /// Its last playlists, the time and the process in one: what each process knows decides whether it learns a gap.
    pub(crate) playlists: [u64; 4],
}

// === impl Session ===

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            first: NONE,
            holder: 0,
            holds: 0,
            refreshed: 0,
            flying: 0,
            lease_since: 0,
            lease_ends: 0,
            line: Vec::new(),
            busy_until: 0,
            ideal_free: 0,
            playlists: [u64::MAX; 4],
        }
    }

    pub(crate) fn got_playlist(&mut self, instance: u8, now: u64) {
        self.playlists.rotate_right(1);
        self.playlists[0] = now << 8 | u64::from(instance);
    }

    /// When this process had the last playlist, if that is not long ago.
    pub(crate) fn last_playlist(&self, instance: u8) -> Option<u64> {
        let own =
            self.playlists.iter().find(|playlist| **playlist as u8 == instance && **playlist != u64::MAX);
        own.map(|playlist| playlist >> 8)
    }
}
