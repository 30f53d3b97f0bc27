use http::{HeaderMap, header};

use super::head::Head;

/// The field by which a 304 names the answer that is still current (RFC 9111 section 4.3.4).
///
/// One that names nothing confirms nothing here: what its player has may have come from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validator<'a> {
    /// A strong entity tag: of these very bytes.
    Strong(&'a [u8]),
    /// The opaque part of a weak one: of the same content, perhaps in another coding.
    Weak(&'a [u8]),
    /// `Last-Modified`, where there is no tag.
    Dated(&'a [u8]),
}

const WEAK: &[u8] = b"W/";

// === impl Validator ===

impl<'a> Validator<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let Some(tag) = headers.get(header::ETAG) else {
            return headers.get(header::LAST_MODIFIED).map(|date| Self::Dated(date.as_bytes()));
        };
        Some(match tag.as_bytes().strip_prefix(WEAK) {
            Some(opaque) => Self::Weak(opaque),
            None => Self::Strong(tag.as_bytes()),
        })
    }

    /// Whether it names what was kept with this head.
    pub(super) fn names(self, head: &Head) -> bool {
        let tag = head.get(&header::ETAG);
        match self {
            Self::Strong(told) => tag == Some(told),
            Self::Weak(told) => tag.map(|tag| tag.strip_prefix(WEAK).unwrap_or(tag)) == Some(told),
            Self::Dated(told) => head.get(&header::LAST_MODIFIED) == Some(told),
        }
    }

    /// Whether it may name several kept forms; a weak one names the latest alone.
    pub(super) fn is_strong(self) -> bool {
        matches!(self, Self::Strong(_))
    }
}
