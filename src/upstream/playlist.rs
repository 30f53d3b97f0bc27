//! A playlist, read to tell a good one from what only looks like one.
//!
//! Every playlist is walked once, line by line, for the little that a [`Summary`] holds: that costs a few
//! microseconds. m3u8-rs, which takes many times as long, has the last word on anything that looks unusual.
//! But nothing is counted by what it read: it drops a variant for a single attribute that it cannot read, and
//! players start that variant all the same.

use std::time::Duration;

use http::HeaderValue;

use super::{
    Flaw, decode,
    glance::{self, Glance},
};

/// What is known of a playlist. What its kind does not have is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Which of the two kinds it is.
    pub kind: Kind,
    /// The longest that a segment may last, which is also the time after which a player asks again; a day at most.
    pub target_duration: Duration,
    /// The number of the first segment.
    pub media_sequence: u64,
    /// The number of the first segment's discontinuity.
    pub discontinuity_sequence: u64,
    /// How many segments it lists.
    pub segments: usize,
    /// How many segments a delta update leaves out before those (RFC 8216bis, `EXT-X-SKIP`).
    pub skipped: u64,
    /// Whether no segments will follow: `#EXT-X-ENDLIST`.
    pub ended: bool,
    /// Whether the server holds a request until what it asks for is there (RFC 8216bis section 6.2.5.2).
    pub can_block_reload: bool,
    /// How many variants it offers, those for trick play and those without a bandwidth not counted.
    pub variants: usize,
    /// How many renditions of audio, subtitles and so on it names.
    pub renditions: usize,
}

/// How much of a playlist is inspected that is too long to be read, in bytes: its first line, and a
/// page's blank ones.
const STARTS_WITHIN: usize = 1024;

/// Which kind of playlist it is (RFC 8216 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It lists segments.
    Media,
    /// It lists media playlists.
    Multivariant,
}

/// How far a playlist is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest text that is read, decoded, in bytes. Default: 4 MiB, twice what MediaTailor takes of an
    /// origin ("Quotas" in its user guide).
    pub decode_up_to: usize,
    /// The longest text that is given to the full parser if it looks unusual, in bytes. Default: 64 KiB.
    pub parse_up_to: usize,
}

/// Reads a playlist from the pieces of its body.
///
/// A body in one piece and without an encoding is not copied. `gzip`, `deflate`, `br` and `zstd` are decoded,
/// one of them at a time; the lines of a `Content-Encoding` count as one.
///
/// # Errors
///
/// The first [`Flaw`] that is found.
///
/// ```
/// use onelane::upstream::playlist::{self, Limits};
///
/// let body: &[u8] = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:6.0,\n7.ts\n";
/// let summary = playlist::read([body], None, &Limits::default())?;
/// assert_eq!((summary.media_sequence, summary.segments, summary.next_sequence()), (7, 1, 8));
/// # Ok::<(), onelane::upstream::Flaw>(())
/// ```
pub fn read<'a, 'b>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    content_encoding: impl IntoIterator<Item = &'b HeaderValue>,
    limits: &Limits,
) -> Result<Summary, Flaw> {
    let text = decode::decode(pieces, content_encoding, limits.decode_up_to)?;
    let Glance { summary, odd } = Glance::of(&text)?;
    if odd && text.len() <= limits.parse_up_to {
        confirm(&text, summary.kind)?;
    }
    Ok(summary)
}

/// Looks at how a playlist begins when only its first pieces are at hand, and not decoded.
pub(super) fn begins<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Flaw> {
    let start: Vec<u8> = pieces.into_iter().flatten().copied().take(STARTS_WITHIN).collect();
    glance::opening(glance::without_mark(&start))
}

/// Has m3u8-rs read the text, as players decode it. It passes over what it does not know and stops without a
/// word at a line that it cannot read, so that what it leaves unread tells more than its errors.
fn confirm(text: &[u8], kind: Kind) -> Result<(), Flaw> {
    let text = String::from_utf8_lossy(glance::without_mark(text));
    let rest = match kind {
        Kind::Media => m3u8_rs::parse_media_playlist(text.as_bytes()).map(|(rest, _)| rest),
        Kind::Multivariant => m3u8_rs::parse_master_playlist(text.as_bytes()).map(|(rest, _)| rest),
    };
    match rest {
        Ok(rest) if rest.trim_ascii().is_empty() => Ok(()),
        _ => Err(Flaw::Unreadable),
    }
}

// === impl Summary ===

