use std::time::Duration;

use super::finding::Finding;
use crate::upstream::playlist::Summary;

/// The longest wait for a live playlist to move on.
const MOVES_WITHIN: Duration = Duration::from_secs(12);

/// How long it is waited: half as long again as it takes for a segment to come, as far as there is time for that.
pub(super) fn wait(before: &Summary) -> Duration {
    (before.target_duration * 3 / 2).min(MOVES_WITHIN)
}

/// Whether a live playlist has moved on in the time that was waited.
pub(super) fn moved(before: &Summary, after: &Summary, waited: Duration) -> Finding {
    let (from, to) = (before.media_sequence, after.media_sequence);
    let (target, seconds) = (before.target_duration.as_secs(), waited.as_secs_f64());
    if to < from {
        Finding::error("clock", format!("its media sequence went back, from {from} to {to}"))
            .remedy("see whether two origins, or two sessions, answer under one address")
    } else if to > from || after.segments > before.segments {
        Finding::ok("clock", format!("media sequence {from}, then {to}; segments of {target} s"))
    } else if waited < before.target_duration {
        let saw = format!("no new segment in {seconds} s; with {target} s each, none need have come");
        Finding::note("clock", saw)
    } else {
        Finding::warning("clock", format!("no new segment in {seconds} s, of {target} s each"))
            .remedy("see whether the origin's encoder still writes, and whether a cache keeps the playlist")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::finding::Severity,
        upstream::playlist::{self, Limits},
    };

    fn playlist(target: u64, sequence: u64, segments: usize) -> Summary {
        let segments: String = (0..segments).map(|nth| format!("#EXTINF:1,\n{nth}.ts\n")).collect();
        let text =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n{segments}");
        playlist::read([text.as_bytes()], None, &Limits::default()).expect("a playlist")
    }

    #[test]
    fn only_who_had_the_time_for_a_segment_is_late() {
        for (target, after, severity, says) in [
            (1, (7, 3), Severity::Warning, "no new segment in 1.5 s, of 1 s each"),
            (8, (7, 3), Severity::Warning, "no new segment in 12 s, of 8 s each"),
            (12, (7, 3), Severity::Warning, "no new segment in 12 s, of 12 s each"),
            (13, (7, 3), Severity::Note, "no new segment in 12 s; with 13 s each"),
            (13, (8, 3), Severity::Ok, "media sequence 7, then 8"),
            (13, (7, 4), Severity::Ok, "media sequence 7, then 7"),
            (13, (6, 3), Severity::Error, "went back, from 7 to 6"),
        ] {
            let before = playlist(target, 7, 3);
            let finding = moved(&before, &playlist(target, after.0, after.1), wait(&before));
            assert_eq!(finding.severity, severity, "{finding:?}");
            assert!(finding.saw.contains(says), "{finding:?}");
        }
    }
}
