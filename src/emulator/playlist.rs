use std::fmt::Write as _;

use super::{
    reel::{NO_CAPTIONS, Piece, Range},
    timeline::{Slot, Source, Timeline, Window},
};

/// How a playlist links to ad segments.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ads<'a> {
    /// Through `/v1/segment`, which fires a beacon and redirects: `before` leads to the rendition.
    Stitched { before: &'a str, after: &'a str },
    /// At the ad's media, as the player fires the beacons (inferred).
    Direct,
}

/// The text of a rendition's media playlist.
pub(super) fn media(timeline: &Timeline, window: &Window, rendition: usize, ads: Ads<'_>) -> String {
    let Some(first) = window.slots.first() else {
        return String::new();
    };
    let mut text = String::with_capacity(160 + window.slots.len() * 192);
    let before_first = first.discontinuities - u64::from(first.discontinuity);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{before_first}\n",
        timeline.target(rendition),
        first.sequence[rendition],
    );
    if window.ended {
        text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n");
    }
    let mut writer = Writer { text, map: None, key: None, dated: false, discontinuity: false };
    for slot in window.slots.iter() {
        writer.slot(timeline, slot, rendition, ads);
    }
    if window.ended {
        writer.text.push_str("#EXT-X-ENDLIST\n");
    }
    writer.text
}

struct Writer<'a> {
    text: String,
    map: Option<(&'a str, Option<Range>)>,
    key: Option<&'a str>,
    /// Whether the time of day was said since the last discontinuity.
    dated: bool,
    /// Whether a discontinuity waits for its first segment: a rendition may have none in a slot.
    discontinuity: bool,
}

// === impl Writer ===

impl<'a> Writer<'a> {
    fn slot(&mut self, timeline: &'a Timeline, slot: &Slot, rendition: usize, ads: Ads<'_>) {
        self.discontinuity |= slot.discontinuity;
        let (reel, number, place) = timeline.reel_of(slot, rendition);
        let pieces = match number {
            Some(number) => reel.pieces(number, place),
            None => {
                let uri = NO_CAPTIONS.into();
                vec![Piece { uri, duration: slot.duration, range: None, map: None, key: None }]
            }
        };
        for (inside, piece) in pieces.iter().enumerate() {
            self.tags(timeline, slot, piece);
            match (slot.source, ads) {
                (Source::Ad { .. }, Ads::Stitched { before, after }) => {
                    let sequence = slot.sequence[rendition] + inside as u64;
                    let _ = writeln!(self.text, "{before}/{rendition}/{sequence}{after}");
                }
                _ => {
                    let _ = writeln!(self.text, "{}", piece.uri);
                }
            }
        }
    }

    fn tags(&mut self, timeline: &Timeline, slot: &Slot, piece: &Piece<'a>) {
        if std::mem::take(&mut self.discontinuity) {
            self.text.push_str("#EXT-X-DISCONTINUITY\n");
            self.dated = false;
            // What an encoder set up before a discontinuity does not hold behind it.
            self.map = None;
        }
        if piece.key != self.key {
            let _ = writeln!(self.text, "#EXT-X-KEY:{}", piece.key.unwrap_or("METHOD=NONE"));
            self.key = piece.key;
        }
        let map = piece.map.map(|map| (map.uri.as_str(), map.range));
        if let Some((uri, range)) = map.filter(|map| self.map != Some(*map)) {
            let _ = write!(self.text, "#EXT-X-MAP:URI=\"{uri}\"");
            if let Some(Range { length, offset }) = range {
                let _ = write!(self.text, ",BYTERANGE=\"{length}@{offset}\"");
            }
            self.text.push('\n');
            self.map = map;
        }
        if !std::mem::replace(&mut self.dated, true) {
            let time = humantime::format_rfc3339_millis(timeline.time_of(slot.start));
            let _ = writeln!(self.text, "#EXT-X-PROGRAM-DATE-TIME:{time}");
        }
        let _ = writeln!(self.text, "#EXTINF:{:.6},", piece.duration.as_secs_f64());
        if let Some(Range { length, offset }) = piece.range {
            let _ = writeln!(self.text, "#EXT-X-BYTERANGE:{length}@{offset}");
        }
    }
}
