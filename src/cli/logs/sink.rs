use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// The most that waits to be written, in bytes. Lines beyond it are lost, not waited for: whoever reads the log
/// slowly must not stop playback.
const MOST: usize = 8 * 1024 * 1024;

/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(50);

/// How long the end of the process waits for a reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where lines go: into memory, and from there to a file by a thread of its own.
#[derive(Debug, Clone)]
pub(super) struct Sink(Arc<Shared>);

/// Writes what is left when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub(crate) struct Flush(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    lost: u64,
    ending: bool,
    ended: bool,
}

// === impl Sink ===

impl Sink {
    /// Starts to write to `out`. How many lines were lost is said as `lost` puts it.
    pub(super) fn start(out: impl Write + Send + 'static, lost: fn(u64) -> String) -> (Self, Flush) {
        let shared = Arc::new(Shared::default());
        let written = Arc::clone(&shared);
        thread::spawn(move || written.write_out(out, lost));
        (Self(Arc::clone(&shared)), Flush(shared))
    }
}

impl Write for &Sink {
    /// Takes one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        if state.lines.len() + line.len() > MOST {
            state.lost += 1;
            return Ok(line.len());
        }
        let first = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if first {
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

// === impl Flush ===

impl Drop for Flush {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ending = true;
        self.0.changed.notify_all();
        let ended = self.0.changed.wait_timeout_while(state, LAST_WORDS, |state| !state.ended);
        drop(ended);
    }
}

// === impl Shared ===

impl Shared {
    fn write_out(&self, mut out: impl Write, tell: fn(u64) -> String) {
        let mut lines = Vec::new();
        loop {
            let waited =
                self.changed.wait_while(self.state(), |state| state.lines.is_empty() && !state.ending);
            let ending = waited.unwrap_or_else(PoisonError::into_inner).ending;
            if !ending {
                thread::sleep(GATHER);
            }
            let mut state = self.state();
            lines.clear();
            mem::swap(&mut lines, &mut state.lines);
            let (lost, ending) = (mem::take(&mut state.lost), state.ending);
            drop(state);
            // A log that cannot be written, its reader gone, say, is no reason to stop.
            let _unread = out.write_all(&lines).and_then(|()| out.flush());
            if lost > 0 {
                let _unread = writeln!(out, "{}", tell(lost));
            }
            if ending {
                self.state().ended = true;
                self.changed.notify_all();
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Reader(mpsc::SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.send(text.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_out_in_order_and_the_last_at_the_end() {
        let (sender, written) = mpsc::sync_channel(100);
        let (sink, flush) = Sink::start(Reader(sender), |lost| format!("{lost} lost"));
        (&sink).write_all(b"one\n").expect("memory");
        assert_eq!(written.recv().expect("a line"), b"one\n");
        (&sink).write_all(b"two\n").expect("memory");
        (&sink).write_all(b"three\n").expect("memory");
        drop(flush);
        assert_eq!(written.iter().collect::<Vec<_>>().concat(), b"two\nthree\n");
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_not_time() {
        let (sender, written) = mpsc::sync_channel(0);
        let (sink, flush) = Sink::start(Reader(sender), |lost| format!("{lost} lost"));
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..32 {
            (&sink).write_all(&line).expect("memory");
        }
        assert!(sink.0.state().lines.len() <= MOST);
        assert!(sink.0.state().lost > 0);
        let read: usize = (0..3).map(|_| written.recv().map_or(0, |text| text.len())).sum();
        assert!(read > 0);
        drop(written);
        drop(flush);
    }
}
