//! The folder's lock in the hands of whoever takes it for every batch. The file is kept open between two of them, which
//! saves a third of what a look into the folder costs.

use std::fs::File;

use super::folder::{Paths, stands_at, wait_for_lock};
use crate::core::store::StoreError;

/// The lock, while nobody here has it.
#[derive(Debug)]
pub(super) struct FolderLock {
    paths: Paths,
    file: Option<File>,
}

/// The lock, held. It is given back when this is dropped, also by a crash.
#[derive(Debug)]
pub(super) struct Held<'a> {
    lock: &'a mut FolderLock,
    is_new: bool,
}

impl FolderLock {
    pub(super) const fn new(paths: Paths) -> Self {
        Self { paths, file: None }
    }

    /// Waits for the lock. Where the file was removed since it was opened, or its folder was moved away, another one is what
    /// others lock.
    pub(super) fn take(&mut self) -> Result<Held<'_>, StoreError> {
        if let Some(file) = self.file.take() {
            let file = wait_for_lock(file, self.paths.lock_path())?;
            if stands_at(&file, self.paths.lock_path()) {
                self.file = Some(file);
                return Ok(Held { lock: self, is_new: false });
            }
        }
        self.take_anew()
    }

    /// Waits for the lock of the folder that is there now.
    pub(super) fn take_anew(&mut self) -> Result<Held<'_>, StoreError> {
        self.file = None;
        self.file = Some(self.paths.lock()?);
        Ok(Held { lock: self, is_new: true })
    }
}

impl Held<'_> {
    /// Whether the file was opened for this. One that was kept open may be of a folder that was moved away.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.lock.file.as_ref().is_some_and(|file| file.unlock().is_err()) {
            // Closing it gives the lock back, too.
            self.lock.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::disk::Disk;
    use super::*;

    #[test]
    #[cfg_attr(not(unix), ignore = "the file is opened anew each time")]
    fn a_file_is_kept_open_for_as_long_as_it_is_the_one_that_others_lock() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::prepare(folder.path(), Disk::default()).unwrap();
        let path = paths.lock_path().to_owned();
        let mut lock = FolderLock::new(paths);
        assert!(lock.take().unwrap().is_new());
        assert!(!lock.take().unwrap().is_new());
        fs::rename(&path, path.with_extension("aside")).unwrap();
        assert!(lock.take().unwrap().is_new(), "nobody else locks one of another name");
        fs::rename(&path, path.with_extension("aside")).unwrap();
        fs::write(&path, "").unwrap();
        assert!(lock.take().unwrap().is_new(), "another one stands there");
    }
}
