use std::{error::Error as StdError, fmt, str::FromStr};

use tower::BoxError;

use crate::serialize::{self, ErrorKind};

/// What an answer means, or the lack of one: the word that configuration, metrics, `x-onelane-reason` and
/// `docs/errors.md` have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// A playlist that a player can use.
    Playlist,
    /// Two playlists of the session were loaded at once: 409.
    Conflict,
    /// The session has expired or was never there: 400 or 404 where a session was named.
    SessionLost,
    /// AWS Support has blocked the session or the configuration: 410.
    Blocked,
    /// The `Host` header is not the endpoint's: MediaTailor's own 403.
    Misaddressed,
    /// A 403 of somebody else, such as a CDN or a firewall on the way.
    Denied,
    /// 400 where no session was named.
    BadRequest,
    /// 404 where no session was named.
    NotFound,
    /// The account's quota, or that of something on the way, is used up: `ThrottlingException`, 429.
    Throttled,
    /// Not sent: its session or configuration has had as many 4xx in a minute as it may
    /// ([`Config`](crate::shield::Config)), and this request would likely bring one more.
    HeldBack,
    /// MediaTailor has too much to do: 503.
    Overloaded,
    /// MediaTailor or its origin is broken: 500, both exceptions of 502, any other 5xx.
    OriginBroken,
    /// No answer in time: 504, or the player's time ran out here.
    TimedOut,
    /// No answer at all: the connection was refused, reset or never made.
    Unreachable,
    /// A success whose body is no playlist that a player can use; see [`Flaw`](super::Flaw).
    NotPlaylist,
    /// A status that MediaTailor does not document, such as 401 or 405.
    Failed,
    /// Not judged: a request that is not for a playlist, a redirect, or a body that was not read.
    Passed,
    /// As many requests wait, in the lane or in all lanes together, as the limits allow.
    LaneFull,
    /// The proxy shuts down.
    ShuttingDown,
    /// What stands where the session id belongs cannot be one.
    MalformedSession,
    /// The request itself broke off, or its body was not framed as HTTP has it; see [`BrokenRequest`].
    Incomplete,
}

