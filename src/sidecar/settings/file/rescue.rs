use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::{bad::Wrong, set, value};
use crate::rescue;

/// `[rescue]`: when and how long a last good playlist is given.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::sidecar) struct Rescue {
    #[serde(deserialize_with = "value::switch")]
    pub(in crate::sidecar) enabled: Option<bool>,
    #[serde(deserialize_with = "value::time")]
    pub(in crate::sidecar) after: Option<Duration>,
    #[serde(deserialize_with = "value::time")]
    pub(in crate::sidecar) max_age: Option<Duration>,
    #[serde(deserialize_with = "value::size")]
    pub(in crate::sidecar) bytes: Option<ByteSize>,
    #[serde(deserialize_with = "value::some_bytes")]
    pub(in crate::sidecar) largest: Option<ByteSize>,
}

// === impl Rescue ===

impl Rescue {
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            enabled: self.enabled.or(other.enabled),
            after: self.after.or(other.after),
            max_age: self.max_age.or(other.max_age),
            bytes: self.bytes.or(other.bytes),
            largest: self.largest.or(other.largest),
        }
    }

    pub(super) fn apply(self, config: &mut Option<rescue::Config>) -> Result<(), Wrong> {
        if self.enabled == Some(false) {
            *config = None;
            return Ok(());
        }
        if self.bytes.is_some_and(|bytes| bytes.as_u64() == 0) {
            let what = "it must be more than zero, such as \"256MiB\"; for no rescues set enabled = false";
            return Err(Wrong::new("rescue.bytes", what.to_owned()));
        }
        let config = config.get_or_insert_default();
        set(&mut config.after, self.after);
        set(&mut config.max_age, self.max_age);
        set(&mut config.bytes, self.bytes.map(|bytes| bytes.as_u64()));
        set(
            &mut config.largest,
            self.largest.map(|largest| usize::try_from(largest.as_u64()).unwrap_or(usize::MAX)),
        );
        Ok(())
    }
}
