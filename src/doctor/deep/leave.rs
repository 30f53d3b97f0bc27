//! Whether work goes on after a disconnect.

use tokio::time::{sleep, timeout};

use super::{Deep, Finding, Stop};

/// The most trials.
const TRIALS: usize = 4;

/// How many conflicts say that it does: one may come of a disconnect that was noticed late.
const ENOUGH: usize = 2;

// === impl Deep ===

impl Deep<'_> {
    /// Sends one, disconnects at once, and sends the next while the first would still be worked on.
    pub(super) async fn leave(&mut self) -> Result<(), Stop> {
        let (mut conflicts, mut trials) = (0, 0);
        while trials < TRIALS && conflicts < ENOUGH {
            trials += 1;
            sleep(self.calm).await;
            self.warm().await?;
            let left = timeout(self.moment(), self.visits.get_plain(self.one)).await;
            self.visits.cooled();
            if left.is_ok() {
                continue;
            }
            // For the disconnect to arrive.
            sleep(self.moment() * 2).await;
            let next = self.visits.get_plain(self.other).await?;
            conflicts += usize::from(self.conflicts(&next));
        }
        let goes_on = match conflicts {
            0 => Some(false),
            1 => None,
            _ => Some(true),
        };
        self.answers.goes_on_after_disconnect = goes_on;
        self.findings.push(match goes_on {
            Some(true) => Finding::note(
                "disconnect",
                "work goes on after a disconnect: whoever frees a session when its player leaves gets conflicts",
            ),
            Some(false) => Finding::ok(
                "disconnect",
                format!("{trials} times no conflict after a disconnect: work seems to stop there"),
            ),
            None => Finding::note("disconnect", format!("not clear: one conflict after {trials} disconnects")),
        });
        Ok(())
    }
}
