use std::time::Duration;

use tokio::time::Instant;

use super::good::Numbers;

/// Answers in a row whose media sequence is lower than what was given before.
///
/// They are of a node of the upstream that is behind, or the encoder has begun its numbering anew. The former
/// is met now and then, stands still, or soon catches up; the latter is all that comes from then on, and moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind {
    since: Instant,
    first: Window,
    last: Window,
}

/// The media sequence of a playlist, and the number of its last segment.
type Window = (u64, u64);

/// How long answers that have nothing in common with what was given before go on, in target durations.
const APART: u32 = 1;

/// How long those do that end within it: a node that is behind by less is as far within that time. Players
/// take a playlist that does not change for this long.
const OVERLAPPING: u32 = 3;

// === impl Behind ===

impl Behind {
    /// The next one, after those that came before.
    pub(super) fn after(before: Option<Self>, numbers: &Numbers, now: Instant) -> Self {
        let first = numbers.media_sequence.unwrap_or_default();
        let window = (first, numbers.last_sequence.unwrap_or(first));
        match before {
            Some(before) if window >= before.last => Self { last: window, ..before },
            _ => Self { since: now, first: window, last: window },
        }
    }

    /// Since when the numbering is another, if that is what they say; `given` is the highest media sequence before.
    pub(super) fn begun_anew(&self, given: u64, target_duration: Duration, now: Instant) -> Option<Instant> {
        let (_, last) = self.last;
        let enough = if last < given { APART } else { OVERLAPPING } * target_duration;
        let moves = self.last > self.first;
        (moves && now.saturating_duration_since(self.since) >= enough).then_some(self.since)
    }
}
