use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::emulator) enum Kind {
    Status,
    Html,
    Reset,
    ResetMidBody,
    Hang,
    SlowBody,
    Truncated,
    TruncatedGzip,
    Empty,
    Garbage,
    LowerSequence,
    Unchanged,
    Cached,
    RedirectLoop,
    Throttle,
    Delay,
}

// === impl Kind ===

impl Kind {
    /// Whether the kind has a field that not all have.
    pub(super) fn has(self, field: &str) -> bool {
        match field {
            "status" => matches!(self, Self::Status | Self::Html),
            "error_type" => self == Self::Status,
            "header" => matches!(self, Self::Status | Self::Throttle),
            "delay" => !matches!(self, Self::Hang | Self::Throttle),
            "rate" => self == Self::SlowBody,
            "above" => self == Self::Throttle,
            "by" => self == Self::LowerSequence,
            _ => true,
        }
    }

    /// Whether the answer is some time on its way, and its session busy as long.
    pub(in crate::emulator) fn takes_its_time(self) -> bool {
        matches!(self, Self::ResetMidBody | Self::SlowBody)
    }

    /// Whether it makes sense of media playlists alone.
    pub(super) fn is_of_media(self) -> bool {
        matches!(self, Self::LowerSequence | Self::Unchanged)
    }

    pub(in crate::emulator) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Those kinds that something is true of.
pub(super) fn names(of: impl Fn(Kind) -> bool) -> String {
    let kinds = Kind::value_variants().iter().filter(|kind| of(**kind));
    kinds.map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}
