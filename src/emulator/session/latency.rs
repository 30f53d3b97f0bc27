use std::{fmt, str::FromStr, time::Duration};

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// How long a piece of work takes: always the same, or anything between two bounds, evenly spread.
///
/// Its text is a duration (`40ms`) or two with dots between them (`20ms..60ms`, both bounds included).
///
/// ```
/// use onelane::emulator::Latency;
///
/// let latency: Latency = "20ms..60ms".parse()?;
/// assert_eq!(latency.to_string(), "20ms..60ms");
/// # Ok::<(), onelane::emulator::MalformedLatency>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Latency {
    low: Duration,
    high: Duration,
}

/// Why a text is no [`Latency`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write a duration or two, such as 40ms or 20ms..60ms")]
pub struct MalformedLatency(String);

/// The longest that a piece of work may take, so that a slip of the keyboard does not hang every session.
const LONGEST: Duration = Duration::from_secs(3600);

// === impl Latency ===

impl Latency {
    /// No time at all.
    pub const ZERO: Self = Self { low: Duration::ZERO, high: Duration::ZERO };

    /// The same duration each time.
    pub const fn fixed(duration: Duration) -> Self {
        Self { low: duration, high: duration }
    }

    /// The least and the most that it may be.
    pub const fn bounds(&self) -> (Duration, Duration) {
        (self.low, self.high)
    }

    /// Whether work takes no time.
    pub const fn is_zero(&self) -> bool {
        self.high.is_zero()
    }

    pub(in crate::emulator) fn sample(&self, dice: &mut impl Rng) -> Duration {
        if self.low == self.high {
            return self.low;
        }
        dice.random_range(self.low..=self.high)
    }
}

impl FromStr for Latency {
    type Err = MalformedLatency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |text: &str| {
            let text = text.trim();
            match humantime::parse_duration(text) {
                Err(error) => Err(MalformedLatency(format!("{text:?} is no duration ({error})"))),
                Ok(duration) if duration > LONGEST => {
                    Err(MalformedLatency(format!("{text:?} is longer than an hour")))
                }
                Ok(duration) => Ok(duration),
            }
        };
        let Some((low, high)) = text.split_once("..") else {
            return parse(text).map(Self::fixed);
        };
        let (low, high) = (parse(low)?, parse(high)?);
        if low > high {
            return Err(MalformedLatency(format!("{text:?} begins above its end")));
        }
        Ok(Self { low, high })
    }
}

impl TryFrom<String> for Latency {
    type Error = MalformedLatency;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Latency> for String {
    fn from(latency: Latency) -> Self {
        latency.to_string()
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration;
        match self {
            Self { low, high } if low == high => write!(f, "{}", text(*low)),
            Self { low, high } => write!(f, "{}..{}", text(*low), text(*high)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::SmallRng};

    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["0s", "40ms", "20ms..60ms", "1s 500ms..2s"] {
            assert_eq!(text.parse::<Latency>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn malformed_text_says_why() {
        for (text, why) in
            [("", "no duration"), ("fast", "no duration"), ("60ms..20ms", "above its end"), ("2h", "hour")]
        {
            let error = text.parse::<Latency>().expect_err(text).to_string();
            assert!(error.contains(why) && error.contains("20ms..60ms"), "{error}");
        }
    }

    #[test]
    fn samples_keep_to_the_bounds_and_fill_them() {
        let latency: Latency = "20ms..60ms".parse().expect("a latency");
        let mut dice = SmallRng::seed_from_u64(7);
        let samples: Vec<_> = (0..1000).map(|_| latency.sample(&mut dice)).collect();
        let (low, high) = (samples.iter().min().expect("some"), samples.iter().max().expect("some"));
        assert!((20..23).contains(&low.as_millis()), "{low:?}");
        assert!((57..=60).contains(&high.as_millis()), "{high:?}");
    }
}
