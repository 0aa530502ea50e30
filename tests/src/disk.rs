//! A disk that is watched: what a store writes, syncs and renames is written down in order ([`Recorder`]), a model says
//! what a crash at any point may leave of it ([`Model`]), and the promises are checked on what is left ([`Promises`]).
//! [`record`] is the workload that is cut.

mod jobs;
mod model;
mod promises;
mod recorder;
mod workload;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use jobs::{new_job, next_change};
pub use model::{Crash, Image, Model, Step};
pub use promises::{Event, Promises, check_erased, check_opened, check_results, check_view};
pub use recorder::{Recorder, Tape};
pub use workload::{SHORT, Trace, record, record_recovery};

/// Waits until nobody shortens the journal of the folder: the writer that does keeps the lock from its answers on.
pub fn settle(home: &Path) {
    let lock = File::open(home.join("meta/journal.lock"));
    lock.and_then(|lock| lock.lock()).expect("a lock");
}

/// A folder for a test that makes many files: in memory, where the system has such a place.
pub fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary folder can be made")
}
