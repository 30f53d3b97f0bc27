use std::time::Duration;

use serde::Deserialize;

use super::{set, value};

/// `[settle]`: the gap between two turns of a session that is learned.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::sidecar) struct Settle {
    #[serde(deserialize_with = "value::gap")]
    most: Option<Duration>,
}

// === impl Settle ===

impl Settle {
    pub(super) fn over(self, other: Self) -> Self {
        Self { most: self.most.or(other.most) }
    }

    pub(super) fn apply(self, config: &mut Duration) {
        set(config, self.most);
    }
}
