use std::time::Duration;

use crate::upstream::playlist::{Kind, Summary};

/// How a live media playlist numbers its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    first: u64,
    /// Of the segment that will come.
    next: u64,
    discontinuity: u64,
    target_duration: Duration,
}

/// What a multivariant playlist offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    variants: usize,
    renditions: usize,
}

// === impl Numbers ===

impl Numbers {
    /// `None` for what has none that prove anything: a multivariant playlist, one without a segment, and one that
    /// has ended, where other ads would stand behind the same numbers.
    pub(super) fn of(summary: &Summary) -> Option<Self> {
        let live = summary.kind == Kind::Media && !summary.ended && summary.segments > 0;
        live.then(|| Self {
            first: summary.media_sequence,
            next: summary.next_sequence(),
            discontinuity: summary.discontinuity_sequence,
            target_duration: summary.target_duration,
        })
    }

    /// Whether a playlist with these `later` numbers is one that may follow this: nothing falls back, and the target
    /// duration is the same (RFC 8216 sections 6.2.1 and 6.2.2).
    pub(super) fn is_followed_by(&self, later: &Self) -> bool {
        later.first >= self.first
            && later.next >= self.next
            && later.discontinuity >= self.discontinuity
            && later.target_duration == self.target_duration
    }

    /// Whether it follows and begins within this one's window, as it does if no time was lost in between.
    pub(super) fn is_continued_by(&self, later: &Self) -> bool {
        self.is_followed_by(later) && later.first < self.next
    }

    /// For how long an answer of before may come instead of a new one, as the store of rescues has it.
    pub(super) fn stale_for(&self) -> Duration {
        3 * self.target_duration
    }

    /// How long its segments take at the most: after that the stream has left all of them behind.
    pub(super) fn span(&self) -> Duration {
        let segments = self.next.saturating_sub(self.first).try_into().unwrap_or(u32::MAX);
        self.target_duration.saturating_mul(segments)
    }

    /// For how long the window is sure to overlap with what follows: a live playlist holds at least three target
    /// durations (RFC 8216 section 6.2.2).
    pub(super) fn overlap(&self) -> Duration {
        2 * self.target_duration
    }
}

// === impl Offer ===

impl Offer {
    /// `None` for a media playlist.
    pub(super) fn of(summary: &Summary) -> Option<Self> {
        let Summary { kind, variants, renditions, .. } = *summary;
        (kind == Kind::Multivariant).then_some(Self { variants, renditions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::playlist::{Limits, read};

    fn summary(first: u64, count: u64, discontinuity: u64, target: u64, end: &str) -> Summary {
        let segments: String = (0..count).map(|n| format!("#EXTINF:{target},\n{n}.ts\n")).collect();
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity}\n{segments}{end}"
        );
        read([text.as_bytes()], None, &Limits::default()).expect("a playlist")
    }

    fn numbers(first: u64, count: u64, discontinuity: u64, target: u64) -> Numbers {
        Numbers::of(&summary(first, count, discontinuity, target, "")).expect("it is live")
    }

    #[test]
    fn only_what_goes_on_within_the_window_continues() {
        let old = numbers(100, 6, 3, 2);
        for (new, continues, follows) in [
            (numbers(100, 6, 3, 2), true, true),
            (numbers(105, 6, 4, 2), true, true),
            (numbers(103, 3, 3, 2), true, true),
            // No segment of the old one is left: some may be missing.
            (numbers(106, 6, 3, 2), false, true),
            (numbers(9_000, 6, 3, 2), false, true),
            (numbers(99, 7, 3, 2), false, false),
            (numbers(0, 6, 0, 2), false, false),
            // Segments that were there are gone again.
            (numbers(101, 4, 3, 2), false, false),
            (numbers(101, 6, 2, 2), false, false),
            (numbers(101, 6, 3, 3), false, false),
        ] {
            assert_eq!(
                (old.is_continued_by(&new), old.is_followed_by(&new)),
                (continues, follows),
                "{new:?}"
            );
        }
        assert_eq!(old.overlap(), Duration::from_secs(4));
    }

    #[test]
    fn what_has_ended_proves_nothing() {
        assert_eq!(Numbers::of(&summary(0, 3, 0, 2, "#EXT-X-ENDLIST\n")), None);
        assert_eq!(Offer::of(&summary(0, 3, 0, 2, "")), None);
        let multivariant = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0.m3u8\n".as_slice();
        let multivariant = read([multivariant], None, &Limits::default()).expect("a playlist");
        assert_eq!(Numbers::of(&multivariant), None);
        assert_eq!(Offer::of(&multivariant), Some(Offer { variants: 1, renditions: 0 }));
    }
}
