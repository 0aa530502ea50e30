//! The view thread: the one thread of a process that keeps `jobs.json` and the files of the states up with the journal, in its
//! own time. The writer thread never waits for it.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::folder::Paths;
use super::replica::Snapshot;
use super::view_signal::{ViewRound, ViewSignal};
use super::writer::{Writer, panicked};
use super::{states, view_format};
use crate::core::observe;
use crate::core::shield::shielded;
use crate::core::store::StoreError;
use crate::core::store::table::States;

/// The pause before another attempt, where a rewrite failed or another process is rewriting the view.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the last rewrite is tried when the store is closed.
const LAST_ATTEMPTS: u32 = 20;

/// The parts of the view thread that a test may run by itself.
#[derive(Debug)]
pub(super) struct ViewWriter {
    paths: Paths,
    writer: Writer,
    /// The states whose files are known to show them.
    exported: States,
}

/// Starts the view thread. It writes the view soon.
pub(super) fn start(view: ViewWriter, signal: &Arc<ViewSignal>) -> Result<(), StoreError> {
    signal.behind(false);
    // A process that was killed may have left something to erase.
    signal.owes_erasure(true);
    let jobs = view.paths.jobs.clone();
    let thread = ViewThread { view, signal: Arc::clone(signal), cost: Duration::ZERO };
    let spawned =
        thread::Builder::new().name("smart-async-view".to_owned()).spawn(move || thread.run());
    spawned.map(drop).map_err(|error| StoreError::io("start the writer of", jobs, error))
}

struct ViewThread {
    view: ViewWriter,
    signal: Arc<ViewSignal>,
    /// How long the last rewrite took.
    cost: Duration,
}

/// However the thread ends, a closing store waits for it no longer.
impl Drop for ViewThread {
    fn drop(&mut self) {
        self.signal.set_closed();
    }
}

impl ViewThread {
    fn run(mut self) {
        let mut attempts = 0;
        while let Some(ViewRound { erases }) = self.signal.wait_until_due(self.cost) {
            let began = Instant::now();
            if erases && !matches!(self.view.writer.erase().blocking_recv(), Ok(Ok(()))) {
                self.signal.owes_erasure(false);
            }
            let written = shielded(|| self.view.write());
            let written = written.unwrap_or_else(|panic| Err(panicked(&*panic)));
            self.cost = began.elapsed();
            self.signal.round_ended();
            match written {
                Ok(true) => attempts = 0,
                Ok(false) => self.retry(&mut attempts),
                // The writer thread is gone, and nothing can be read any more.
                Err(StoreError::Closed) => return,
                Err(error) => {
                    observe::error!(%error, "failed to rewrite meta/jobs.json; the journal has everything");
                    self.retry(&mut attempts);
                }
            }
        }
    }

    /// Has the view written another time, but not without end when the store is closed.
    fn retry(&self, attempts: &mut u32) {
        thread::sleep(PAUSE);
        *attempts += 1;
        self.signal.still_behind(*attempts < LAST_ATTEMPTS);
    }
}

impl ViewWriter {
    pub(super) fn new(paths: Paths, writer: Writer) -> Self {
        // Another process that has the lock may be writing one of these files now.
        if paths.states.is_dir() && paths.try_lock_view().is_ok_and(|locked| locked.is_some()) {
            states::remove_unfinished(&paths);
        }
        Self { paths, writer, exported: States::new() }
    }

    /// Rewrites the view; returns whether it could, as no other process was rewriting it.
    pub(super) fn write(&mut self) -> Result<bool, StoreError> {
        let Some(_locked) = self.paths.try_lock_view()? else { return Ok(false) };
        // Synced: a view that survived a power loss without the lines it shows would hide those that are appended in their place.
        let Snapshot { position, contents, leftovers } = self.writer.snapshot()?;
        // Before the view, which names the states: a process that begins with the view reads them from these files.
        states::export(&self.paths, &contents.states, &mut self.exported)?;
        let text = view_format::render(&position, &contents, &leftovers)
            .map_err(|error| StoreError::io("render", &self.paths.jobs, error.into()))?;
        let standing = self.standing();
        match standing.map_err(|error| StoreError::io("read", &self.paths.jobs, error))? {
            Standing::OursOrNothing => {}
            Standing::Later => {
                observe::error!("meta/jobs.json was written by a later version; it is left alone");
                return Ok(true);
            }
            Standing::SomethingElse => {
                let aside = self.paths.set_aside(&self.paths.jobs)?;
                observe::error!(aside = %aside.display(), "meta/jobs.json was no longer ours; it was set aside");
            }
        }
        self.paths.replace(&self.paths.jobs, &text)?;
        Ok(true)
    }

    /// The kind of file that is about to be replaced, by its first and last bytes.
    fn standing(&self) -> io::Result<Standing> {
        let read = || -> io::Result<Standing> {
            let mut file = self.paths.disk.open(&self.paths.jobs)?;
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Standing::OursOrNothing),
            // It is shorter than any of ours.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Standing::SomethingElse)
            }
            // One that cannot be read now may be a good one.
            standing => standing,
        }
    }
}

/// The file in the place of the view.
enum Standing {
    OursOrNothing,
    Later,
    SomethingElse,
}
