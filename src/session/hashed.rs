use std::hash::{BuildHasher, Hash, Hasher};

use super::SessionKey;

/// For keys that are hashes already, made with a secret of this process.
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

/// A key that is hashed once, for a map that looks at hashes several times for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HashedKey {
    hash: u64,
    pub(crate) key: SessionKey,
}

// === impl Hashed ===

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        // Not used: the keys are numbers. Right all the same.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

// === impl HashedKey ===

impl HashedKey {
    /// By a hasher with a secret: ids come from clients.
    pub(crate) fn by(hasher: &impl BuildHasher, key: SessionKey) -> Self {
        Self { hash: hasher.hash_one(&key), key }
    }
}

impl Hash for HashedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
