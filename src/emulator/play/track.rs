use std::{path::Path, time::Duration};

use m3u8_rs::{ByteRange, Key, KeyMethod, MediaPlaylist};

use super::{
    origin::{Files, Unplayable},
    reel::{Map, NO_CAPTIONS, Part, Piece, Range, target_of},
};

/// A rendition's segments, as packaged.
#[derive(Debug)]
pub(in crate::emulator) struct Footage(Vec<Segment>);

#[derive(Debug)]
struct Segment {
    start: Duration,
    duration: Duration,
    uri: String,
    range: Option<Range>,
    map: Option<Map>,
    key: Option<String>,
    discontinuity: bool,
}

/// A rendition's segments, dealt to the slots of the grid that all renditions share.
#[derive(Debug)]
pub(in crate::emulator) struct Track {
    footage: Footage,
    slots: Vec<Vec<Cut>>,
    target: u64,
}

/// A segment in a slot, or captions that are missing there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    segment: Option<usize>,
    duration: Duration,
}

// === impl Footage ===

impl Footage {
    pub(in crate::emulator) fn of(
        list: &MediaPlaylist,
        path: &Path,
        files: &mut Files,
    ) -> Result<Self, Unplayable> {
        let mut segments: Vec<Segment> = Vec::with_capacity(list.segments.len());
        let (mut start, mut map, mut key) = (Duration::ZERO, None, None);
        // Where the next range without an offset begins, and in which file.
        let mut after = (String::new(), 0);
        for (place, segment) in list.segments.iter().enumerate() {
            if !segment.duration.is_finite() || !(0.0..=3600.0).contains(&segment.duration) {
                let why = format!("segment {place} has no sane duration; package anew");
                return Err(Unplayable::at(path, why));
            }
            let duration = Duration::from_micros((f64::from(segment.duration) * 1e6).round() as u64);
            if let Some(found) = &segment.map {
                let range = found.byte_range.as_ref().map(|range| at(range, 0));
                map = Some(Map { uri: files.publish(path, &found.uri)?, range });
            }
            if let Some(found) = &segment.key {
                key = Some(found);
            }
            let uri = files.publish(path, &segment.uri)?;
            let range =
                segment.byte_range.as_ref().map(|range| at(range, if after.0 == uri { after.1 } else { 0 }));
            if let Some(range) = range {
                after = (uri.clone(), range.offset + range.length);
            }
            let key = key
                .filter(|key| key.method != KeyMethod::None)
                .map(|key| key_of(key, list.media_sequence + place as u64, path, files))
                .transpose()?;
            let discontinuity = segment.discontinuity && place > 0;
            segments.push(Segment { start, duration, uri, range, map: map.clone(), key, discontinuity });
            start += duration;
        }
        if start < Duration::from_millis(100) {
            return Err(Unplayable::at(path, "it has no segments; package with -hls_list_size 0".to_owned()));
        }
        Ok(Self(segments))
    }

    pub(in crate::emulator) fn length(&self) -> Duration {
        self.0.iter().map(|segment| segment.duration).sum()
    }
}

/// The reference's segments as slots, and before which of them the encoding breaks.
pub(in crate::emulator) fn grid_of(Footage(segments): &Footage) -> (Vec<Duration>, Vec<bool>) {
    segments.iter().map(|segment| (segment.duration, segment.discontinuity)).unzip()
}

fn at(range: &ByteRange, default: u64) -> Range {
    Range { length: range.length, offset: range.offset.unwrap_or(default) }
}

