use std::time::Duration;

use super::{
    Flaw,
    playlist::{Kind, Summary},
};

/// RFC 8216 forbids it and players pass over it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The longest target duration that is believed: with more, sums of durations could overflow.
const LONGEST: f64 = 24.0 * 3600.0;

/// Names that a last line may be the beginning of, with a colon where a value belongs behind them.
pub(super) const TAGS: [&[u8]; 34] = [
    b"#EXTINF:",
    b"#EXT-X-BITRATE:",
    b"#EXT-X-BYTERANGE:",
    b"#EXT-X-CONTENT-STEERING:",
    b"#EXT-X-CUE-IN",
    b"#EXT-X-CUE-OUT",
    b"#EXT-X-DATERANGE:",
    b"#EXT-X-DEFINE:",
    b"#EXT-X-DISCONTINUITY",
    b"#EXT-X-DISCONTINUITY-SEQUENCE:",
    b"#EXT-X-ENDLIST",
    b"#EXT-X-GAP",
    b"#EXT-X-I-FRAME-STREAM-INF:",
    b"#EXT-X-I-FRAMES-ONLY",
    b"#EXT-X-INDEPENDENT-SEGMENTS",
    b"#EXT-X-KEY:",
    b"#EXT-X-MAP:",
    b"#EXT-X-MEDIA-SEQUENCE:",
    b"#EXT-X-MEDIA:",
    b"#EXT-X-PART-INF:",
    b"#EXT-X-PART:",
    b"#EXT-X-PLAYLIST-TYPE:",
    b"#EXT-X-PRELOAD-HINT:",
    b"#EXT-X-PROGRAM-DATE-TIME:",
    b"#EXT-X-RENDITION-REPORT:",
    b"#EXT-X-SERVER-CONTROL:",
    b"#EXT-X-SESSION-DATA:",
    b"#EXT-X-SESSION-KEY:",
    b"#EXT-X-SKIP:",
    b"#EXT-X-START:",
    b"#EXT-X-STREAM-INF:",
    b"#EXT-X-TARGETDURATION:",
    b"#EXT-X-VERSION:",
    b"#EXTM3U",
];

/// What one walk over a playlist's lines shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glance {
    pub(super) summary: Summary,
    /// Something about it is unusual: a full parser is worth its time.
    pub(super) odd: bool,
}

/// The lines seen so far.
#[derive(Debug, Default)]
struct Seen {
    target_duration: Option<Duration>,
    media_sequence: u64,
    discontinuity_sequence: u64,
    segments: usize,
    skipped: u64,
    variants: usize,
    renditions: usize,
    /// A tag of a multivariant playlist, other than a variant's or a rendition's.
    multivariant: bool,
    /// A part of a segment that is not whole yet (low-latency HLS).
    part: bool,
    ended: bool,
    can_block_reload: bool,
    pending: Pending,
    odd: bool,
}

/// What the next address belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    /// A segment's byte range came, its duration did not.
    Range,
    Segment,
    Variant,
    /// A variant whose bandwidth is missing: no player starts it.
    NoVariant,
}

// === impl Glance ===

impl Glance {
    /// Walks the lines once and reads nothing but what a [`Summary`] holds.
    ///
    /// # Errors
    ///
    /// Every [`Flaw`] but those of the encoding.
    pub(super) fn of(text: &[u8]) -> Result<Self, Flaw> {
        let text = without_mark(text);
        opening(text)?;
        let mut seen = Seen::default();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text) {
            seen.line(&text[start..end])?;
            start = end + 1;
        }
        // A line that was not ended: an address may well be the last thing there is.
        let last = text[start..].trim_ascii();
        seen.line(last)?;
        if seen.pending != Pending::Nothing || is_cut(last) {
            return Err(Flaw::Truncated);
        }
        seen.finish()
    }
}

/// A playlist's text without a byte order mark before it.
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Looks at how a text begins.
pub(super) fn opening(text: &[u8]) -> Result<(), Flaw> {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match first.strip_prefix(b"#EXTM3U") {
        Some([] | [b' ' | b'\t' | b'\r', ..]) => Ok(()),
        _ => match text.trim_ascii_start().first() {
            None => Err(Flaw::Empty),
            Some(b'<') => Err(Flaw::Html),
            Some(_) => Err(Flaw::NoHeader),
        },
    }
}

// === impl Seen ===

impl Seen {
    fn line(&mut self, line: &[u8]) -> Result<(), Flaw> {
        let line = line.trim_ascii();
        match line.first() {
            None => {}
            Some(b'#') => return self.tag(line),
            // Of names and comments in other encodings players make what they can; an address has to be right.
            Some(_) if std::str::from_utf8(line).is_err() => return Err(Flaw::Unreadable),
            Some(_) => self.address(),
        }
        Ok(())
    }

    fn address(&mut self) {
        match std::mem::take(&mut self.pending) {
            Pending::Segment => self.segments += 1,
            Pending::Variant => self.variants += 1,
            Pending::NoVariant => {}
            Pending::Nothing | Pending::Range => self.odd = true,
        }
    }

