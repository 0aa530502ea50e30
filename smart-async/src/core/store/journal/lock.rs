//! The folder's lock in the hands of the writer thread, which takes it for every batch. The file stays open between two
//! batches: to open it anew would take a third of the time of a look into the folder.
//!
//! A process waits for its turn first, which is a lock of its own, and gives the turn back when it has the folder's lock. So a
//! process that writes without pause queues behind one that waits, in place of taking the lock again in the instant in which
//! it is free.

use std::fs::File;

use super::folder::{Paths, stands_at, wait_for_lock};
use crate::core::store::StoreError;

/// The folder's lock. The system gives it back when the thread ends, however that happens.
#[derive(Debug)]
pub(super) struct FolderLock {
    paths: Paths,
    /// Kept open while the lock is given back.
    file: Option<File>,
    /// The lock of the turn, kept open as well.
    turn: Option<File>,
    is_new: bool,
}

impl FolderLock {
    pub(super) const fn new(paths: Paths) -> Self {
        Self { paths, file: None, turn: None, is_new: false }
    }

    /// Waits for the lock. Where the file was removed since it was opened, or its folder was moved away, other processes lock
    /// another file, and so does this one.
    pub(super) fn take(&mut self) -> Result<(), StoreError> {
        self.is_new = false;
        if let (Some(file), Some(turn)) = (self.file.take(), self.turn.take()) {
            let turn = wait_for_lock(turn, &self.paths.turn)?;
            let file = wait_for_lock(file, &self.paths.lock)?;
            let kept = turn.unlock().is_ok().then_some(turn);
            if stands_at(&file, &self.paths.lock) && kept.is_some() {
                (self.file, self.turn) = (Some(file), kept);
                return Ok(());
            }
        }
        self.take_anew()
    }

    /// Waits for the lock of the folder that is there now.
    pub(super) fn take_anew(&mut self) -> Result<(), StoreError> {
        self.file = None;
        self.file = Some(self.paths.lock()?);
        self.turn = self.paths.open_turn().ok();
        self.is_new = true;
        Ok(())
    }

    /// Returns whether the file was opened for this batch. One that was kept open may be of a folder that was moved away.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns whether other processes lock the same file.
    pub(super) fn is_in_place(&self) -> bool {
        self.file.as_ref().is_some_and(|file| stands_at(file, &self.paths.lock))
    }

    /// Gives the lock back.
    pub(super) fn release(&mut self) {
        if self.file.as_ref().is_some_and(|file| file.unlock().is_err()) {
            // Closing the file gives the lock back as well.
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::disk::Disk;
    use super::*;
    use crate::core::clock::WallClock;

    #[test]
    #[cfg_attr(not(unix), ignore = "the file is opened anew each time")]
    fn a_file_is_kept_open_for_as_long_as_it_is_the_one_that_others_lock() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::prepare(folder.path(), Disk::default(), WallClock::default()).unwrap();
        let path = paths.lock.clone();
        let mut lock = FolderLock::new(paths);
        let mut take = || {
            lock.take().unwrap();
            lock.release();
            lock.is_new()
        };
        assert!(take());
        assert!(!take());
        fs::rename(&path, path.with_extension("aside")).unwrap();
        assert!(take(), "no other process locks a file of another name");
        fs::rename(&path, path.with_extension("aside")).unwrap();
        fs::write(&path, "").unwrap();
        assert!(take(), "another file stands there");
    }
}
