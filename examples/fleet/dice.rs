use onelane::emulator::Latency;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

/// Where chance comes from: the same for a seed, whatever else there is on the machine.
#[derive(Debug)]
pub(crate) struct Dice(SmallRng);

/// A time between two bounds, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Between {
    low: u64,
    high: u64,
}

/// Spreads a number over all 64 bits (the finisher of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

// === impl Dice ===

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// Dice of one request alone, so that it takes as long in every run, whatever happens around it.
    pub(crate) fn of(seed: u64, session: u32, number: u64) -> Self {
        Self::new(mix(number ^ mix(seed ^ mix(u64::from(session) + 1))))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    pub(crate) fn part(&mut self) -> f64 {
        self.0.random()
    }

    pub(crate) fn between(&mut self, bounds: Between) -> u64 {
        match bounds.low == bounds.high {
            true => bounds.low,
            false => self.0.random_range(bounds.low..=bounds.high),
        }
    }
}

// === impl Between ===

impl Between {
    pub(crate) fn is_zero(self) -> bool {
        self.high == 0
    }
}

impl From<Latency> for Between {
    fn from(latency: Latency) -> Self {
        let (low, high) = latency.bounds();
        Self { low: low.as_micros() as u64, high: high.as_micros() as u64 }
    }
}
