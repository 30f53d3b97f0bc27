use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;

use super::reel::{MARK, Part, Piece, Template};

/// A stream that is right in form and has no media worth the name: for load, not for the eye.
#[derive(Debug)]
pub(in crate::emulator) struct Synthetic {
    root: &'static str,
    segment: Duration,
    slots: Option<u64>,
    parts: Vec<Part>,
    template: Template,
}

/// How many renditions a synthetic stream has of each part.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct Counts {
    pub(in crate::emulator) variants: u32,
    pub(in crate::emulator) audio: u32,
    pub(in crate::emulator) subtitles: u32,
}

/// One TS packet of stuffing.
const STUFFING: [u8; 188] = {
    let mut packet = [0xff; 188];
    [packet[0], packet[1], packet[2], packet[3]] = [0x47, 0x1f, 0xff, 0x10];
    packet
};

// === impl Synthetic ===

impl Synthetic {
    /// A stream of `slots` segments, or one without end, with its media under `root`.
    pub(in crate::emulator) fn new(
        root: &'static str,
        segment: Duration,
        slots: Option<u64>,
        counts: Counts,
    ) -> Self {
        let part = |part, count| std::iter::repeat_n(part, count as usize);
        let parts = part(Part::Variant, counts.variants)
            .chain(part(Part::Audio, counts.audio))
            .chain(part(Part::Subtitles, counts.subtitles))
            .collect();
        Self { root, segment, slots, parts, template: Template::new(&multivariant(counts)) }
    }

    pub(in crate::emulator) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(in crate::emulator) fn slots(&self) -> Option<u64> {
        self.slots
    }

    pub(in crate::emulator) fn duration(&self) -> Duration {
        self.segment
    }

    pub(in crate::emulator) fn piece(&self, rendition: usize, slot: u64) -> Piece<'_> {
        let extension = match self.parts[rendition] {
            Part::Subtitles => "vtt",
            Part::Variant | Part::Audio => "ts",
        };
        Piece {
            uri: format!("{}/synthetic/{rendition}/{slot}.{extension}", self.root).into(),
            duration: self.segment,
            range: None,
            map: None,
            key: None,
        }
    }

    pub(in crate::emulator) fn template(&self) -> &Template {
        &self.template
    }
}

/// The body of a synthetic segment, and its type.
pub(in crate::emulator) fn media(path: &str) -> Option<(Bytes, &'static str)> {
    if !path.starts_with("synthetic/") {
        return None;
    }
    match path.rsplit_once('.')?.1 {
        "ts" => Some((Bytes::from_static(&STUFFING), "video/mp2t")),
        "vtt" => Some((Bytes::from_static(b"WEBVTT\n\n"), "text/vtt")),
        _ => None,
    }
}

fn multivariant(Counts { variants, audio, subtitles }: Counts) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let first = |n| if n == 0 { "YES" } else { "NO" };
    // Writing to a String cannot fail.
    for n in 0..audio {
        let (number, default) = (variants + n, first(n));
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aud\",NAME=\"Audio {n}\",LANGUAGE=\"{}\",DEFAULT={default},\
             AUTOSELECT=YES,URI=\"{MARK}{number}{MARK}\"",
            language(n),
        );
    }
    for n in 0..subtitles {
        let number = variants + audio + n;
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"cc\",NAME=\"Subtitles {n}\",LANGUAGE=\"{}\",DEFAULT=NO,\
             AUTOSELECT=YES,FORCED=NO,URI=\"{MARK}{number}{MARK}\"",
            language(n),
        );
    }
    for n in 0..variants {
        let bandwidth = 800_000 * (u64::from(n) + 1);
        let height = (360 + 180 * n).min(2160);
        let _ = write!(
            text,
            "#EXT-X-STREAM-INF:CODECS=\"avc1.4d401f,mp4a.40.2\",AVERAGE-BANDWIDTH={},RESOLUTION={}x{height},\
             FRAME-RATE=25.0,BANDWIDTH={bandwidth}",
            bandwidth * 9 / 10,
            height * 16 / 9,
        );
        let groups = [(audio, ",AUDIO=\"aud\""), (subtitles, ",SUBTITLES=\"cc\"")];
        groups.iter().filter(|(count, _)| *count > 0).for_each(|(_, group)| text.push_str(group));
        let _ = writeln!(text, "\n{MARK}{n}{MARK}");
    }
    text
}

fn language(n: u32) -> &'static str {
    ["en", "fr", "de", "es", "pt", "it", "pl", "ja"][n as usize % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_multivariant_playlist_is_one() {
        let counts = Counts { variants: 2, audio: 1, subtitles: 1 };
        let reel = Synthetic::new("/content", Duration::from_secs(2), None, counts);
        let text = reel.template().fill("x/", "");
        let master = m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect("a multivariant playlist");
        let variants: Vec<_> = master.variants.iter().map(|variant| variant.uri.as_str()).collect();
        let others: Vec<_> = master.alternatives.iter().filter_map(|media| media.uri.as_deref()).collect();
        assert_eq!((variants, others), (vec!["x/0.m3u8", "x/1.m3u8"], vec!["x/2.m3u8", "x/3.m3u8"]));
        assert_eq!(reel.parts(), [Part::Variant, Part::Variant, Part::Audio, Part::Subtitles]);
    }

    #[test]
    fn media_answers_what_playlists_name() {
        let counts = Counts { variants: 1, audio: 0, subtitles: 1 };
        let reel = Synthetic::new("/content", Duration::from_secs(2), None, counts);
        for rendition in 0..2 {
            let uri = reel.piece(rendition, 41).uri;
            let path = uri.strip_prefix("/content/").expect("under the root");
            assert!(media(path).is_some(), "{path}");
        }
        assert!(media("v0/1.ts").is_none());
    }
}
