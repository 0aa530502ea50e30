//! A disk that a test watches and can make fail (feature `conformance`), so that tests can cut the file system at every
//! write, sync and rename.
//!
//! A store that was opened with [`JournalStore::open_watched`](super::JournalStore::open_watched) announces every change to the disk to a [`Watcher`] before it makes it. The watcher may record it, hold
//! it up, or make it fail. Locks and reads are not announced.

pub use crate::core::shield::ThreadEnd;
use std::fmt;
use std::fs::File;
use std::path::Path;

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
    /// The names in a folder are made durable.
    SyncFolder(&'a Path),
    /// A file gets another name, and takes the place of the file that had it.
    Rename(&'a Path, &'a Path),
    /// A file is removed.
    Remove(&'a Path),
}

/// The fate of an operation.
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

/// Watches a store's disk. The store's own threads call it, and wait for its answer.
pub trait Watcher: fmt::Debug + Send + Sync + 'static {
    /// Decides the fate of an operation, before the store makes it.
    fn announce(&self, operation: Operation<'_>) -> Verdict;
}
