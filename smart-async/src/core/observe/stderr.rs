//! The library's lines on stderr. A thread writes them, so that a full disk, or a host that never reads stderr, holds up no call.
//!
//! A caller hands a line to the thread and waits until it is written, 20 ms at most. From then on callers do not wait, until the
//! thread has got rid of all lines. Lines beyond 256 KiB, and those that cannot be written, are lost; the next one that can be
//! written is preceded by their number.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, LazyLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::core::sync::{Mutex, MutexGuard};

/// For how long a caller waits for its line.
const PATIENCE: Duration = Duration::from_millis(20);

/// How many bytes wait for the thread at most, save for one line that is longer.
const WAITING_BYTES: usize = 256 * 1024;

static LINES: LazyLock<Lines> = LazyLock::new(Lines::default);

/// Writes lines to stderr. A write takes a whole line, and never fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct StderrLines;

impl Write for StderrLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.hand_in(line, || {
            let writer = thread::Builder::new().name("smart-async-stderr".to_owned());
            writer.spawn(|| LINES.write_all_to(io::stderr())).is_ok()
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines on their way to one writer.
#[derive(Debug, Default)]
struct Lines {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// How many lines were handed in, without those that were lost at once.
    handed_in: u64,
    /// How many of these the thread has taken care of.
    done: u64,
    /// How many lines were lost since the last report of that.
    lost: u64,
    has_thread: bool,
    /// Whether a line was not written in time. Callers wait for none until all are.
    is_stuck: bool,
}

impl Lines {
    /// Hands a line in. `start` starts the thread that calls [`write_all_to`](Self::write_all_to), and returns whether it could.
    fn hand_in(&self, line: &[u8], start: impl FnOnce() -> bool) {
        let mut queue = self.queue.lock();
        if !queue.has_thread {
            queue.has_thread = start();
        }
        let is_full = queue.waiting_bytes > 0 && queue.waiting_bytes + line.len() > WAITING_BYTES;
        if is_full || !queue.has_thread {
            queue.lost += 1;
            return;
        }
        queue.waiting.push_back(line.to_vec());
        queue.waiting_bytes += line.len();
        queue.handed_in += 1;
        let own = queue.handed_in;
        self.changed.notify_all();
        if !queue.is_stuck {
            let is_open = |queue: &mut Queue| queue.done < own && !queue.is_stuck;
            let waited = self.changed.wait_timeout_while(queue, PATIENCE, is_open);
            let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if queue.done < own {
                queue.is_stuck = true;
                // The others that wait need not find that out by themselves.
                self.changed.notify_all();
            }
        }
    }

    /// Writes the lines that are handed in. Never returns.
    fn write_all_to(&self, mut writer: impl Write) {
        let mut queue = self.queue.lock();
        loop {
            let Some(line) = queue.waiting.pop_front() else {
                queue.is_stuck = false;
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.waiting_bytes -= line.len();
            let lost = std::mem::take(&mut queue.lost);
            drop(queue);
            let lost = lost_after(&mut writer, lost, &line);
            queue = self.finish(lost);
        }
    }

    fn finish(&self, lost: u64) -> MutexGuard<'_, Queue> {
        let mut queue = self.queue.lock();
        queue.lost += lost;
        queue.done += 1;
        self.changed.notify_all();
        queue
    }
}

/// Writes a line, and before it how many were lost. Returns how many are lost and not reported then.
fn lost_after(writer: &mut impl Write, lost: u64, line: &[u8]) -> u64 {
    if lost > 0 {
        let report = format!(
            "smart-async: {lost} lines of this log were lost, since stderr could not be written\n"
        );
        if writer.write_all(report.as_bytes()).is_err() {
            return lost + 1;
        }
    }
    u64::from(writer.write_all(line).is_err())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A writer that waits for a permit before each write, and then fails or not as the permit says.
    struct Gated(mpsc::Receiver<bool>, mpsc::Sender<String>);

    impl Write for Gated {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // After the last permit everything is written.
            if !self.0.recv().unwrap_or(true) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let _ = self.1.send(String::from_utf8(text.to_vec()).unwrap());
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Started {
        lines: &'static Lines,
        permits: mpsc::Sender<bool>,
        written: mpsc::Receiver<String>,
    }

    fn start() -> Started {
        let lines: &'static Lines = Box::leak(Box::default());
        let ((permits, permit), (write, written)) = (mpsc::channel(), mpsc::channel());
        lines.queue.lock().has_thread = true;
        thread::spawn(move || lines.write_all_to(Gated(permit, write)));
        Started { lines, permits, written }
    }

    impl Started {
        fn say(&self, line: &str) {
            self.lines.hand_in(line.as_bytes(), || false);
        }
    }

    #[test]
    fn a_line_that_is_handed_in_is_written_by_then() {
        let Started { lines, permits, written } = start();
        drop(permits);
        for number in 0..100 {
            lines.hand_in(format!("{number}\n").as_bytes(), || false);
            if !lines.queue.lock().is_stuck {
                assert_eq!(written.try_recv().unwrap(), format!("{number}\n"));
            } else {
                assert_eq!(written.recv().unwrap(), format!("{number}\n"));
            }
        }
    }

    #[test]
    fn a_writer_that_is_stuck_holds_no_caller_up_and_the_lost_lines_are_counted() {
        let started = start();
        let line = "x".repeat(1023) + "\n";
        // One is being written, 256 wait, and the others are lost.
        for _ in 0..300 {
            started.say(&line);
        }
        assert!(started.lines.queue.lock().is_stuck);
        let Started { lines, permits, written } = started;
        drop(permits);
        assert_eq!(written.recv().unwrap(), line);
        // The lines before those that are lost, and after the first one.
        let report = written.recv().unwrap();
        let lost = report.strip_prefix("smart-async: ").unwrap().split(' ').next().unwrap();
        let lost: usize = lost.parse().unwrap();
        assert!((43..=44).contains(&lost), "{report}");
        for _ in 0..299 - lost {
            assert_eq!(written.recv().unwrap(), line);
        }
        // It is found to be well again, and callers wait for it again.
        while lines.queue.lock().is_stuck {
            thread::yield_now();
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_reported_later() {
        let started = start();
        for _ in 0..3 {
            started.permits.send(false).unwrap();
            started.say("on a full disk\n");
        }
        // The report of two comes first, and fails as well; the third line is lost with it.
        drop(started.permits);
        started.lines.hand_in(b"there is room again\n", || false);
        let report = started.written.recv().unwrap();
        assert!(report.starts_with("smart-async: 3 lines"), "{report}");
        assert_eq!(started.written.recv().unwrap(), "there is room again\n");
    }
}
