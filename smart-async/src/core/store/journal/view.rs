//! The view thread: the one thread of a process that keeps `jobs.json` and the files of the states up with the journal, in its
//! own time. The writer thread never waits for it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::folder::Paths;
use super::replica::Snapshot;
use super::writer::Writer;
use super::{states, view_format};
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::store::table::States;

/// The view shows a change of state after this, or after twenty times what a rewrite takes where that is longer.
const STATE: Duration = Duration::from_secs(1);
/// The same for mere progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// After a rewrite the thread rests this many times as long as that took, so that it takes a twentieth of the time.
const REST: u32 = 19;
/// The pause before another attempt, where a rewrite failed or another process is rewriting the view.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the last rewrite is tried when the store is closed.
const LAST_ATTEMPTS: u32 = 20;

/// When the view thread rewrites the view without being asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Pace {
    /// In time for people who read it.
    #[default]
    ByItself,
    /// At the end alone: a test asks for the other rewrites.
    #[cfg(feature = "conformance")]
    WhenAsked,
}

/// How far the view is behind. The writer thread and the store report it, and the view thread waits for it.
#[derive(Debug, Default)]
pub(super) struct ViewSignal {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    /// Since when the view lacks a change of state.
    state: Option<Instant>,
    /// Since when the view lacks mere progress.
    progress: Option<Instant>,
    closing: bool,
    closed: bool,
}

impl Pending {
    /// When the view is to be rewritten.
    fn due(&self, cost: Duration) -> Option<Instant> {
        let within = |since: Option<Instant>, limit: Duration| {
            since.map(|since| since + limit.max(cost * REST))
        };
        [within(self.state, STATE), within(self.progress, PROGRESS)].into_iter().flatten().min()
    }
}

impl ViewSignal {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports that the journal has more than the view shows.
    pub(super) fn behind(&self, merely_progress: bool) {
        let mut pending = self.pending();
        let since = if merely_progress { &mut pending.progress } else { &mut pending.state };
        if since.is_some() {
            // The view thread knows by when it has to write. Waking it at each change would take a core from the callers.
            return;
        }
        *since = Some(Instant::now());
        drop(pending);
        self.changed.notify_all();
    }

    /// Has the view thread rewrite the view once more, where it is behind, and end.
    pub(super) fn close(&self) {
        self.pending().closing = true;
        self.changed.notify_all();
    }

    /// Blocks until the view thread has ended.
    pub(super) fn wait_until_closed(&self) {
        let pending = self.pending();
        drop(self.changed.wait_while(pending, |pending| !pending.closed));
    }
}

/// The parts of the view thread that a test may run by itself.
#[derive(Debug)]
pub(super) struct ViewWriter {
    paths: Paths,
    writer: Writer,
    /// The states whose files are known to show them.
    exported: States,
}

/// Starts the view thread. It writes the view soon.
pub(super) fn start(
    view: ViewWriter,
    signal: &Arc<ViewSignal>,
    pace: Pace,
) -> Result<(), StoreError> {
    signal.pending().state = Some(Instant::now());
    let jobs = view.paths.jobs.clone();
    let thread = ViewThread { view, signal: Arc::clone(signal), cost: Duration::ZERO, pace };
    let spawned =
        thread::Builder::new().name("smart-async-view".to_owned()).spawn(move || thread.run());
    spawned.map(drop).map_err(|error| StoreError::io("start the writer of", jobs, error))
}

struct ViewThread {
    view: ViewWriter,
    signal: Arc<ViewSignal>,
    /// How long the last rewrite took.
    cost: Duration,
    pace: Pace,
}

/// However the thread ends, a closing store waits for it no longer.
impl Drop for ViewThread {
    fn drop(&mut self) {
        self.signal.pending().closed = true;
        self.signal.changed.notify_all();
    }
}

