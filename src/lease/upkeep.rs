use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Wakes, leases::Inner};

/// How long one try to revive the engine may take.
const REVIVE_WITHIN: Duration = Duration::from_secs(1);

/// The pause between two of them: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Revives the engine whenever it is down, for ever.
pub(super) async fn keep_up(leases: Arc<Inner>) {
    let mut pause = PAUSES.0;
    loop {
        let wakes = Wakes(Arc::downgrade(&leases));
        let came = match leases.ask(REVIVE_WITHIN, |store| store.revive(wakes)).await {
            Ok(()) => leases.answers_in_time().await,
            failed => failed,
        };
        let risen = Instant::now();
        match came {
            Ok(()) => leases.up().await,
            Err(why) => leases.still_down(&why),
        }
        sleep(leases.jitter(pause)).await;
        // What fails again at once is let alone for longer.
        pause = if risen.elapsed() > PAUSES.1 * 5 { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
    }
}
