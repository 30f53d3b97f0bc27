use std::fmt;

/// A URL as a line may have it: without a user and a password, and without a query, whose keys may be secrets
/// as well. It need not be one that makes sense.
#[derive(Debug, Clone, Copy)]
pub(in crate::sidecar) struct Bare<'a>(pub(in crate::sidecar) &'a str);

// === impl Bare ===

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", self.0));
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let rest = rest.split(['?', '#']).next().unwrap_or_default().escape_debug();
        if scheme.is_empty() { write!(f, "{rest}") } else { write!(f, "{}://{rest}", scheme.escape_debug()) }
    }
}
