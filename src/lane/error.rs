/// Why a caller got no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason.text())]
pub struct Error {
    reason: Reason,
}

/// What kind of [`Error`] it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// As many tickets are out, in the lane or waiting in all lanes together, as the limits allow.
    Full,
    /// The turn did not come in time.
    WaitedTooLong,
    /// The lanes were closed.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    LaneFull,
    AllFull,
    WaitedTooLong,
    Closed,
}

// === impl Error ===

impl Error {
    pub(super) const LANE_FULL: Self = Self { reason: Reason::LaneFull };
    pub(super) const ALL_FULL: Self = Self { reason: Reason::AllFull };
    pub(super) const WAITED_TOO_LONG: Self = Self { reason: Reason::WaitedTooLong };
    pub(super) const CLOSED: Self = Self { reason: Reason::Closed };

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self.reason {
            Reason::LaneFull | Reason::AllFull => ErrorKind::Full,
            Reason::WaitedTooLong => ErrorKind::WaitedTooLong,
            Reason::Closed => ErrorKind::Closed,
        }
    }
}

// === impl Reason ===

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::LaneFull => "the session's lane is full",
            Self::AllFull => "too many requests wait in all lanes together",
            Self::WaitedTooLong => "waited too long for the turn",
            Self::Closed => "the lanes are closed",
        }
    }
}
