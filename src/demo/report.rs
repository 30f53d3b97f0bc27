use std::fmt;

use serde::Serialize;

use super::{args::Args, side::Side};
use crate::emulator::Conflict;

/// Both sides, and what they mean.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    sessions: u32,
    seconds: u32,
    latency: String,
    conflict: &'static str,
    seed: u64,
    direct: Side,
    onelane: Side,
    passed: bool,
    meaning: String,
}

/// A line of the table: its name, and what it says of a side.
type Row = (&'static str, fn(&Side) -> String);

// === impl Report ===

impl Report {
    pub(super) fn new(args: &Args, seed: u64, direct: Side, onelane: Side) -> Self {
        Self {
            sessions: args.sessions,
            seconds: args.seconds,
            latency: args.latency.to_string(),
            conflict: if args.conflict == Conflict::Optimistic { "optimistic" } else { "reject" },
            seed,
            passed: direct.conflicts > 0 && onelane.ok > 0 && !onelane.conflicted(),
            meaning: meaning(&direct, &onelane),
            direct,
            onelane,
        }
    }

    /// Whether the problem was shown, and the cure.
    pub(super) fn passed(&self) -> bool {
        self.passed
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, seconds, latency, conflict, seed, direct, onelane, meaning, .. } = self;
        writeln!(f, "{sessions} sessions, {seconds} s each side, playlists in {latency}")?;
        writeln!(f, "conflict model {conflict}, seed {seed}\n")?;
        writeln!(f, "{:<30}{:>14}{:>18}", "", "direct", "through onelane")?;
        let rows: [Row; 8] = [
            ("requests", |side| grouped(side.requests)),
            ("200", |side| grouped(side.ok)),
            ("409 ConflictException", |side| grouped(side.conflicts)),
            ("other failures", |side| grouped(side.other_failures)),
            ("abandoned by players", |side| grouped(side.abandoned)),
            ("most in flight per session", |side| grouped(side.max_in_flight.into())),
            ("p50 of the 200s", |side| format!("{:.1} ms", side.p50_ms)),
            ("p99 of the 200s", |side| format!("{:.1} ms", side.p99_ms)),
        ];
        for (name, cell) in rows {
            writeln!(f, "{name:<30}{:>14}{:>18}", cell(direct), cell(onelane))?;
        }
        writeln!(f)?;
        write!(f, "{}", wrapped(meaning, WIDTH))
    }
}

/// The columns that the text below the table keeps to.
const WIDTH: usize = 78;

/// In one or two sentences, for somebody who sees it for the first time.
fn meaning(direct: &Side, onelane: &Side) -> String {
    let mut text = if direct.conflicts == 0 {
        "Nothing was shown: players met no conflict even without onelane. Try more sessions, more seconds or a \
         longer latency."
            .to_owned()
    } else if onelane.conflicted() {
        format!(
            "A conflict came through onelane, which must not happen: {} of its players' requests got 409, and a \
             session had up to {} playlists in flight. Please report it with the seed above.",
            grouped(onelane.conflicts),
            onelane.max_in_flight
        )
    } else if onelane.ok == 0 {
        "Nothing was shown: no player got a playlist through onelane.".to_owned()
    } else {
        let answered = direct.ok + direct.conflicts + direct.other_failures;
        format!(
            "Straight at MediaTailor, {:.0} % of the answers were 409 ConflictException, because players load \
             several playlists of a session at once. Through onelane there was none: each session has one lane, and \
             a request waits there for those before it ({:.0} ms more at the median, {:.0} ms at p99).",
            100.0 * direct.conflicts as f64 / answered as f64,
            (onelane.p50_ms - direct.p50_ms).max(0.0),
            (onelane.p99_ms - direct.p99_ms).max(0.0),
        )
    };
    if direct.out_of_files || onelane.out_of_files {
        text.push_str(
            " Players ran out of files for their connections: raise `ulimit -n` or lower --sessions.",
        );
    } else if onelane.other_failures > 0 {
        text.push_str(
            " The other failures through onelane are requests that took longer than players wait: this machine is \
             too slow for so many --sessions, or --latency too long.",
        );
    }
    text
}

/// A number in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text in lines of at most so many columns.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.len() > width {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += word.len();
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn report(direct: Side, onelane: Side) -> Report {
        Report::new(&Line::parse_from(["demo"]).args, 7, direct, onelane)
    }

    fn side(ok: u64, conflicts: u64, max_in_flight: u32) -> Side {
        Side {
            requests: ok + conflicts,
            ok,
            conflicts,
            conflicts_upstream: conflicts,
            max_in_flight,
            ..Side::default()
        }
    }

    #[test]
    fn passes_only_when_the_problem_and_the_cure_were_seen() {
        for (direct, onelane, passed, says) in [
            (side(10, 30, 3), side(40, 0, 1), true, "75 %"),
            (side(10, 30, 3), side(39, 1, 2), false, "came through"),
            (side(10, 30, 3), side(40, 0, 2), false, "came through"),
            (side(40, 0, 1), side(40, 0, 1), false, "Nothing was shown"),
            (side(10, 30, 3), side(0, 0, 0), false, "Nothing was shown"),
        ] {
            let report = report(direct, onelane);
            assert_eq!(report.passed(), passed, "{report}");
            assert!(report.meaning.contains(says), "{report}");
        }
    }

    #[test]
    fn fits_a_terminal() {
        let report = report(side(1_234_567, 89_000, 4), side(1_300_000, 0, 1)).to_string();
        assert!(report.lines().all(|line| line.len() < 80), "{report}");
        assert!(report.contains("1,234,567"), "{report}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
    }
}
