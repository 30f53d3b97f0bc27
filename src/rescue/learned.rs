/// What came of [`Store::learn`](super::Store::learn).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Learned {
    /// Nothing was kept of this URL in this content coding.
    New,
    /// It replaced one of other content.
    Changed,
    /// It is the same as before: what is kept is fresh again.
    Unchanged,
    /// Its media sequence is lower than one that the session was given within [`Config::max_age`](super::Config::max_age), or segments are missing
    /// at its end, and nothing says that it has begun anew: that is a failure of the upstream (RFC 8216 section 6.2.2), and what was kept is kept.
    Older,
    /// Its media sequence is lower, and it is no failure: the upstream has begun its numbering anew, as the rules of the
    /// [module](super) tell. What is kept of the numbering before is gone.
    Renumbered,
    /// The store is [off](super::Store::off), or the playlist is empty, larger than [`Config::largest`](super::Config::largest), in a content coding that is not
    /// known, or no media playlist where one was before. What was kept of its URL is gone, since the player was
    /// given something newer.
    NotKept,
}
