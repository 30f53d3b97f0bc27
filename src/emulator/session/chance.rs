use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use rand::{Rng, SeedableRng as _, rngs::SmallRng};
use uuid::{Builder, Uuid};

/// All that is random, from one seed.
///
/// Each request draws a generator of its own, numbered in order of arrival: no lock, and the same requests in
/// the same order meet the same luck.
pub(in crate::emulator) struct Chance {
    seed: u64,
    drawn: AtomicU64,
}

// === impl Chance ===

impl Chance {
    pub(in crate::emulator) fn new(seed: Option<u64>) -> Self {
        Self { seed: seed.unwrap_or_else(rand::random), drawn: AtomicU64::new(0) }
    }

    /// The next request's dice.
    pub(in crate::emulator) fn draw(&self) -> SmallRng {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        SmallRng::seed_from_u64(self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chance({})", self.seed)
    }
}

/// A version 4 UUID from the given dice.
pub(in crate::emulator) fn uuid(dice: &mut impl Rng) -> Uuid {
    let mut bytes = [0; 16];
    dice.fill_bytes(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}
