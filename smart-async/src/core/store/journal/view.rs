//! The one thread of a process that keeps `jobs.json` up with the journal, in its own time: appends never wait for it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::folder::Paths;
use super::replica::Shared;
use super::view_format;
use crate::core::observe;
use crate::core::store::StoreError;

/// The view follows a change of state within this, or within twenty times its own cost where that is longer.
const STATE: Duration = Duration::from_secs(1);
/// It follows mere progress within this, or likewise.
const PROGRESS: Duration = Duration::from_secs(5);
/// After a rewrite the thread rests this many times as long as that took, so that it takes a twentieth of the time.
const REST: u32 = 19;
/// The pause before another attempt where a rewrite failed, or another process is at it.
const AGAIN: Duration = Duration::from_millis(100);
/// How often a rewrite is tried at the end.
const LAST_ATTEMPTS: u32 = 20;

/// When the view is rewritten by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Pace {
    /// In time for people.
    #[default]
    ByItself,
    /// Not before the end: a test says when.
    #[cfg(feature = "conformance")]
    WhenAsked,
}

/// The handle to the thread. Dropping it has the thread write once more what has changed, and end.
#[derive(Debug)]
pub(super) struct View(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wishes {
    /// Since when a change of state is not in the view.
    state: Option<Instant>,
    /// Since when mere progress is not in the view.
    progress: Option<Instant>,
    closing: bool,
    closed: bool,
}

impl Wishes {
    /// When the view is to be rewritten, as things are.
    fn due(&self, cost: Duration) -> Option<Instant> {
        let within = |since: Option<Instant>, limit: Duration| {
            since.map(|since| since + limit.max(cost * REST))
        };
        [within(self.state, STATE), within(self.progress, PROGRESS)].into_iter().flatten().min()
    }
}

impl Signal {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Starts the thread; the view is written soon.
    pub(super) fn start(paths: Paths, known: Shared, pace: Pace) -> Result<Self, StoreError> {
        let signal = Arc::new(Signal::default());
        signal.wishes().state = Some(Instant::now());
        let jobs = paths.jobs.clone();
        let thread =
            Thread { paths, known, signal: Arc::clone(&signal), cost: Duration::ZERO, pace };
        std::thread::Builder::new()
            .name("smart-async-view".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| StoreError::io("start the writer of", jobs, error))?;
        Ok(Self(signal))
    }

    /// Says that the journal has got on.
    pub(super) fn behind(&self, merely_progress: bool) {
        let mut wishes = self.0.wishes();
        let since = if merely_progress { &mut wishes.progress } else { &mut wishes.state };
        if since.is_some() {
            // The thread knows by when it has to write. To wake it for each change would take a core from those who make them.
            return;
        }
        *since = Some(Instant::now());
        drop(wishes);
        self.0.changed.notify_all();
    }

    /// Has the view completed, and the thread end; what to wait with, off the async threads, until it has.
    pub(super) fn close(&self) -> impl FnOnce() + Send + 'static + use<> {
        self.0.wishes().closing = true;
        self.0.changed.notify_all();
        let signal = Arc::clone(&self.0);
        move || {
            let wishes = signal.wishes();
            drop(signal.changed.wait_while(wishes, |wishes| !wishes.closed));
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        drop(self.close());
    }
}

struct Thread {
    paths: Paths,
    known: Shared,
    signal: Arc<Signal>,
    /// What the last rewrite cost.
    cost: Duration,
    pace: Pace,
}

/// However the thread ends, nobody waits for it any more.
impl Drop for Thread {
    fn drop(&mut self) {
        self.signal.wishes().closed = true;
        self.signal.changed.notify_all();
    }
}

impl Thread {
    fn run(mut self) {
        let mut attempts = 0;
        while self.wait() {
            let began = Instant::now();
            let written = self.write();
            self.cost = began.elapsed();
            match written {
                Ok(true) => attempts = 0,
                Ok(false) => self.again(&mut attempts),
                Err(error) => {
                    observe::error!(%error, "failed to rewrite jobs.json; the journal has everything");
                    self.again(&mut attempts);
                }
            }
        }
    }

    /// Waits until there is something to do; no, where there is nothing any more.
    fn wait(&self) -> bool {
        let mut wishes = self.signal.wishes();
        loop {
            let due = match self.pace {
                #[cfg(feature = "conformance")]
                Pace::WhenAsked if !wishes.closing => None,
                _ => wishes.due(self.cost),
            };
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            match left {
                None if wishes.closing => return false,
                None => {
                    let waited = self.signal.changed.wait(wishes);
                    wishes = waited.unwrap_or_else(PoisonError::into_inner);
                }
                Some(left) if left.is_zero() || wishes.closing => {
                    (wishes.state, wishes.progress) = (None, None);
                    return true;
                }
                Some(left) => {
                    let waited = self.signal.changed.wait_timeout(wishes, left);
                    wishes = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Has the view written another time, but not for ever at the end.
    fn again(&self, attempts: &mut u32) {
        std::thread::sleep(AGAIN);
        let mut wishes = self.signal.wishes();
        *attempts += 1;
        if !wishes.closing || *attempts < LAST_ATTEMPTS {
            wishes.state.get_or_insert_with(Instant::now);
        }
    }

    /// Rewrites the view; no, where another process is at it.
    fn write(&self) -> Result<bool, StoreError> {
        let Some(_locked) = self.paths.try_lock_view() else { return Ok(false) };
        let (journal, jobs, leftovers) = {
            let mut known = self.known.lock();
            known.catch_up(&self.paths)?;
            (known.journal.clone(), known.table.jobs().clone(), known.leftovers.clone())
        };
        // Another process may have appended what was read, and not synced it. A view that survived a power loss without it
        // would hide what is appended in its place.
        journal.sync_beside()?;
        let position = journal.position_for_view();
        let text = view_format::render(position, jobs.iter(), &leftovers)
            .map_err(|error| StoreError::io("render", &self.paths.jobs, error.into()))?;
        match self.what_stands_there() {
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

    /// What is about to be replaced, by its first and last bytes.
    fn what_stands_there(&self) -> Standing {
        let read = || -> std::io::Result<Standing> {
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
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Standing::OursOrNothing,
            Err(_) => Standing::SomethingElse,
        }
    }
}

/// Rewrites the view at once, beside the thread; no, where somebody else is at it.
#[cfg(feature = "conformance")]
pub(super) fn rewrite(paths: &Paths, known: &Shared) -> Result<bool, StoreError> {
    let (paths, known, signal) = (paths.clone(), known.clone(), Arc::default());
    Thread { paths, known, signal, cost: Duration::ZERO, pace: Pace::WhenAsked }.write()
}

/// What stands in the place of the view.
enum Standing {
    OursOrNothing,
    Later,
    SomethingElse,
}
