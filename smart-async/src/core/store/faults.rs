//! The file store over a disk that is watched, and that can be made to fail (feature `conformance`): how tests cut the
//! file system at every write, sync and rename.
//!
//! Every change that a [`JsonFileStore`] makes to the disk is announced to a [`Watcher`] before it is made. The watcher
//! may write it down, hold it up, or make it fail. Locks and reads are not announced.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{JsonFileStore, StoreError};

/// A change to the disk that is about to be made.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// A folder is made, whose parent is there.
    CreateFolder(&'a Path),
    /// An empty file is made where there is none.
    Create(&'a Path),
    /// Bytes are written at the end of a file.
    Write(&'a File, &'a [u8]),
    /// A file is cut off at this length.
    Cut(&'a File, u64),
    /// A file's bytes and its length are made durable.
    Sync(&'a File),
    /// What a folder names is made durable.
    SyncFolder(&'a Path),
    /// A file gets another name, and takes the place of the file that had it.
    Rename(&'a Path, &'a Path),
    /// A file is removed.
    Remove(&'a Path),
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is made.
    GoOn,
    /// It fails with an I/O error. Of a write, so many bytes reach the file before; nothing is done of anything else.
    Fail {
        /// How many bytes are written.
        written: usize,
    },
}

/// Whoever watches a store's disk.
///
/// It is asked by the store's own threads, which wait for the answer.
pub trait Watcher: fmt::Debug + Send + Sync + 'static {
    /// Says what becomes of an operation, before it is made.
    fn announce(&self, operation: Operation<'_>) -> Verdict;
}

impl JsonFileStore {
    /// As [`open`](Self::open), over a disk that is watched from the first operation on.
    ///
    /// So that the order of the operations is the same each time, `jobs.json` is rewritten only when
    /// [`rewrite_view`](Self::rewrite_view) asks for it, and at the end. The journal is shortened already where it is
    /// longer than `short` bytes; that comes after the answers of the batch before it, while `meta/journal.lock` is still held.
    ///
    /// # Errors
    /// As [`open`](Self::open); also [`StoreError::Io`] where the watcher lets an operation fail.
    pub async fn open_watched(
        home: impl Into<PathBuf>,
        watcher: Arc<dyn Watcher>,
        short: u64,
    ) -> Result<Self, StoreError> {
        Self::open_over_watched_disk(home.into(), watcher, short).await
    }

    /// Rewrites `jobs.json` now. No, where another process is at it.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting only.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the disk fails; the file that was there is whole.
    pub async fn rewrite_view(&self) -> Result<bool, StoreError> {
        self.rewrite_view_now().await
    }
}
