use std::time::Duration;

use serde::Deserialize;

use super::{bad::Wrong, set, value};
use crate::upstream::RetryConfig;

/// `[retry]`: when and how often a request is sent again.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::sidecar) struct Retry {
    #[serde(deserialize_with = "value::count::<0, 100, _>")]
    conflict: Option<u32>,
    #[serde(deserialize_with = "value::count::<0, 100, _>")]
    overloaded: Option<u32>,
    #[serde(deserialize_with = "value::count::<0, 100, _>")]
    broken: Option<u32>,
    #[serde(deserialize_with = "value::pause")]
    least_pause: Option<Duration>,
    #[serde(deserialize_with = "value::pause")]
    longest_pause: Option<Duration>,
    #[serde(deserialize_with = "value::switch")]
    patient: Option<bool>,
    #[serde(deserialize_with = "value::switch")]
    creations: Option<bool>,
    #[serde(deserialize_with = "value::time")]
    within: Option<Duration>,
    #[serde(deserialize_with = "value::count::<1, 1_000_000, _>")]
    budget_per_second: Option<u32>,
    #[serde(deserialize_with = "value::part")]
    budget_part: Option<f64>,
}

// === impl Retry ===

impl Retry {
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            conflict: self.conflict.or(other.conflict),
            overloaded: self.overloaded.or(other.overloaded),
            broken: self.broken.or(other.broken),
            least_pause: self.least_pause.or(other.least_pause),
            longest_pause: self.longest_pause.or(other.longest_pause),
            patient: self.patient.or(other.patient),
            creations: self.creations.or(other.creations),
            within: self.within.or(other.within),
            budget_per_second: self.budget_per_second.or(other.budget_per_second),
            budget_part: self.budget_part.or(other.budget_part),
        }
    }

    pub(super) fn apply(self, config: &mut RetryConfig) -> Result<(), Wrong> {
        set(&mut config.conflict, self.conflict);
        set(&mut config.overloaded, self.overloaded);
        set(&mut config.broken, self.broken);
        set(&mut config.least_pause, self.least_pause);
        set(&mut config.longest_pause, self.longest_pause);
        set(&mut config.patient, self.patient);
        set(&mut config.creations, self.creations);
        set(&mut config.within, self.within);
        set(&mut config.budget_per_second, self.budget_per_second);
        set(&mut config.budget_part, self.budget_part.map(|part| part as f32));
        let RetryConfig { least_pause, longest_pause, .. } = *config;
        if longest_pause < least_pause {
            let what = format!(
                "it is {longest_pause:?}; allowed is from least_pause, which is {least_pause:?}, to 1m: raise it or \
                 lower least_pause"
            );
            return Err(Wrong::new("retry.longest_pause", what));
        }
        Ok(())
    }
}
