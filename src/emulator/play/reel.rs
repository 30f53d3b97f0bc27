//! What there is to play, cut into slots: the same stretch of time in every rendition.

use std::{borrow::Cow, time::Duration};

use super::{origin::Packaged, synthetic::Synthetic};

/// One stream in all its renditions.
#[derive(Debug)]
pub(in crate::emulator) enum Reel {
    Packaged(Packaged),
    Synthetic(Synthetic),
}

/// What a rendition is to a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Part {
    Variant,
    Audio,
    Subtitles,
}

/// One media segment of one rendition, as a playlist names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator) struct Piece<'a> {
    pub(in crate::emulator) uri: Cow<'a, str>,
    pub(in crate::emulator) duration: Duration,
    pub(in crate::emulator) range: Option<Range>,
    pub(in crate::emulator) map: Option<&'a Map>,
    /// Attributes of `EXT-X-KEY`, if the segment is encrypted.
    pub(in crate::emulator) key: Option<&'a str>,
}

/// A stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) struct Range {
    pub(in crate::emulator) length: u64,
    pub(in crate::emulator) offset: u64,
}

/// What fMP4 segments need before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator) struct Map {
    pub(in crate::emulator) uri: String,
    pub(in crate::emulator) range: Option<Range>,
}

/// A multivariant playlist whose links are filled in for each session.
#[derive(Debug)]
pub(in crate::emulator) struct Template(Vec<Step>);

#[derive(Debug)]
enum Step {
    Text(String),
    Link(u32),
}

/// Stands around a rendition's number in the text that a [`Template`] is made of.
pub(in crate::emulator) const MARK: char = '\0';

/// Captions for where an ad or the content has none. MediaTailor has such a path as well.
pub(in crate::emulator) const NO_CAPTIONS: &str = "/v1/webvtt/emulator/empty.vtt";

// === impl Reel ===

impl Reel {
    /// What each rendition is, by its number.
    pub(in crate::emulator) fn parts(&self) -> &[Part] {
        match self {
            Self::Packaged(reel) => reel.parts(),
            Self::Synthetic(reel) => reel.parts(),
        }
    }

    /// Slots until it begins anew, or `None` if it never does.
    pub(in crate::emulator) fn slots(&self) -> Option<u64> {
        match self {
            Self::Packaged(reel) => Some(reel.slots()),
            Self::Synthetic(reel) => reel.slots(),
        }
    }

    /// How long a slot lasts, by the clock that all renditions share.
    pub(in crate::emulator) fn duration(&self, slot: u64) -> Duration {
        match self {
            Self::Packaged(reel) => reel.duration(slot),
            Self::Synthetic(reel) => reel.duration(),
        }
    }

    /// Whether timestamps or encoding break before a slot.
    pub(in crate::emulator) fn breaks_before(&self, slot: u64) -> bool {
        match self {
            Self::Packaged(reel) => reel.breaks_before(slot),
            Self::Synthetic(_) => false,
        }
    }

    /// How many segments a rendition has in a slot.
    pub(in crate::emulator) fn count(&self, rendition: usize, slot: u64) -> u64 {
        match self {
            Self::Packaged(reel) => reel.count(rendition, slot),
            Self::Synthetic(_) => 1,
        }
    }

    /// A rendition's segments in a slot.
    pub(in crate::emulator) fn pieces(&self, rendition: usize, slot: u64) -> Vec<Piece<'_>> {
        match self {
            Self::Packaged(reel) => reel.pieces(rendition, slot),
            Self::Synthetic(reel) => vec![reel.piece(rendition, slot)],
        }
    }

    /// The target duration of a rendition, in seconds.
    pub(in crate::emulator) fn target(&self, rendition: usize) -> u64 {
        match self {
            Self::Packaged(reel) => reel.target(rendition),
            Self::Synthetic(reel) => target_of(reel.duration()),
        }
    }

    pub(in crate::emulator) fn template(&self) -> &Template {
        match self {
            Self::Packaged(reel) => reel.template(),
            Self::Synthetic(reel) => reel.template(),
        }
    }

    /// The rendition that stands for one of `other`'s: of the same part, in the same place or the last of them.
    pub(in crate::emulator) fn counterpart(&self, other: &Self, rendition: usize) -> Option<usize> {
        let part = *other.parts().get(rendition)?;
        let place = other.parts()[..rendition].iter().filter(|&&before| before == part).count();
        let same =
            || self.parts().iter().enumerate().filter(|(_, own)| **own == part).map(|(number, _)| number);
        same().nth(place).or_else(|| same().next_back())
    }
}

/// A whole number of seconds that no segment of this length exceeds once rounded (RFC 8216, 4.3.3.1).
pub(in crate::emulator) fn target_of(longest: Duration) -> u64 {
    (longest.as_secs_f64().round() as u64).max(1)
}

// === impl Template ===

impl Template {
    /// Cuts a text at its [`MARK`]s.
    pub(in crate::emulator) fn new(text: &str) -> Self {
        let step = |(place, text): (usize, &str)| match text.parse() {
            Ok(number) if place % 2 == 1 => Step::Link(number),
            _ => Step::Text(text.to_owned()),
        };
        Self(text.split(MARK).enumerate().map(step).collect())
    }

    /// The playlist, with every link between `before` and `after`.
    pub(in crate::emulator) fn fill(&self, before: &str, after: &str) -> String {
        let mut out = String::with_capacity(self.0.len() * (before.len() + after.len() + 100));
        for step in &self.0 {
            match step {
                Step::Text(text) => out.push_str(text),
                Step::Link(number) => {
                    out.push_str(before);
                    out.push_str(&number.to_string());
                    out.push_str(".m3u8");
                    out.push_str(after);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fills_its_links() {
        let template = Template::new(&format!("#A:URI=\"{MARK}2{MARK}\"\n#B\n{MARK}0{MARK}\n"));
        assert_eq!(template.fill("../x/", "?t=1"), "#A:URI=\"../x/2.m3u8?t=1\"\n#B\n../x/0.m3u8?t=1\n");
    }

    #[test]
    fn targets_are_whole_and_never_nought() {
        let target = |millis| target_of(Duration::from_millis(millis));
        assert_eq!((target(2005), target(2500), target(100)), (2, 3, 1));
    }
}
