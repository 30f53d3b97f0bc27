use std::{fmt, time::Duration};

use http::StatusCode;

use super::Playlist;

/// Apps are to be told of a loss within a second. For less than that a request waits for word of a probe, and one playlist does not
/// speak for its siblings.
pub(super) const TOLD_WITHIN: Duration = Duration::from_millis(800);

/// What is wrong with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub(crate) enum Cause {
    /// The upstream does not know it (any more): 404, or 400 on a media playlist.
    Lost,
    /// The upstream refuses it for good: 410.
    Blocked,
    /// The upstream does not know one of its playlists, and has not given that one before: 404, or 400 on a media playlist. The
    /// others are asked for all the same.
    Missing,
    /// The last exchange failed, which says nothing of the next.
    Failing,
}

/// What [`Marks::check`](super::Marks::check) says of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// It is not marked: go on.
    Pass,
    /// It is marked, and this request is the one that finds out whether it still is: go on, and say what came of
    /// it.
    Probe,
    /// It is marked: answer at once.
    Answer(Known),
}

/// What is known of a session that is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Known {
    /// What is wrong with it.
    pub cause: Cause,
    /// The upstream's status, where it gave one.
    pub status: Option<StatusCode>,
    /// How long ago the upstream last said so.
    pub age: Duration,
    /// The least time until the next probe, for `Retry-After`.
    pub next_probe: Duration,
    /// Whether it is gone, and the upstream has said so more than once.
    pub is_confirmed: bool,
    /// The one playlist that has just said that the session is lost, where others of it came shortly before.
    pub said_by: Option<Playlist>,
    /// The playlist for which a probe is out, of which there is no word yet.
    pub probed: Option<Playlist>,
}

// === impl Known ===

impl Known {
    /// Whether it is said to be lost, but by another playlist than this alone.
    pub(super) fn is_in_doubt_for(&self, playlist: Playlist) -> bool {
        self.cause == Cause::Lost && self.said_by.is_some_and(|said_by| said_by != playlist)
    }
}

// === impl Cause ===

impl Cause {
    /// The cause in a word, as logs have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Blocked => "blocked",
            Self::Missing => "missing",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