/// The attributes of a key, with the initialisation vector spelt out: by default it is the media sequence
/// number, and that changes when content loops.
fn key_of(key: &Key, sequence: u64, path: &Path, files: &mut Files) -> Result<String, Unplayable> {
    let mut key = key.clone();
    if let Some(uri) = key.uri.as_mut().filter(|uri| !uri.contains(':')) {
        *uri = files.publish(path, uri)?;
    }
    key.iv.get_or_insert_with(|| format!("0x{sequence:032X}"));
    let mut text = Vec::new();
    key.write_attributes_to(&mut text).map_err(|error| Unplayable::at(path, error.to_string()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

// === impl Track ===

impl Track {
    /// Deals each segment to the slot that it begins in, give or take what encoders round.
    pub(in crate::emulator) fn new(footage: Footage, part: Part, grid: &[Duration]) -> Self {
        let mut slots = Vec::with_capacity(grid.len());
        let (mut next, mut start) = (0, Duration::ZERO);
        for &length in grid {
            let end = start + length;
            // By a point inside the segment, not by its start: audio begins a frame early as often as late. The tail
            // that only one rendition has lies behind the last slot and is dropped.
            let inside =
                |segment: &&Segment| segment.start + (segment.duration / 2).min(length * 2 / 5) < end;
            let mut cuts = Vec::new();
            while let Some(segment) = footage.0.get(next).filter(inside) {
                cuts.push(Cut { segment: Some(next), duration: segment.duration });
                next += 1;
            }
            if part == Part::Subtitles {
                caption(&mut cuts, &footage, next, (start, end));
            }
            slots.push(cuts);
            start = end;
        }
        let longest = slots.iter().flatten().map(|cut| cut.duration).max().unwrap_or_default();
        Self { footage, slots, target: target_of(longest) }
    }

    pub(in crate::emulator) fn count(&self, slot: usize) -> u64 {
        self.slots[slot].len() as u64
    }

    pub(in crate::emulator) fn target(&self) -> u64 {
        self.target
    }

    pub(in crate::emulator) fn pieces(&self, slot: usize) -> Vec<Piece<'_>> {
        self.slots[slot].iter().map(|cut| self.piece(cut)).collect()
    }

    fn piece(&self, cut: &Cut) -> Piece<'_> {
        let Some(segment) = cut.segment.map(|segment| &self.footage.0[segment]) else {
            return Piece {
                uri: NO_CAPTIONS.into(),
                duration: cut.duration,
                range: None,
                map: None,
                key: None,
            };
        };
        Piece {
            uri: segment.uri.as_str().into(),
            duration: cut.duration,
            range: segment.range,
            map: segment.map.as_ref(),
            key: segment.key.as_deref(),
        }
    }
}

/// Captions are often one long file, or end with the last line spoken: a slot in which none begins shows the
/// file that goes on there, else an empty one. Never longer than the slot, so that the target stays its own.
fn caption(cuts: &mut Vec<Cut>, footage: &Footage, next: usize, (start, end): (Duration, Duration)) {
    if cuts.is_empty() {
        let going_on = next.checked_sub(1).filter(|&before| {
            let segment = &footage.0[before];
            segment.start + segment.duration > start + (end - start) / 10
        });
        cuts.push(Cut { segment: going_on, duration: end - start });
    }
    let before_last: Duration = cuts[..cuts.len() - 1].iter().map(|cut| cut.duration).sum();
    if let Some(last) = cuts.last_mut() {
        last.duration = (end - start).saturating_sub(before_last).max(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footage(millis: &[u64]) -> Footage {
        let mut start = Duration::ZERO;
        let segments = millis.iter().map(|&millis| {
            let duration = Duration::from_millis(millis);
            start += duration;
            let uri = String::new();
            Segment {
                start: start - duration,
                duration,
                uri,
                range: None,
                map: None,
                key: None,
                discontinuity: false,
            }
        });
        Footage(segments.collect())
    }

    fn dealt(millis: &[u64], part: Part, grid: &[u64]) -> Vec<Vec<Option<usize>>> {
        let grid: Vec<_> = grid.iter().copied().map(Duration::from_millis).collect();
        let track = Track::new(footage(millis), part, &grid);
        track.slots.iter().map(|cuts| cuts.iter().map(|cut| cut.segment).collect()).collect()
    }

    #[test]
    fn aligned_segments_are_one_a_slot_though_they_round() {
        let one_each = vec![vec![Some(0)], vec![Some(1)], vec![Some(2)]];
        assert_eq!(dealt(&[2000, 2000, 2000], Part::Variant, &[2000, 2000, 2000]), one_each);
        assert_eq!(dealt(&[2005, 1984, 2011], Part::Audio, &[2000, 2000, 2000]), one_each);
    }

    #[test]
    fn a_count_that_differs_by_one_is_borne() {
        // A sliver after the end is dropped; a slot without a segment stays empty.
        assert_eq!(dealt(&[2000, 2000, 50], Part::Audio, &[2000, 2000]), [vec![Some(0)], vec![Some(1)]]);
        assert_eq!(
            dealt(&[2000, 2000], Part::Audio, &[2000, 2000, 40]),
            [vec![Some(0)], vec![Some(1)], vec![]]
        );
    }

    #[test]
    fn shorter_segments_share_a_slot() {
        let slots = [vec![Some(0), Some(1), Some(2)], vec![Some(3)]];
        assert_eq!(dealt(&[2000, 2000, 2000, 1000], Part::Audio, &[6000, 1000]), slots);
    }

    #[test]
    fn captions_fill_every_slot_and_never_outlast_it() {
        assert_eq!(
            dealt(&[6000], Part::Subtitles, &[2000, 2000, 2000]),
            [vec![Some(0)], vec![Some(0)], vec![Some(0)]]
        );
        assert_eq!(dealt(&[2000], Part::Subtitles, &[2000, 2000]), [vec![Some(0)], vec![None]]);
        let grid = [Duration::from_secs(2), Duration::from_secs(2)];
        assert_eq!(Track::new(footage(&[60_000]), Part::Subtitles, &grid).target(), 2);
    }
}
