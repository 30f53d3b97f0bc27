/// How a playlist stands with its session, whatever its query and content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was good, and the upstream gave it when it was last asked.
    Given,
    /// It was good, and the upstream did not give it when it was last asked.
    Denied,
    /// The session never had it.
    NeverHad,
}
