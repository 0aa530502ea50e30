//! The journal store over a disk that a test watches and can make fail.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::JournalStore;
use super::disk::Disk;
use super::folder::Paths;
use super::view::ViewWriter;
use super::view_signal::Pace;
use crate::core::clock::WallClock;
use crate::core::store::StoreError;
use crate::core::store::faults::Watcher;

/// The size of the reserve: tests write it often.
const SMALL_RESERVE: usize = 1000;

impl JournalStore {
    /// As [`open`](Self::open), over a disk that is watched from the first operation on.
    ///
    /// So that the order of the operations is the same each time, `jobs.json` is rewritten only when
    /// [`rewrite_view`](Self::rewrite_view) asks for it, and at the end. The journal is shortened already where it is
    /// longer than `short` bytes; that comes after the answers of the batch before it, while `meta/journal.lock` is still held.
    /// After a failed sync the store tries to recover within milliseconds.
    ///
    /// # Errors
    /// As [`open`](Self::open); also [`StoreError::Unavailable`] where the watcher lets an operation fail.
    pub async fn open_watched(
        home: impl Into<PathBuf>,
        watcher: Arc<dyn Watcher>,
        short: u64,
    ) -> Result<Self, StoreError> {
        let home = home.into();
        let open = move || {
            let disk = Disk::watched(watcher);
            let mut paths = Paths::prepare(&home, disk, WallClock::default())?;
            (paths.short_journal, paths.recovery_pause) = (short, Duration::from_millis(1));
            paths.reserve_bytes = SMALL_RESERVE;
            Self::open_blocking(home, paths, Pace::WhenAsked)
        };
        spawn_blocking(open).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Rewrites `jobs.json` and the files of the states now; returns whether it could, as no other process was rewriting them.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the disk fails; the file that was there is whole.
    pub async fn rewrite_view(&self) -> Result<bool, StoreError> {
        let (paths, writer) = (self.paths.clone(), self.writer.clone());
        let rewrite = move || ViewWriter::new(paths, writer).write();
        spawn_blocking(rewrite).await.unwrap_or(Err(StoreError::Closed))
    }
}
