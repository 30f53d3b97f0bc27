//! How long a session stays busy after its answer.

use std::time::Duration;

use tokio::time::sleep;

use super::{Busy, Deep, Finding, Stop};

/// The gaps between an answer and the next request that are tried, in milliseconds.
const GAPS: [u64; 10] = [0, 5, 10, 20, 40, 80, 160, 320, 640, 1280];

/// How many times each gap is tried that did not conflict.
const PASSES: usize = 2;

/// How many times the range between two gaps is halved.
const HALVINGS: usize = 3;

// === impl Deep ===

impl Deep<'_> {
    /// Step by step, then by halves.
    pub(super) async fn busy_after(&mut self) -> Result<(), Stop> {
        let mut longest = None;
        for _ in 0..PASSES {
            self.rest().await?;
            for (nth, gap) in GAPS.into_iter().enumerate() {
                if longest.is_some_and(|longest| nth <= longest) {
                    continue;
                }
                if self.conflicts_after(gap).await? {
                    longest = Some(nth);
                    self.rest().await?;
                }
            }
        }
        let mut busy = Busy {
            more_than_ms: longest.map(|nth| GAPS[nth]),
            at_most_ms: GAPS.get(longest.map_or(0, |nth| nth + 1)).copied(),
        };
        if let Busy { more_than_ms: Some(low), at_most_ms: Some(high) } = &mut busy {
            for _ in 0..HALVINGS {
                let middle = (*low + *high) / 2;
                if middle == *low {
                    break;
                }
                self.rest().await?;
                match self.conflicts_after(middle).await? || self.conflicts_after(middle).await? {
                    true => *low = middle,
                    false => *high = middle,
                }
            }
        }
        self.answers.busy_after = Some(busy);
        let longest = busy.at_most_ms.unwrap_or(GAPS[GAPS.len() - 1] * 2);
        self.calm = Duration::from_millis(longest * 3 / 2) + self.usual() * 2;
        self.findings.push(match busy {
            Busy { more_than_ms: None, .. } => {
                Finding::ok("busy", "after its answer a session is free at once: no gap conflicted")
            }
            Busy { more_than_ms: Some(low), at_most_ms: Some(high) } => Finding::note(
                "busy",
                format!(
                    "a session stays busy after its answer, for more than {low} ms and {high} ms at most"
                ),
            ),
            Busy { more_than_ms: Some(low), .. } => Finding::warning(
                "busy",
                format!("a session stays busy for more than {low} ms after its answer"),
            )
            .remedy("see that nobody else plays this session; else ask AWS Support why that is"),
        });
        Ok(())
    }

    async fn conflicts_after(&mut self, gap: u64) -> Result<bool, Stop> {
        sleep(Duration::from_millis(gap)).await;
        Ok(!self.load(self.one).await?)
    }
}
