/// A request has it in its extensions whose last try got no answer: not only the request may have been at fault, but the connection, and
/// with it others of its age. A client that keeps connections does well to send it over a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Afresh;
