use std::{error::Error, fmt};

use tower::BoxError;

/// The error of a request that the upstream has seen nothing of, such as when no connection came about.
///
/// If a client's errors contain it, even requests that create a session are [sent again](super::Again);
/// without it they are not, since they might create two.
#[derive(Debug)]
pub struct NotSent(BoxError);

// === impl NotSent ===

impl NotSent {
    /// Wraps this error, and shows as it.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }

    /// Whether an error is a `NotSent`, or has one as a source.
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
