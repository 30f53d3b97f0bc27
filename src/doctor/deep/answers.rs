use serde::Serialize;

/// What `--deep` found out: what no document of AWS says. `None` is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Answers {
    /// How long a session stays busy after its answer.
    pub busy_after: Option<Busy>,
    /// Which of two overlapping requests loses.
    pub loser: Option<Loser>,
    /// When the loser gets the 409.
    pub loses_at: Option<LosesAt>,
    /// What the loser was given.
    pub conflict: Option<Refusal>,
    /// Whether work on a request goes on after its player has disconnected.
    pub goes_on_after_disconnect: Option<bool>,
    /// Whether tracking requests take part in conflicts.
    pub tracking: Option<bool>,
    /// Whether multivariant playlists with a session id take part in conflicts.
    pub multivariant: Option<bool>,
    /// How a session id that nobody has is refused.
    pub unknown: Option<Refusal>,
    /// How an expired session is refused.
    pub expired: Option<Refusal>,
}

/// The bounds of the time after which a session is free again, in milliseconds from an answer to the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Busy {
    /// The longest gap after which it conflicted; `None` where it never did.
    pub more_than_ms: Option<u64>,
    /// The shortest gap from which on it did not; `None` where it always did.
    pub at_most_ms: Option<u64>,
}

/// Which of two overlapping requests gets the 409.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Loser {
    /// The one that was sent first.
    First,
    /// The one that was sent second.
    Second,
    /// Now this one, now that one, or both.
    Either,
    /// Neither: there were no conflicts.
    None,
}

/// When the loser gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LosesAt {
    /// At once, while the other is worked on.
    Start,
    /// When its own work is done.
    End,
    /// Now at the start, now at the end.
    Either,
}

/// How a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// The exception that MediaTailor named in it.
    pub exception: Option<&'static str>,
    /// Its `Retry-After`.
    pub retry_after: Option<String>,
    /// Whether a script on a page can read it.
    pub cors: bool,
    /// What onelane takes it for: a verdict of docs/errors.md.
    pub verdict: &'static str,
}
