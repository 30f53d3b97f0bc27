use std::fmt;

/// Why a lost session was not resumed; its player gets what it would get without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum NoResume {
    /// The last attempt was a moment ago.
    TooSoon,
    /// The turn was over before a new session had given anything.
    CutOff,
    /// What the session offered, or how this playlist was numbered, is not known; so it is with VOD.
    Unproven,
    /// The stream has left behind what the player had.
    MovedOn,
    /// Other playlists of the session came since the last attempt: it is not lost.
    Alone,
    /// No new session could be made.
    NotCreated,
    /// The new one offers other variants or renditions, or their number is not known.
    OtherOffer,
    /// The new one's playlist could not be loaded.
    NotLoaded,
    /// The new one's numbers do not continue the old one's.
    OtherNumbers,
}

// === impl NoResume ===

impl NoResume {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::TooSoon => "tried a moment ago",
            Self::CutOff => "the turn was over first",
            Self::Unproven => "no numbers to compare with",
            Self::MovedOn => "the stream has moved on",
            Self::Alone => "the session's other playlists come",
            Self::NotCreated => "no new session",
            Self::OtherOffer => "other variants or renditions",
            Self::NotLoaded => "no playlist of the new session",
            Self::OtherNumbers => "numbers do not continue",
        }
    }
}

impl fmt::Display for NoResume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for NoResume {}
