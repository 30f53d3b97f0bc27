use std::{error::Error, fmt};

use tower::BoxError;

/// An error of a request of which the upstream has seen nothing, as when no connection came about.
///
/// A client in whose errors it is has even requests that create a session [sent again](super::Again): otherwise those
/// may create two.
#[derive(Debug)]
pub struct NotSent(BoxError);

// === impl NotSent ===

impl NotSent {
    /// For this error, as which it is shown.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }

    /// Whether an error is such a one, or has one as a source.
    pub fn is_in(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NotSent {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