/// The error of a request's own body, so that a player that goes away while it sends is told apart from an upstream that fails: a
/// server's errors are to be wrapped in it before the body goes to a client.
#[derive(Debug, thiserror::Error)]
#[error("the request broke off: {0}")]
pub struct BrokenRequest(#[source] pub BoxError);

/// A name that no verdict has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVerdict(String);

// === impl Verdict ===

impl Verdict {
    /// All of them, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::Playlist,
        Self::Conflict,
        Self::SessionLost,
        Self::Blocked,
        Self::Misaddressed,
        Self::Denied,
        Self::BadRequest,
        Self::NotFound,
        Self::Throttled,
        Self::HeldBack,
        Self::Overloaded,
        Self::OriginBroken,
        Self::TimedOut,
        Self::Unreachable,
        Self::NotPlaylist,
        Self::Failed,
        Self::Passed,
        Self::LaneFull,
        Self::ShuttingDown,
        Self::MalformedSession,
        Self::Incomplete,
    ];

    /// The verdict on a request that got no answer. A time-out of tower's or tokio's below is told apart from a connection that
    /// failed.
    pub fn of_error(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<serialize::Error>() {
                return match error.kind() {
                    ErrorKind::MalformedSession => Self::MalformedSession,
                    ErrorKind::LaneFull => Self::LaneFull,
                    ErrorKind::TimedOut | ErrorKind::HeldTooLong => Self::TimedOut,
                    ErrorKind::Closed => Self::ShuttingDown,
                    ErrorKind::Panicked => Self::Unreachable,
                    // What the inner service said is behind it.
                    ErrorKind::Upstream => {
                        cause = error.source();
                        continue;
                    }
                };
            }
            if error.is::<BrokenRequest>() {
                return Self::Incomplete;
            }
            if error.is::<tower::timeout::error::Elapsed>() || error.is::<tokio::time::error::Elapsed>() {
                return Self::TimedOut;
            }
            cause = error.source();
        }
        Self::Unreachable
    }

    /// Whether it may be the fault of the playlist that was asked for: a conflict, a quota and a full lane are all its session's.
    pub(crate) fn may_be_one_playlists(self) -> bool {
        use Verdict::{NotPlaylist, OriginBroken, Overloaded, TimedOut, Unreachable};
        matches!(self, Overloaded | OriginBroken | TimedOut | Unreachable | NotPlaylist)
    }

    /// The verdict's name; a stable part of the interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Playlist => "playlist",
            Self::Conflict => "conflict",
            Self::SessionLost => "session_lost",
            Self::Blocked => "blocked",
            Self::Misaddressed => "misaddressed",
            Self::Denied => "denied",
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::Throttled => "throttled",
            Self::HeldBack => "held_back",
            Self::Overloaded => "overloaded",
            Self::OriginBroken => "origin_broken",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::NotPlaylist => "not_playlist",
            Self::Failed => "failed",
            Self::Passed => "passed",
            Self::LaneFull => "lane_full",
            Self::ShuttingDown => "shutting_down",
            Self::MalformedSession => "malformed_session",
            Self::Incomplete => "incomplete",
        }
    }

    /// Whether the answer is a playlist that a player can use: only such a playlist is learned from.
    pub fn is_playlist(self) -> bool {
        self == Self::Playlist
    }

    /// Whether the session may well be fine once this has passed, so that an earlier playlist can bridge it.
    pub fn survivable(self) -> bool {
        matches!(
            self,
            Self::Conflict
                | Self::Throttled
                | Self::HeldBack
                | Self::Overloaded
                | Self::OriginBroken
                | Self::TimedOut
                | Self::Unreachable
                | Self::NotPlaylist
                | Self::LaneFull
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = UnknownVerdict;

    /// Reads a name as [`as_str`](Self::as_str) writes it.
    fn from_str(name: &str) -> Result<Self, UnknownVerdict> {
        let known = Self::ALL.iter().copied().find(|verdict| verdict.as_str() == name);
        known.ok_or_else(|| UnknownVerdict(name.chars().take(64).collect()))
    }
}

// === impl UnknownVerdict ===

impl fmt::Display for UnknownVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect::<Vec<_>>().join(", ");
        write!(f, "unknown verdict {:?}: it is one of {names}", self.0)
    }
}

impl std::error::Error for UnknownVerdict {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_are_listed_as_they_are_declared() {
        // What is kept by verdict goes by its place in either.
        for (place, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, place, "{verdict:?}");
        }
        assert_eq!(Verdict::ALL.last(), Some(&Verdict::Incomplete));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for &verdict in Verdict::ALL {
            let name = verdict.as_str();
            assert_eq!(name.parse(), Ok(verdict));
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
        let names: HashSet<_> = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
        assert_eq!(names.len(), Verdict::ALL.len());
    }

    #[test]
    fn an_unknown_name_gets_the_choice() {
        for name in ["Conflict", "", "conflict ", &"x".repeat(10_000)] {
            let error = name.parse::<Verdict>().expect_err(name).to_string();
            assert!(error.contains("conflict, session_lost") && error.len() < 500, "{error}");
        }
    }

    #[test]
    fn what_lasts_is_not_bridged() {
        let lasting: Vec<_> = Verdict::ALL.iter().copied().filter(|verdict| !verdict.survivable()).collect();
        use Verdict::*;
        assert_eq!(
            lasting,
            [
                Playlist,
                SessionLost,
                Blocked,
                Misaddressed,
                Denied,
                BadRequest,
                NotFound,
                Failed,
                Passed,
                ShuttingDown,
                MalformedSession,
                Incomplete
            ]
        );
    }
}
