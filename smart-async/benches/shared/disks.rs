//! The plain thing that a durable change is measured against, and disks whose sync takes as long as we say.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use smart_async::store::faults::{Operation, Verdict, Watcher};

/// A file that is appended to and synced, and nothing else.
#[derive(Debug)]
pub(crate) struct PlainFile {
    file: File,
    line: Vec<u8>,
}

impl PlainFile {
    /// One whose lines are so long.
    pub(crate) fn create(path: &Path, line: usize) -> Self {
        let file = File::options().create(true).append(true).open(path).unwrap();
        Self { file, line: vec![b'x'; line] }
    }

    /// Appends a line and syncs it.
    pub(crate) fn append(&mut self) {
        self.file.write_all(&self.line).unwrap();
        self.file.sync_data().unwrap();
    }
}

/// What a store does to its disk, counted; each sync may be held up.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    hold_up: Option<Duration>,
    pub(crate) syncs: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    pub(crate) bytes: AtomicUsize,
}

impl Watched {
    /// A disk whose sync takes as long as its own, and this pause. The system may make a short pause longer: see
    /// [`pause`](Self::pause).
    pub(crate) fn held_up(pause: Duration) -> Arc<Self> {
        Arc::new(Self { hold_up: Some(pause), ..Self::default() })
    }

    /// Makes the pause that a sync makes.
    pub(crate) fn pause(&self) {
        if let Some(pause) = self.hold_up {
            std::thread::sleep(pause);
        }
    }
}

impl Watcher for Watched {
    fn announce(&self, operation: Operation<'_>) -> Verdict {
        match operation {
            Operation::Sync(_) | Operation::SyncFolder(_) => {
                self.syncs.fetch_add(1, Ordering::Relaxed);
                self.pause();
            }
            Operation::Write(_, bytes) => {
                self.writes.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
            }
            _ => {}
        }
        Verdict::GoOn
    }
}

/// A folder on a disk whose own sync costs nothing, where there is one: else a slow disk would be slower than it says.
pub(crate) fn in_memory() -> tempfile::TempDir {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir()
        && let Ok(folder) = tempfile::tempdir_in(shared)
    {
        return folder;
    }
    tempfile::tempdir().unwrap()
}
