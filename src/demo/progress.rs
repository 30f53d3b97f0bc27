use std::{
    io::{IsTerminal as _, Write as _, stderr},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::tally::Tally;

/// How often the line is written anew on a terminal.
const OFTEN: Duration = Duration::from_millis(250);

/// How often another is written elsewhere.
const SELDOM: Duration = Duration::from_secs(5);

/// The progress of one side, on standard error.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    name: &'a str,
    tally: &'a Tally,
    started: Instant,
    lasts: Duration,
    on_terminal: bool,
}

// === impl Progress ===

impl<'a> Progress<'a> {
    pub(super) fn new(name: &'a str, tally: &'a Tally, lasts: Duration) -> Self {
        Self { name, tally, started: Instant::now(), lasts, on_terminal: stderr().is_terminal() }
    }

    /// Tells of it until it is dropped.
    pub(super) async fn tell(&self) {
        let every = if self.on_terminal { OFTEN } else { SELDOM };
        let mut at = self.started;
        loop {
            self.line();
            at += every;
            sleep_until(at).await;
        }
    }

    fn line(&self) {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        let line = format!(
            "{:<15} {:>3} of {} s: {} requests, {} of them 200, {} of them 409",
            self.name,
            self.started.elapsed().min(self.lasts).as_secs(),
            self.lasts.as_secs(),
            read(&self.tally.requests),
            read(&self.tally.ok),
            read(&self.tally.conflicts),
        );
        // Nobody needs it: where it cannot be written, it is not.
        let _unread = match self.on_terminal {
            true => write!(stderr(), "\r\x1b[K{line}"),
            false => writeln!(stderr(), "{line}"),
        };
    }
}

impl Drop for Progress<'_> {
    /// The last word, and the line is left to others.
    fn drop(&mut self) {
        self.line();
        if self.on_terminal {
            let _unread = writeln!(stderr());
        }
    }
}