impl ViewThread {
    fn run(mut self) {
        let mut attempts = 0;
        while self.wait() {
            let began = Instant::now();
            let written = self.view.write();
            self.cost = began.elapsed();
            match written {
                Ok(true) => attempts = 0,
                Ok(false) => self.retry(&mut attempts),
                // The writer thread is gone, and nothing can be read any more.
                Err(StoreError::Closed) => return,
                Err(error) => {
                    observe::error!(%error, "failed to rewrite jobs.json; the journal has everything");
                    self.retry(&mut attempts);
                }
            }
        }
    }

    /// Waits until the view is to be rewritten. Returns whether it ever is again.
    fn wait(&self) -> bool {
        let mut pending = self.signal.pending();
        loop {
            let due = match self.pace {
                #[cfg(feature = "conformance")]
                Pace::WhenAsked if !pending.closing => None,
                _ => pending.due(self.cost),
            };
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            match left {
                None if pending.closing => return false,
                None => {
                    pending =
                        self.signal.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
                }
                Some(left) if left.is_zero() || pending.closing => {
                    (pending.state, pending.progress) = (None, None);
                    return true;
                }
                Some(left) => {
                    let waited = self.signal.changed.wait_timeout(pending, left);
                    pending = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Has the view written another time, but not without end when the store is closed.
    fn retry(&self, attempts: &mut u32) {
        thread::sleep(PAUSE);
        let mut pending = self.signal.pending();
        *attempts += 1;
        if !pending.closing || *attempts < LAST_ATTEMPTS {
            pending.state.get_or_insert_with(Instant::now);
        }
    }
}

impl ViewWriter {
    pub(super) fn new(paths: Paths, writer: Writer) -> Self {
        // Another process that has the lock may be writing one of these files now.
        if paths.states.is_dir() && paths.try_lock_view().is_some() {
            states::remove_unfinished(&paths);
        }
        Self { paths, writer, exported: States::new() }
    }

    /// Rewrites the view; returns whether it could, as no other process was rewriting it.
    pub(super) fn write(&mut self) -> Result<bool, StoreError> {
        let Some(_locked) = self.paths.try_lock_view() else { return Ok(false) };
        // Synced: a view that survived a power loss without the lines it shows would hide those that are appended in their place.
        let Snapshot { position, contents, leftovers } = self.writer.snapshot()?;
        // Before the view, which names the states: a process that begins with the view reads them from these files.
        states::export(&self.paths, &contents.states, &mut self.exported)?;
        let text = view_format::render(position, &contents, &leftovers)
            .map_err(|error| StoreError::io("render", &self.paths.jobs, error.into()))?;
        match self.standing() {
            Standing::OursOrNothing => {}
            Standing::Later => {
                observe::error!("jobs.json was written by a later version; it is left alone");
                return Ok(true);
            }
            Standing::SomethingElse => {
                let aside = self.paths.set_aside(&self.paths.jobs)?;
                observe::error!(aside = %aside.display(), "jobs.json was no longer ours; it was set aside");
            }
        }
        self.paths.replace(&self.paths.jobs, &text)?;
        Ok(true)
    }

    /// The kind of file that is about to be replaced, by its first and last bytes.
    fn standing(&self) -> Standing {
        let read = || -> io::Result<Standing> {
            let mut file = File::open(&self.paths.jobs)?;
            let (mut first, mut last) = ([0; 20], [0; 3]);
            file.read_exact(&mut first)?;
            file.seek(SeekFrom::End(-3))?;
            file.read_exact(&mut last)?;
            let version = first.strip_prefix(b"{\"version\":").and_then(|rest| {
                let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
                std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
            });
            Ok(match version {
                Some(version) if version > view_format::VERSION => Standing::Later,
                Some(_) if last == *b"]}\n" => Standing::OursOrNothing,
                _ => Standing::SomethingElse,
            })
        };
        match read() {
            Ok(standing) => standing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Standing::OursOrNothing,
            Err(_) => Standing::SomethingElse,
        }
    }
}

/// The file in the place of the view.
enum Standing {
    OursOrNothing,
    Later,
    SomethingElse,
}
