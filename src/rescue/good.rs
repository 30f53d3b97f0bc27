use std::{collections::VecDeque, fmt, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use crate::upstream::playlist::Summary;

/// A good playlist, as the upstream answered it to a `GET` with 200.
///
/// It borrows from the answer: a playlist that is kept is copied, without the slack of the buffers that the
/// answer was read into.
#[derive(Clone, Copy)]
pub struct Good<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a VecDeque<Bytes>,
    pub(super) numbers: Numbers,
    pub(super) unchanged: Option<Instant>,
    pub(super) unasked: bool,
}

/// What was read in a playlist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) media_sequence: Option<u64>,
    pub(super) last_sequence: Option<u64>,
    pub(super) target_duration: Option<Duration>,
    pub(super) ended: bool,
    pub(super) summary: Option<Summary>,
}

// === impl Good ===

impl<'a> Good<'a> {
    /// A playlist with these headers and this body, in the pieces in which the body came. Nothing else is
    /// known of it yet, which is all there is to a multivariant playlist.
    pub fn new(headers: &'a HeaderMap, body: &'a VecDeque<Bytes>) -> Self {
        Self { headers, body, numbers: Numbers::default(), unchanged: None, unasked: false }
    }

    /// Sets its `EXT-X-MEDIA-SEQUENCE`; 0 for a media playlist without (RFC 8216 section 4.3.3.2), `None` for
    /// what is no media playlist.
    #[must_use]
    pub fn media_sequence(mut self, media_sequence: Option<u64>) -> Self {
        self.numbers.media_sequence = media_sequence;
        self
    }

    /// Sets the media sequence number of its last whole segment; `None` when it has none.
    #[must_use]
    pub fn last_sequence(mut self, last_sequence: Option<u64>) -> Self {
        self.numbers.last_sequence = last_sequence;
        self
    }

    /// Sets its `EXT-X-TARGETDURATION`.
    #[must_use]
    pub fn target_duration(mut self, target_duration: Option<Duration>) -> Self {
        self.numbers.target_duration = target_duration;
        self
    }

    /// Sets whether it has an `EXT-X-ENDLIST`, after which it does not change any more.
    #[must_use]
    pub fn ended(mut self, ended: bool) -> Self {
        self.numbers.ended = ended;
        self
    }

    /// Sets what was read of it, for [`Store::same`](super::Store::same). Default: nothing.
    #[must_use]
    pub(crate) fn summary(mut self, summary: Option<Summary>) -> Self {
        self.numbers.summary = summary;
        self
    }

    /// Sets since when it is known to be the same, as [`Store::same`](super::Store::same) says: it is then
    /// not compared again with what has been kept since that time. Default: unknown.
    #[must_use]
    pub(crate) fn unchanged(mut self, unchanged: Option<Instant>) -> Self {
        self.unchanged = unchanged;
        self
    }

    /// Sets whether its request said nothing of content codings: it is then given to others that say nothing, whatever
    /// its own. Default: `false`.
    #[must_use]
    pub fn unasked(mut self, unasked: bool) -> Self {
        self.unasked = unasked;
        self
    }

    pub(super) fn len(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }

    /// Whether the body is these bytes.
    pub(super) fn is(&self, mut bytes: &[u8]) -> bool {
        for piece in self.body {
            match bytes.strip_prefix(&piece[..]) {
                Some(rest) => bytes = rest,
                None => return false,
            }
        }
        bytes.is_empty()
    }

    /// The body in one piece of exactly its size.
    pub(super) fn copy(&self) -> Bytes {
        let mut copy = Vec::with_capacity(self.len());
        self.body.iter().for_each(|piece| copy.extend_from_slice(piece));
        copy.into()
    }
}

/// Without the bytes: a playlist is long, and its URLs are secrets.
impl fmt::Debug for Good<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Good")
            .field("bytes", &self.len())
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_body() {
        let headers = HeaderMap::new();
        let body = ["#EXT", "", "M3U", "\n"].map(Bytes::from).into();
        let good = Good::new(&headers, &body);
        assert_eq!((good.len(), good.copy()), (8, Bytes::from_static(b"#EXTM3U\n")));
        assert!(good.is(b"#EXTM3U\n"));
        for other in [&b""[..], b"#EXT", b"#EXTM3U", b"#EXTM3U\n\n", b"#EXTM3X\n"] {
            assert!(!good.is(other));
        }
        assert!(Good::new(&headers, &VecDeque::new()).is(b""));
    }

    #[test]
    fn a_copy_pins_no_more_than_itself() {
        let headers = HeaderMap::new();
        let read = Bytes::from(vec![b'#'; 64 * 1024]);
        let body = VecDeque::from([read.slice(..10)]);
        let copy = Good::new(&headers, &body).copy();
        drop(body);
        assert!(read.is_unique(), "the buffer that it was read into is free");
        assert_eq!(copy.try_into_mut().expect("of nobody else").capacity(), 10);
    }
}
