use std::time::Duration;

use serde::Deserialize;

use super::{bad::Wrong, set, value};
use crate::shield;

/// `[shield]`: how sessions that have failed are shielded.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::sidecar) struct Shield {
    #[serde(deserialize_with = "value::time")]
    gap: Option<Duration>,
    #[serde(deserialize_with = "value::time")]
    least_gap: Option<Duration>,
    #[serde(deserialize_with = "value::time")]
    blocked_gap: Option<Duration>,
    #[serde(deserialize_with = "value::count::<1, { u32::MAX }, _>")]
    session_4xx_per_minute: Option<u32>,
    #[serde(deserialize_with = "value::count::<1, { u32::MAX }, _>")]
    configuration_4xx_per_minute: Option<u32>,
    #[serde(deserialize_with = "value::part")]
    warn_at: Option<f64>,
}

// === impl Shield ===

impl Shield {
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            gap: self.gap.or(other.gap),
            least_gap: self.least_gap.or(other.least_gap),
            blocked_gap: self.blocked_gap.or(other.blocked_gap),
            session_4xx_per_minute: self.session_4xx_per_minute.or(other.session_4xx_per_minute),
            configuration_4xx_per_minute: self
                .configuration_4xx_per_minute
                .or(other.configuration_4xx_per_minute),
            warn_at: self.warn_at.or(other.warn_at),
        }
    }

    pub(super) fn apply(self, config: &mut shield::Config) -> Result<(), Wrong> {
        set(&mut config.gap, self.gap);
        set(&mut config.least_gap, self.least_gap);
        set(&mut config.blocked_gap, self.blocked_gap);
        set(&mut config.session_4xx_per_minute, self.session_4xx_per_minute);
        set(&mut config.configuration_4xx_per_minute, self.configuration_4xx_per_minute);
        set(&mut config.warn_at, self.warn_at);
        let shield::Config { gap, least_gap, blocked_gap, .. } = *config;
        if gap < least_gap || gap > blocked_gap {
            let what = format!(
                "it is {gap:?}; allowed is from least_gap to blocked_gap, which are {least_gap:?} and {blocked_gap:?}: \
                 change one of the three"
            );
            return Err(Wrong::new("shield.gap", what));
        }
        Ok(())
    }
}
