//! Which of two overlapping requests loses, and when.

use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, sleep};

use super::{Deep, Finding, Loser, LosesAt, Stop};
use crate::doctor::answer::Answer;

/// The most pairs.
const PAIRS: usize = 6;

/// How many conflicts are enough.
const ENOUGH: usize = 3;

/// One of two requests.
pub(super) struct Side {
    pub(super) answer: Answer,
    ended: Instant,
}

// === impl Deep ===

impl Deep<'_> {
    pub(super) async fn overlap(&mut self) -> Result<(), Stop> {
        let (mut firsts, mut seconds, mut both) = (0, 0, 0);
        let (mut starts, mut ends) = (0, 0);
        let usual = self.usual();
        for _ in 0..PAIRS {
            if firsts + seconds + both >= ENOUGH {
                break;
            }
            let [first, second] = self.pair(self.one, self.other).await?;
            match [self.conflicts(&first.answer), self.conflicts(&second.answer)] {
                [true, true] => both += 1,
                [true, false] => {
                    firsts += 1;
                    let early = first.ended < second.ended && first.answer.took < usual / 2;
                    *if early { &mut starts } else { &mut ends } += 1;
                }
                [false, true] => {
                    seconds += 1;
                    let early = second.ended < first.ended;
                    *if early { &mut starts } else { &mut ends } += 1;
                }
                [false, false] => {}
            }
        }
        let loser = match (firsts, seconds, both) {
            (0, 0, 0) => Loser::None,
            (_, 0, 0) => Loser::First,
            (0, _, 0) => Loser::Second,
            _ => Loser::Either,
        };
        let at = match (starts, ends) {
            (0, 0) => None,
            (_, 0) => Some(LosesAt::Start),
            (0, _) => Some(LosesAt::End),
            _ => Some(LosesAt::Either),
        };
        (self.answers.loser, self.answers.loses_at) = (Some(loser), at);
        let who = match loser {
            Loser::None => {
                let saw = format!("{PAIRS} times two playlists that overlap: no conflict");
                self.findings.push(Finding::ok("overlap", saw));
                return Ok(());
            }
            Loser::First => "the one that was sent first",
            Loser::Second => "the one that was sent second",
            Loser::Either => "now the one, now the other, or both",
        };
        let when = match at {
            Some(LosesAt::Start) => "at once, while the other is worked on",
            Some(LosesAt::End) => "when its own work is done",
            _ => "now at once, now when its work is done",
        };
        let conflict = self.answers.conflict.as_ref().map(super::Refusal::words).unwrap_or_default();
        self.findings.push(
            Finding::warning("overlap", format!("of two that overlap loses {who}, {when}: {conflict}"))
                .remedy("let every request of a session go through onelane"),
        );
        Ok(())
    }

    /// Leaves the session alone, then sends two, the second a little later.
    pub(super) async fn pair(&self, first: &Uri, second: &Uri) -> Result<[Side; 2], Stop> {
        sleep(self.calm).await;
        self.warm().await?;
        let (visits, later) = (self.visits, self.moment());
        let side = async |url: &Uri, later: Duration| -> Result<Side, Stop> {
            sleep(later).await;
            let answer = visits.get_plain(url).await?;
            Ok(Side { answer, ended: Instant::now() })
        };
        let (first, second) = tokio::join!(side(first, Duration::ZERO), side(second, later));
        Ok([first?, second?])
    }

    /// Opens two connections where there are none, so that the second request is not late for its own.
    pub(super) async fn warm(&self) -> Result<(), Stop> {
        if self.visits.is_warm() {
            return Ok(());
        }
        let (one, other) = tokio::join!(self.visits.preflight(self.one), self.visits.preflight(self.one));
        one?;
        other?;
        self.visits.warmed();
        Ok(())
    }

    /// Short, as against how long a playlist takes.
    pub(super) fn moment(&self) -> Duration {
        (self.usual() / 10).clamp(Duration::from_millis(2), Duration::from_millis(100))
    }
}
