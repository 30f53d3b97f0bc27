use std::fmt::Write as _;

use super::{
    reel::{NO_CAPTIONS, Piece, Range},
    timeline::{Slot, Source, Timeline, Window},
};

/// How a playlist links to ad segments.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) enum Ads<'a> {
    /// Through `/v1/segment`, which fires a beacon and redirects: `before` leads to the rendition.
    Stitched { before: &'a str, after: &'a str },
    /// At the ad's media, as the player fires the beacons (inferred).
    Direct,
}

/// How much lower than the timeline's a playlist's numbers are. They end at nought.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::emulator) struct Lowered {
    pub(in crate::emulator) sequence: u64,
    pub(in crate::emulator) discontinuity: u64,
}

// === impl Lowered ===

impl Lowered {
    /// A rendition's numbers begin with a slot, if there is one.
    pub(in crate::emulator) fn to(begin: Option<&Slot>, rendition: usize) -> Self {
        begin.map_or_else(Self::default, |slot| Self {
            sequence: slot.sequence[rendition],
            discontinuity: before(slot),
        })
    }
}

/// Discontinuities before a slot.
fn before(slot: &Slot) -> u64 {
    slot.discontinuities - u64::from(slot.discontinuity)
}

/// The text of a rendition's media playlist.
pub(in crate::emulator) fn media(
    timeline: &Timeline,
    window: &Window,
    rendition: usize,
    ads: Ads<'_>,
    lowered: Lowered,
) -> String {
    let Some(first) = window.slots.first() else {
        return String::new();
    };
    let mut text = String::with_capacity(160 + window.slots.len() * 192);
    let before_first = before(first).saturating_sub(lowered.discontinuity);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{before_first}\n",
        timeline.target(rendition),
        first.sequence[rendition].saturating_sub(lowered.sequence),
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use super::{
        super::{
            fixture::Folder,
            origin::Packaged,
            reel::Reel,
            synthetic::{Counts, Synthetic},
            timeline::Shape,
        },
        *,
    };

    const STITCHED: Ads<'_> = Ads::Stitched { before: "../../../../segment/a/c/s", after: "?t=1" };

    /// Of a segment: its discontinuity's number, what it shows, its map, and the time of day if it is said.
    type Seen = (u64, String, Option<String>, Option<String>);

    fn packaged(folder: &Folder, root: &'static str) -> Arc<Reel> {
        Arc::new(Reel::Packaged(Packaged::read(folder.path(), root).expect("an asset")))
    }

    fn live(every: u64) -> Shape {
        let (every, length) = (Duration::from_secs(every), Duration::from_secs(4));
        Shape { window: Some(6), every, length, unfilled_every: 0 }
    }

    /// Reads a playlist as a player does, with another's parser.
    fn read(text: &str, segments: &mut BTreeMap<u64, Seen>) {
        let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect(text);
        let mut discontinuity = playlist.discontinuity_sequence;
        for (sequence, segment) in (playlist.media_sequence..).zip(&playlist.segments) {
            assert!(segment.duration.round() as u64 <= playlist.target_duration, "{text}");
            discontinuity += u64::from(segment.discontinuity);
            let map = segment.map.as_ref().map(|map| map.uri.clone());
            let time = segment.program_date_time.map(|time| time.to_rfc3339());
            let seen = (discontinuity, segment.uri.clone(), map, time);
            let before = segments.entry(sequence).or_insert_with(|| seen.clone());
            assert_eq!((before.0, &before.1), (seen.0, &seen.1), "a segment changed: {text}");
        }
    }

    /// Watches every rendition for a while, once a second.
    async fn watch(timeline: &Timeline, renditions: usize, seconds: u64) -> Vec<BTreeMap<u64, Seen>> {
        let mut seen = vec![BTreeMap::new(); renditions];
        for _ in 0..seconds {
            let window = timeline.window();
            assert_eq!((window.slots.len(), window.ended), (6, false));
            for (rendition, seen) in seen.iter_mut().enumerate() {
                read(&media(timeline, &window, rendition, STITCHED, Lowered::default()), seen);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_window_loops_alike_in_every_rendition() {
        let folder = Folder::asset("m4s");
        let timeline = Timeline::new(packaged(&folder, "/content"), None, live(0));
        let seen = watch(&timeline, 4, 60).await;
        for seen in &seen {
            // Full at the start, then 5 segments each 9 s, in one unbroken line.
            assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (0..seen.len() as u64).collect::<Vec<_>>());
            assert_eq!(seen.len(), 38);
            for (sequence, (discontinuity, ..)) in seen {
                assert_eq!(*discontinuity, sequence / 5, "all switch at the same segment");
            }
        }
        assert_eq!(seen[2][&12].1, "/content/a/seg2.m4s");
        assert_eq!(seen[3][&12].1, "/content/s/seg0.vtt");
        // Said again behind a seam.
        assert_eq!(seen[1][&10].2.as_deref(), Some("/content/v1/init.mp4"));
        assert_eq!(seen[1][&10].3, seen[2][&10].3);
    }

    #[tokio::test(start_paused = true)]
    async fn ads_replace_content_between_discontinuities() {
        let (folder, ads) = (Folder::asset("ts"), Folder::asset("ts"));
        let timeline = Timeline::new(packaged(&folder, "/content"), Some(packaged(&ads, "/tm")), live(8));
        let seen = watch(&timeline, 4, 60).await;
        let line: Vec<_> =
            seen[0].values().take(8).map(|(number, uri, ..)| (*number, uri.as_str())).collect();
        assert_eq!(
            line,
            [
                (0, "/content/v0/seg0.ts"),
                (0, "/content/v0/seg1.ts"),
                (0, "/content/v0/seg2.ts"),
                (0, "/content/v0/seg3.ts"),
                (1, "../../../../segment/a/c/s/0/4?t=1"),
                (1, "../../../../segment/a/c/s/0/5?t=1"),
                // 4 s of ads stood for the 1 s and 2 s and a part of what came next.
                (2, "/content/v0/seg2.ts"),
                (2, "/content/v0/seg3.ts"),
            ]
        );
        for other in &seen[1..] {
            let numbers = |seen: &BTreeMap<u64, Seen>| seen.values().map(|seen| seen.0).collect::<Vec<_>>();
            assert_eq!(numbers(other), numbers(&seen[0]));
        }
        // What the playlist named, the redirect finds, long after it has left the window.
        let (slot, inside) = timeline.find(0, 5).expect("it is remembered");
        assert!(matches!(slot.source, Source::Ad { number: 0, slot: 1 }) && inside == 0);
        assert!(timeline.find(0, 1000).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn content_goes_on_through_a_break_that_is_not_filled() {
        let (folder, ads) = (Folder::asset("ts"), Folder::asset("ts"));
        let shape = Shape { unfilled_every: 2, ..live(8) };
        let timeline = Timeline::new(packaged(&folder, "/content"), Some(packaged(&ads, "/tm")), shape);
        assert_eq!(timeline.window().unfilled(), None);
        let seen = watch(&timeline, 4, 60).await;
        let line: Vec<_> =
            seen[0].values().skip(4).take(13).map(|(number, uri, ..)| (*number, uri.as_str())).collect();
        assert_eq!(
            line,
            [
                (1, "../../../../segment/a/c/s/0/4?t=1"),
                (1, "../../../../segment/a/c/s/0/5?t=1"),
                (2, "/content/v0/seg2.ts"),
                (2, "/content/v0/seg3.ts"),
                (2, "/content/v0/seg4.ts"),
                // The asset begins anew.
                (3, "/content/v0/seg0.ts"),
                (3, "/content/v0/seg1.ts"),
                // Here is the break, of two segments.
                (3, "/content/v0/seg2.ts"),
                (3, "/content/v0/seg3.ts"),
                (3, "/content/v0/seg4.ts"),
                (4, "/content/v0/seg0.ts"),
                (4, "/content/v0/seg1.ts"),
                (4, "/content/v0/seg2.ts"),
            ]
        );
        for other in &seen[1..] {
            let numbers = |seen: &BTreeMap<u64, Seen>| seen.values().map(|seen| seen.0).collect::<Vec<_>>();
            assert_eq!(numbers(other), numbers(&seen[0]));
        }
        let (slot, _) = timeline.find(0, 11).expect("it is remembered");
        assert!(matches!(slot.source, Source::Unfilled { number: 1, slot: 12 }), "{slot:?}");
    }

    #[test]
    fn vod_is_all_of_it_with_ads_in_between() {
        let counts = Counts { variants: 1, audio: 0, subtitles: 0 };
        let slot = Duration::from_secs(2);
        let content = Arc::new(Reel::Synthetic(Synthetic::new("/content", slot, Some(6), counts)));
        let ads = Arc::new(Reel::Synthetic(Synthetic::new("/tm", slot, None, counts)));
        let timeline = Timeline::new(content, Some(ads), Shape { window: None, ..live(6) });
        let text = media(&timeline, &timeline.window(), 0, Ads::Direct, Lowered::default());
        let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("a playlist");
        let uris: Vec<_> = playlist.segments.iter().map(|segment| segment.uri.as_str()).collect();
        let (content, ad) =
            (|n| format!("/content/synthetic/0/{n}.ts"), |n| format!("/tm/synthetic/0/{n}.ts"));
        let expected = [content(0), content(1), content(2), ad(0), ad(1), content(3), content(4), content(5)];
        assert_eq!((uris, playlist.end_list), (expected.iter().map(String::as_str).collect(), true));

        // A break that is not filled is not there.
        let (content, ads) = (Arc::clone(&timeline.content), timeline.ads.clone());
        let shape = Shape { unfilled_every: 1, ..timeline.shape };
        let timeline = Timeline::new(content, ads, shape);
        let text = media(&timeline, &timeline.window(), 0, Ads::Direct, Lowered::default());
        assert_eq!((text.matches("/content/").count(), text.contains("/tm/")), (6, false), "{text}");
        assert!(!text.contains("DISCONTINUITY\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn captions_that_ads_lack_are_filled() {
        let (folder, ads) = (Folder::asset("ts"), Folder::asset("ts"));
        let master = std::fs::read_to_string(ads.path().join("master.m3u8")).expect("it was written");
        let lines = master.lines().filter(|line| !line.contains("SUBTITLES,"));
        ads.write("master.m3u8", &lines.collect::<Vec<_>>().join("\n").replace(",SUBTITLES=\"cc\"", ""));
        let timeline = Timeline::new(packaged(&folder, "/content"), Some(packaged(&ads, "/tm")), live(8));
        let text = media(&timeline, &timeline.window(), 3, Ads::Direct, Lowered::default());
        assert!(text.contains(NO_CAPTIONS), "{text}");
    }
}
