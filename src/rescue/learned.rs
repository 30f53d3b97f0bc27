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
    /// Its media sequence is lower than one that the session was given within
    /// [`Config::max_age`](super::Config::max_age), or segments are missing at its end, and nothing says
    /// that the numbering has begun anew: that is a failure of the upstream (RFC 8216 section 6.2.2), and
    /// what was kept stays.
    Older,
    /// Its media sequence is lower, and that is no failure: the upstream has begun its numbering anew, by the
    /// rules of the [module](super). What was kept of the earlier numbering is gone.
    Renumbered,
    /// The store is [off](super::Store::off), or the playlist is empty, larger than
    /// [`Config::largest`](super::Config::largest), in an unknown content coding, or no media playlist where
    /// there was one before. What was kept of its URL is gone, since the player was given something newer.
    NotKept,
}
