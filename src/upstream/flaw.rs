/// Why an answer that should be a playlist is not one that a player could use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.meaning())]
#[non_exhaustive]
pub enum Flaw {
    /// There is nothing in it.
    Empty,
    /// It is a web page, as a proxy, a portal or a maintenance mode answers with.
    Html,
    /// It does not begin with `#EXTM3U` (RFC 8216 section 4.3.1.1).
    NoHeader,
    /// It ends in the middle: of a line, of a segment, of a variant or of its compressed stream.
    Truncated,
    /// A media playlist without `#EXT-X-TARGETDURATION` (RFC 8216 section 4.3.3.1).
    NoTargetDuration,
    /// A media playlist without a segment, which does not say that it has ended.
    NoSegments,
    /// A multivariant playlist without a variant.
    NoVariants,
    /// A multivariant playlist where a media playlist was asked for.
    OtherKind,
    /// Its media sequence is lower than one that the session was given before (RFC 8216 section 6.2.1).
    Older,
    /// A redirect to anything but a media playlist of the same session: to another host, past its lane, or to a page.
    Elsewhere,
    /// Longer, once decoded, than [`Limits::decode_up_to`](super::playlist::Limits::decode_up_to). Nothing is
    /// known to be wrong with it.
    TooLong,
    /// Its compressed stream is broken.
    Encoding,
    /// Its `Content-Encoding` is not one that is read here. Nothing is known to be wrong with it.
    UnknownEncoding,
    /// Its text is not a playlist's: an address that is not UTF-8, a number that is not one, or lines of both
    /// kinds of playlist.
    Unreadable,
}

// === impl Flaw ===

impl Flaw {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Empty,
        Self::Html,
        Self::NoHeader,
        Self::Truncated,
        Self::NoTargetDuration,
        Self::NoSegments,
        Self::NoVariants,
        Self::OtherKind,
        Self::Older,
        Self::Elsewhere,
        Self::TooLong,
        Self::Encoding,
        Self::UnknownEncoding,
        Self::Unreadable,
    ];

    /// The flaw's name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Html => "html",
            Self::NoHeader => "no_header",
            Self::Truncated => "truncated",
            Self::NoTargetDuration => "no_target_duration",
            Self::NoSegments => "no_segments",
            Self::NoVariants => "no_variants",
            Self::OtherKind => "other_kind",
            Self::Older => "older",
            Self::Elsewhere => "elsewhere",
            Self::TooLong => "too_long",
            Self::Encoding => "encoding",
            Self::UnknownEncoding => "unknown_encoding",
            Self::Unreadable => "unreadable",
        }
    }

    /// What it means, in a sentence without its full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Empty => "the playlist is empty",
            Self::Html => "a web page came in place of the playlist",
            Self::NoHeader => "the playlist does not begin with #EXTM3U",
            Self::Truncated => "the playlist ends in the middle",
            Self::NoTargetDuration => "the media playlist has no target duration",
            Self::NoSegments => "the media playlist has no segments and does not say that it has ended",
            Self::NoVariants => "the multivariant playlist has no variants",
            Self::OtherKind => "a multivariant playlist came in place of a media playlist",
            Self::Older => {
                "the playlist's media sequence is lower than before, or segments are missing at its end"
            }
            Self::Elsewhere => "a redirect to something else came in place of the playlist",
            Self::TooLong => "the playlist is too long to be read",
            Self::Encoding => "the playlist's compressed stream is broken",
            Self::UnknownEncoding => "the playlist's content encoding is not one that is read here",
            Self::Unreadable => "the playlist's text is not that of a playlist",
        }
    }

    /// Whether the playlist was not read to the point where it could be called good or bad. A player may well
    /// use it.
    pub fn is_unjudged(self) -> bool {
        matches!(self, Self::Elsewhere | Self::TooLong | Self::UnknownEncoding)
    }
}
