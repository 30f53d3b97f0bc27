/// Where a playlist goes from what was given before of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Forward,
    /// Its media sequence is lower.
    Back,
    /// It ends before what can be given in its place.
    Cut,
}