    fn tag(&mut self, line: &[u8]) -> Result<(), Flaw> {
        if line.starts_with(b"#EXTINF:") {
            self.pending = Pending::Segment;
            return Ok(());
        }
        let Some(tag) = line.strip_prefix(b"#EXT-X-") else {
            return Ok(());
        };
        let (name, value) = match memchr::memchr(b':', tag) {
            Some(colon) => (&tag[..colon], &tag[colon + 1..]),
            None => (tag, &b""[..]),
        };
        match name {
            b"TARGETDURATION" => self.target_duration = seconds(value),
            b"MEDIA-SEQUENCE" => self.media_sequence = number(value).ok_or(Flaw::Unreadable)?,
            b"DISCONTINUITY-SEQUENCE" => {
                self.discontinuity_sequence = number(value).ok_or(Flaw::Unreadable)?;
            }
            b"BYTERANGE" if self.pending == Pending::Nothing => self.pending = Pending::Range,
            b"ENDLIST" => self.ended = true,
            b"PART" | b"PRELOAD-HINT" => self.part = true,
            b"SKIP" => {
                let skipped = attribute(value, b"SKIPPED-SEGMENTS=").and_then(number);
                self.skipped = skipped.ok_or(Flaw::Unreadable)?;
            }
            b"SERVER-CONTROL" => {
                self.can_block_reload = attribute(value, b"CAN-BLOCK-RELOAD=") == Some(b"YES");
            }
            b"STREAM-INF" => {
                self.multivariant = true;
                self.pending = if has_bandwidth(value) { Pending::Variant } else { Pending::NoVariant };
            }
            b"MEDIA" => self.renditions += 1,
            b"I-FRAME-STREAM-INF" | b"SESSION-DATA" | b"SESSION-KEY" => self.multivariant = true,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Glance, Flaw> {
        let is_media = self.target_duration.is_some() || self.segments > 0;
        let summary = match self.target_duration {
            // RFC 8216 section 4.3.4: a client must not take what is both.
            _ if is_media && self.variants > 0 => return Err(Flaw::Unreadable),
            None if !is_media && (self.multivariant || self.renditions > 0) => {
                if self.variants == 0 {
                    return Err(Flaw::NoVariants);
                }
                Summary {
                    kind: Kind::Multivariant,
                    variants: self.variants,
                    renditions: self.renditions,
                    ..Summary::EMPTY
                }
            }
            None => return Err(Flaw::NoTargetDuration),
            Some(_) if self.segments == 0 && self.skipped == 0 && !self.part && !self.ended => {
                return Err(Flaw::NoSegments);
            }
            Some(target_duration) => Summary {
                target_duration,
                media_sequence: self.media_sequence,
                discontinuity_sequence: self.discontinuity_sequence,
                segments: self.segments,
                skipped: self.skipped,
                ended: self.ended,
                can_block_reload: self.can_block_reload,
                ..Summary::EMPTY
            },
        };
        Ok(Glance { summary, odd: self.odd })
    }
}

/// The number at the start of a value, as players read it: what follows does not count.
fn number(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii_start();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

/// A target duration is a whole number (RFC 8216 section 4.3.3.1), and some packagers write a decimal one.
fn seconds(value: &[u8]) -> Option<Duration> {
    let value = value.trim_ascii_start();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let seconds: f64 = std::str::from_utf8(&value[..digits]).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds.min(LONGEST)).ok()
}

/// Whether a variant says how much it takes, in whatever form: players read the digits, and some also what is quoted.
fn has_bandwidth(attributes: &[u8]) -> bool {
    let value = attribute(attributes, b"BANDWIDTH=").unwrap_or_default();
    value.strip_prefix(b"\"").unwrap_or(value).first().is_some_and(u8::is_ascii_digit)
}

/// The value of an attribute among others that are not quoted.
fn attribute<'a>(attributes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    attributes.split(|byte| *byte == b',').find_map(|attribute| attribute.trim_ascii().strip_prefix(name))
}

/// Whether a last line without its end is a tag that lacks something: a part of its name, a value, a quote or
/// an attribute. An address cannot be told from the beginning of one.
fn is_cut(line: &[u8]) -> bool {
    if !line.starts_with(b"#") {
        return false;
    }
    if TAGS.iter().any(|tag| tag.len() > line.len() && tag.starts_with(line)) && !TAGS.contains(&line) {
        return true;
    }
    let Some(tag) = TAGS.iter().find(|tag| tag.ends_with(b":") && line.starts_with(tag)) else {
        return false;
    };
    let value = &line[tag.len()..];
    let (mut quoted, mut list, mut last) = (false, false, 0);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'=' if !quoted => list = true,
            b',' if !quoted => last = at + 1,
            _ => {}
        }
    }
    let attribute = &value[last..];
    let whole = memchr::memchr(b'=', attribute).is_some_and(|equals| equals + 1 < attribute.len());
    value.is_empty() || quoted || list && !whole
}
