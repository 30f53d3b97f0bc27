use sha2::{Digest as _, Sha256};

/// What all sessions of one upstream have in common, hashed: the beginning of what those of a playback configuration have.
///
/// By a hash that is the same in every build, since instances tell each other of scopes.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    upstream: u32,
    hash: Sha256,
}

// === impl Scope ===

impl Scope {
    /// Of an upstream's authority, if it is known. Its case does not count.
    pub(super) fn of(authority: Option<&str>) -> Self {
        let authority = told(Sha256::new(), authority.map(str::to_ascii_lowercase).as_deref()).finalize();
        // Of one length for all: no authority and configuration can pass for others.
        Self { upstream: first(&authority), hash: Sha256::new().chain_update(authority) }
    }

    /// That of a playback configuration, if it is known. Its upper half is the upstream's.
    pub(super) fn id(&self, configuration: Option<&str>) -> u64 {
        let configuration = first(&told(self.hash.clone(), configuration).finalize());
        u64::from(self.upstream) << 32 | u64::from(configuration)
    }

    /// The half of a scope's id that is its upstream's.
    pub(super) fn upstream(id: u64) -> u32 {
        (id >> 32) as u32
    }
}

fn told(hash: Sha256, text: Option<&str>) -> Sha256 {
    match text {
        Some(text) => hash.chain_update([1]).chain_update(text),
        None => hash.chain_update([0]),
    }
}

fn first(hash: &[u8]) -> u32 {
    u32::from_be_bytes(*hash.first_chunk().expect("it has 32 bytes"))
}