impl Summary {
    /// A media playlist of which nothing is known.
    pub(super) const EMPTY: Self = Self {
        kind: Kind::Media,
        target_duration: Duration::ZERO,
        media_sequence: 0,
        discontinuity_sequence: 0,
        segments: 0,
        skipped: 0,
        ended: false,
        can_block_reload: false,
        variants: 0,
        renditions: 0,
    };

    /// The number that the next segment will have: the playlist satisfies a blocking reload for every number
    /// below it.
    pub fn next_sequence(&self) -> u64 {
        self.media_sequence.saturating_add(self.skipped).saturating_add(self.segments as u64)
    }
}

// === impl Limits ===

impl Limits {
    /// Sets [`decode_up_to`](Self::decode_up_to), in bytes.
    #[must_use]
    pub fn decode_up_to(self, decode_up_to: usize) -> Self {
        Self { decode_up_to, ..self }
    }

    /// Sets [`parse_up_to`](Self::parse_up_to), in bytes.
    #[must_use]
    pub fn parse_up_to(self, parse_up_to: usize) -> Self {
        Self { parse_up_to, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { decode_up_to: 4 * 1024 * 1024, parse_up_to: 64 * 1024 }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    const MEDIA: &str = "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:6
#EXT-X-MEDIA-SEQUENCE:41200
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXTINF:6.0,
https://origin.example/ch7/v1_41200.ts
#EXT-X-DISCONTINUITY
#EXTINF:3.0,
../../../../segment/9f3c/NewsLive/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0/41201
#EXTINF:3.0,
../../../../segment/9f3c/NewsLive/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0/41202
#EXT-X-DISCONTINUITY
#EXTINF:6.0,
https://origin.example/ch7/v1_41203.ts
";

    const MULTIVARIANT: &str = r#"#EXTM3U
#EXT-X-VERSION:4
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,URI="../../../manifest/9f3c/NewsLive/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/3.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="cc",NAME="cc1",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="../../../manifest/9f3c/NewsLive/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/4.m3u8"
#EXT-X-STREAM-INF:CODECS="avc1.4d401f,mp4a.40.2",AVERAGE-BANDWIDTH=1900000,RESOLUTION=960x540,FRAME-RATE=25.0,BANDWIDTH=2100000,AUDIO="aud",SUBTITLES="cc"
../../../manifest/9f3c/NewsLive/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8
#EXT-X-STREAM-INF:CODECS="avc1.4d401f,mp4a.40.2",BANDWIDTH=900000,AUDIO="aud",SUBTITLES="cc"
../../../manifest/9f3c/NewsLive/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/1.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,URI="../../../manifest/9f3c/NewsLive/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/2.m3u8"
"#;

    /// After the last whole segment: parts of the next one, and what is to come.
    const LOW_LATENCY: &str = r#"#EXTM3U
#EXT-X-TARGETDURATION:4
#EXT-X-VERSION:9
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=24.0
#EXT-X-PART-INF:PART-TARGET=0.33334
#EXT-X-MEDIA-SEQUENCE:266
#EXTINF:4.00008,
fileSequence266.mp4
#EXT-X-PART:DURATION=0.33334,URI="filePart267.0.mp4",INDEPENDENT=YES
#EXTINF:4.00008,
fileSequence267.mp4
#EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:14:00.106Z
#EXT-X-PART:DURATION=0.33334,URI="filePart268.0.mp4"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="filePart268.1.mp4"
#EXT-X-RENDITION-REPORT:URI="../1M/waitForMSN.php",LAST-MSN=267,LAST-PART=2
"#;

    const SLIDING: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n";

    fn of(text: impl AsRef<[u8]>) -> Result<Summary, Flaw> {
        read([text.as_ref()], None, &Limits::default())
    }

    #[test]
    fn a_media_playlist_of_mediatailor() {
        let expected = Summary {
            target_duration: Duration::from_secs(6),
            media_sequence: 41_200,
            discontinuity_sequence: 3,
            segments: 4,
            ..Summary::EMPTY
        };
        assert_eq!(of(MEDIA), Ok(expected));
        assert_eq!(expected.next_sequence(), 41_204);
        assert_eq!(of(format!("{MEDIA}#EXT-X-ENDLIST")), Ok(Summary { ended: true, ..expected }));
        // Line ends, a mark, or the lack of a last line's end change nothing.
        assert_eq!(of(MEDIA.replace('\n', "\r\n")), Ok(expected));
        assert_eq!(of(format!("\u{feff}{MEDIA}")), Ok(expected));
        assert_eq!(of(MEDIA.trim_end()), Ok(expected));
        assert_eq!(of(format!("{MEDIA}\n\n# a remark\n")), Ok(expected));
        let in_pieces = MEDIA.as_bytes().chunks(100);
        assert_eq!(read(in_pieces, None, &Limits::default()), Ok(expected));
    }

    #[test]
    fn a_multivariant_playlist_of_mediatailor() {
        let expected = Summary { kind: Kind::Multivariant, variants: 2, renditions: 2, ..Summary::EMPTY };
        for text in
            [MULTIVARIANT.into(), MULTIVARIANT.replace('\n', "\r\n"), format!("\u{feff}{MULTIVARIANT}")]
        {
            assert_eq!(of(&text), Ok(expected));
        }
        // No player starts a variant whose bandwidth is missing.
        assert_eq!(of("#EXTM3U\n#EXT-X-STREAM-INF:CODECS=\"x\"\n0.m3u8\n"), Err(Flaw::NoVariants));
        let renditions_alone = MULTIVARIANT.split("#EXT-X-STREAM").next().expect("a first part");
        assert_eq!(of(renditions_alone), Err(Flaw::NoVariants));
    }

    /// Packagers write all of these, the same on every variant, and players go by what they can read.
    #[test]
    fn an_attribute_that_a_parser_cannot_read_takes_no_variant_away() {
        for attributes in [
            "BANDWIDTH=2100000,CODECS=\"\"",
            "BANDWIDTH=2100000,RESOLUTION=1920X1080",
            "BANDWIDTH=2100000,RESOLUTION=\"1920x1080\"",
            "BANDWIDTH=2100000,RESOLUTION=1920.0x1080.0",
            "BANDWIDTH=2100000,AVERAGE-BANDWIDTH=1900000.5",
            "BANDWIDTH=2100000,FRAME-RATE=30000/1001",
            "FRAME-RATE=\"25.000\",CODECS=\"avc1.4d401f,mp4a.40.2\", BANDWIDTH=2100000",
            "BANDWIDTH=2100000.5",
            "BANDWIDTH=\"2100000\"",
            "BANDWIDTH=99999999999999999999999",
            " BANDWIDTH=2100000",
        ] {
            let variant = format!("#EXT-X-STREAM-INF:{attributes}\n0.m3u8\n");
            let text = format!("#EXTM3U\n{variant}{variant}");
            assert_eq!(of(&text).map(|summary| summary.variants), Ok(2), "{attributes}");
            assert_eq!(
                of(format!("{text}stray.m3u8\n")).map(|summary| summary.variants),
                Ok(2),
                "{attributes}"
            );
        }
        // One that nobody could choose does not count, and the others go on.
        let one =
            "#EXTM3U\n#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=9\n0.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=9\n1.m3u8\n";
        assert_eq!(of(one).map(|summary| summary.variants), Ok(1));
        for none in ["", "AVERAGE-BANDWIDTH=9", "BANDWIDTH=", "BANDWIDTH=high", "CODECS=\"BANDWIDTH=9\""] {
            assert_eq!(
                of(format!("#EXTM3U\n#EXT-X-STREAM-INF:{none}\n0.m3u8\n")),
                Err(Flaw::NoVariants),
                "{none}"
            );
        }
    }

    #[test]
    fn the_tail_of_a_low_latency_playlist_is_no_truncation() {
        let summary = of(LOW_LATENCY).expect("a playlist");
        assert!(summary.can_block_reload);
        assert_eq!((summary.segments, summary.next_sequence()), (2, 268));
        assert_eq!(of(LOW_LATENCY.trim_end()), Ok(summary));
        let no_block = LOW_LATENCY.replace("RELOAD=YES", "RELOAD=NO");
        assert!(!of(no_block).expect("a playlist").can_block_reload);
        // The first part of a stream's first segment.
        let begun = format!("{SLIDING}#EXT-X-PART:DURATION=0.3,URI=\"a\"\n");
        assert_eq!(of(begun).map(|summary| summary.segments), Ok(0));
        let delta =
            format!("{SLIDING}#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-SKIP:SKIPPED-SEGMENTS=7\n#EXTINF:4,\na\n");
        assert_eq!(of(delta).map(|summary| summary.next_sequence()), Ok(13));
    }

    #[test]
    fn what_is_no_playlist_is_said_to_be_none() {
        for (text, flaw) in [
            ("", Flaw::Empty),
            ("\r\n \n", Flaw::Empty),
            ("\u{feff}", Flaw::Empty),
            ("<!DOCTYPE html><html>", Flaw::Html),
            ("\n  <html>", Flaw::Html),
            ("{\"message\":\"x\"}", Flaw::NoHeader),
            ("#EXTM3U8\n", Flaw::NoHeader),
            ("\n#EXTM3U\n", Flaw::NoHeader),
            ("#EXTINF:6,\na.ts\n", Flaw::NoHeader),
            ("#EXTM3U\n", Flaw::NoTargetDuration),
            ("#EXTM3U\n#EXTINF:6,\na.ts\n", Flaw::NoTargetDuration),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:soon\n#EXTINF:6,\na.ts\n", Flaw::NoTargetDuration),
            (SLIDING, Flaw::NoSegments),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:-1\n#EXTINF:6,\na\n", Flaw::Unreadable),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", Flaw::Unreadable),
        ] {
            assert_eq!(of(text), Err(flaw), "{text:?}");
        }
        assert_eq!(of(format!("{SLIDING}#EXT-X-ENDLIST\n")).map(|summary| summary.ended), Ok(true));
        assert_eq!(of([MEDIA.as_bytes(), b"#EXTINF:6,\n\xff\xfe\n"].concat()), Err(Flaw::Unreadable));
    }

    /// RFC 8216 section 4.1 wants UTF-8, and players show a name that is not with a sign for what they cannot read.
    #[test]
    fn a_name_in_another_encoding_takes_no_stream_away() {
        let named =
            |text: &str| text.bytes().map(|byte| if byte == b'~' { 0xe7 } else { byte }).collect::<Vec<_>>();
        let media = named("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,Fran~ais\n1.ts\n# gar~on\n");
        assert_eq!(of(media).map(|summary| summary.segments), Ok(1));
        let multivariant = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Fran~ais\",URI=\"a.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\n0.m3u8\n";
        for odd in ["", "stray.m3u8\n"] {
            let summary = of(named(&format!("{multivariant}{odd}"))).expect("a playlist");
            assert_eq!((summary.variants, summary.renditions), (1, 1), "{odd}");
        }
    }

    #[test]
    fn what_players_take_is_taken() {
        let target = |value: &str| {
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{value}\n#EXTINF:6,\na.ts\n");
            of(text).map(|summary| summary.target_duration)
        };
        assert_eq!(target(" 6"), Ok(Duration::from_secs(6)));
        assert_eq!(target("6.5"), Ok(Duration::from_millis(6_500)));
        assert_eq!(target(&"9".repeat(400)), Ok(Duration::from_secs(86_400)));
        // An address without a duration, a title in any language, a name that nobody knows.
        let odd = format!("{MEDIA}stray.ts\n#EXT-X-NEW:1\n#EXTINF:6.0,Ünïcode, with a comma\nü.ts\n");
        assert_eq!(of(odd).map(|summary| summary.segments), Ok(5));
    }

    #[test]
    fn a_playlist_that_ends_in_the_middle() {
        for tail in [
            "#EXTINF:6.0,\n",
            "#EXTINF:6.0,",
            "#EXTINF:6",
            "#EXTINF:6.0,\n#EXT-X-BYTERANGE:100@0\n",
            "#EXT-X-BYTERANGE:100@0\n",
            "#",
            "#EXT",
            "#EXT-X-ENDL",
            "#EXT-X-PART",
            "#EXT-X-KEY:",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"https://k",
            "#EXT-X-KEY:METHOD=AES-128,",
            "#EXT-X-KEY:METHOD=AES-128,UR",
            "#EXT-X-KEY:METHOD=",
        ] {
            assert_eq!(of(format!("{MEDIA}{tail}")), Err(Flaw::Truncated), "{tail:?}");
        }
        for tail in [
            "#EXT-X-DISCONTINUITY",
            "#EXT-X-DISCONTINUITY\n",
            "#EXT-X-GAP",
            "# made by a packager, version=",
            "#EXT-X-KEY:METHOD=NONE",
            "#EXT-X-DATERANGE:ID=\"a,b=\",START-DATE=\"2019-02-14T02:14:00Z\"",
            "#EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:14:00Z",
            "#EXT-OATCLS-SCTE35:/DAlAAAAAAAAAP/wFAUAAAABf+/+AAAAAA==",
        ] {
            assert!(of(format!("{MEDIA}{tail}")).is_ok(), "{tail:?}");
        }
        assert_eq!(
            of(&MULTIVARIANT[..MULTIVARIANT.find("AUDIO=").expect("a variant")]),
            Err(Flaw::Truncated)
        );
        // Cut at any byte, it is either flawed or a shorter playlist whose last address cannot be told from one.
        for end in 0..MEDIA.len() {
            let line = MEDIA[..end].rsplit('\n').next().expect("a last line");
            if let Ok(summary) = of(&MEDIA[..end]) {
                assert!(
                    summary.segments > 0 && !line.starts_with('#') || "#EXT-X-DISCONTINUITY" == line,
                    "{line}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, opening: bool) {
            let opening = if opening { &b"#EXTM3U\n"[..] } else { b"" };
            let _ = read([opening, &bytes], None, &Limits::default());
        }

        #[test]
        fn arbitrary_lines_never_panic(
            lines in prop::collection::vec(
                (prop::sample::select(glance::TAGS.to_vec()), "[-0-9A-Z.,=\"\r\n]{0,12}"), 0..20
            ),
        ) {
            let mut text = b"#EXTM3U\n".to_vec();
            for (tag, value) in &lines {
                text.extend([tag, value.as_bytes(), b"\n"].concat());
            }
            let _ = of(&text);
        }

        #[test]
        fn glance_and_parser_agree_on_media(
            target in 1_u64..60,
            sequences in (any::<u64>(), 0_u64..1000),
            segments in prop::collection::vec(("[a-z0-9/._-]{1,40}", 0_u32..20_000, any::<[bool; 4]>()), 1..40),
            ended: bool,
            crlf: bool,
        ) {
            let (media_sequence, discontinuity_sequence) = sequences;
            let mut text = format!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{target}\n");
            let _ = write!(text, "#EXT-X-MEDIA-SEQUENCE:{media_sequence}\n#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}\n");
            for (uri, millis, [discontinuity, key, range, time]) in &segments {
                let tag = |there: &bool, tag| if *there { tag } else { "" };
                text.push_str(tag(discontinuity, "#EXT-X-DISCONTINUITY\n"));
                text.push_str(tag(key, "#EXT-X-KEY:METHOD=AES-128,URI=\"k,1\",IV=0x0123\n"));
                text.push_str(tag(time, "#EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:14:00.106Z\n"));
                let _ = writeln!(text, "#EXTINF:{}.{:03},", millis / 1000, millis % 1000);
                text.push_str(tag(range, "#EXT-X-BYTERANGE:100@0\n"));
                let _ = writeln!(text, "{uri}");
            }
            text.push_str(if ended { "#EXT-X-ENDLIST\n" } else { "" });
            let text = if crlf { text.replace('\n', "\r\n") } else { text };

            let Glance { summary, odd } = Glance::of(text.as_bytes()).expect("a playlist");
            let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("a playlist");
            prop_assert!(!odd);
            prop_assert_eq!(summary.kind, Kind::Media);
            prop_assert_eq!(summary.target_duration, Duration::from_secs(parsed.target_duration));
            prop_assert_eq!(summary.media_sequence, parsed.media_sequence);
            prop_assert_eq!(summary.discontinuity_sequence, parsed.discontinuity_sequence);
            prop_assert_eq!(summary.segments, parsed.segments.len());
            prop_assert_eq!(summary.ended, parsed.end_list);
            prop_assert_eq!(confirm(text.as_bytes(), summary.kind), Ok(()));
        }

        #[test]
        fn glance_and_parser_agree_on_multivariant(
            variants in prop::collection::vec(("[a-z0-9/._-]{1,40}", 1_u32..), 1..12),
            renditions in prop::collection::vec("[A-Za-z ,=]{1,12}", 0..6),
            trick_play: bool,
        ) {
            let mut text = String::from("#EXTM3U\n");
            for name in &renditions {
                let _ = writeln!(text, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"{name}\",URI=\"{name}.m3u8\"");
            }
            for (uri, bandwidth) in &variants {
                let _ = writeln!(text, "#EXT-X-STREAM-INF:CODECS=\"avc1.4d401f,mp4a.40.2\",BANDWIDTH={bandwidth}\n{uri}");
            }
            if trick_play {
                text.push_str("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n");
            }
            let Glance { summary, odd } = Glance::of(text.as_bytes()).expect("a playlist");
            let parsed = m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect("a playlist");
            prop_assert!(!odd);
            prop_assert_eq!(summary.variants, parsed.variants.iter().filter(|variant| !variant.is_i_frame).count());
            prop_assert_eq!(summary.renditions, parsed.alternatives.len());
            prop_assert_eq!((summary.variants, summary.renditions), (variants.len(), renditions.len()));
            prop_assert_eq!(confirm(text.as_bytes(), summary.kind), Ok(()));
        }
    }
}
