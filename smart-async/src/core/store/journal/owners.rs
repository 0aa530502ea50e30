//! The living owners: each process holds a lock on a file of its own for as long as it lives. The kernel frees the lock when
//! the process ends, however it ends, so that a dead owner is known for certain without a look at process ids.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use super::folder::Paths;
use crate::core::job::{JobRecord, OwnerId};
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::sync::Mutex;

#[derive(Debug)]
pub(super) struct Owners {
    disk: Disk,
    folder: PathBuf,
    own: OwnerId,
    registration: Mutex<Registration>,
}

/// Whether the name of this process is taken.
#[derive(Debug)]
enum Registration {
    /// The process has no jobs of its own so far.
    NotTaken,
    /// The process holds the lock of the file that stands for it.
    Held(File),
    GivenUp,
}

impl Owners {
    /// A new name, which is not taken yet.
    pub(super) fn new(paths: &Paths) -> Self {
        let (disk, folder) = (paths.disk.clone(), paths.owners.clone());
        Self { disk, folder, own: OwnerId::new(), registration: Mutex::new(Registration::NotTaken) }
    }

    /// Takes the name of this process, where it has not done so. A process that has given it up runs no more jobs.
    pub(super) fn register(&self) -> Result<(), StoreError> {
        let mut registration = self.registration.lock();
        if matches!(*registration, Registration::GivenUp) {
            return Err(StoreError::Closed);
        }
        if matches!(*registration, Registration::NotTaken) {
            remove_stale(&self.disk, &self.folder);
            let held = hold(&self.disk, &self.folder, self.own);
            let path = || lock_path(&self.folder, self.own);
            *registration =
                Registration::Held(held.map_err(|error| StoreError::io("claim", path(), error))?);
        }
        Ok(())
    }

    /// Takes the name of this process again, where a person has removed the file that stands for it.
    pub(super) fn reassert(&self) {
        let mut registration = self.registration.lock();
        if !matches!(*registration, Registration::Held(_))
            || lock_path(&self.folder, self.own).exists()
        {
            return;
        }
        match hold(&self.disk, &self.folder, self.own) {
            Ok(file) => *registration = Registration::Held(file),
            Err(error) => observe::error!(%error, "failed to show that this process lives"),
        }
    }

    pub(super) const fn own(&self) -> OwnerId {
        self.own
    }

    /// Of `jobs`, those whose owner is dead, or that never had one.
    pub(super) fn without_the_living(&self, mut jobs: Vec<Arc<JobRecord>>) -> Vec<Arc<JobRecord>> {
        let mut asked = HashMap::new();
        let mut lives = |owner| *asked.entry(owner).or_insert_with(|| self.lives(owner));
        jobs.retain(|job| !job.owner.is_some_and(&mut lives));
        jobs
    }

    /// Returns whether an owner lives.
    pub(super) fn lives(&self, owner: OwnerId) -> bool {
        if owner == self.own {
            return matches!(*self.registration.lock(), Registration::Held(_));
        }
        let path = lock_path(&self.folder, owner);
        let file = match self.disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => return assume_alive(&path, &error),
        };
        // A shared lock, so that two processes that ask at the same time do not take each other for the owner.
        match file.try_lock_shared() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => assume_alive(&path, &error),
        }
    }

    /// The owners that have a file in the folder, save for this process.
    pub(super) fn others(&self) -> Vec<OwnerId> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let owner = |path: PathBuf| {
            let name = path.file_name()?.to_str()?.strip_suffix(".lock")?;
            name.parse().ok().filter(|owner| *owner != self.own)
        };
        entries.flatten().filter_map(|entry| owner(entry.path())).collect()
    }

    /// Gives up the name of this process.
    pub(super) fn release(&self) {
        if let Registration::Held(file) =
            std::mem::replace(&mut *self.registration.lock(), Registration::GivenUp)
        {
            // The file goes first: processes would ask about a name without a lock for ever.
            let _ = self.disk.remove(&lock_path(&self.folder, self.own));
            drop(file);
        }
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.release();
    }
}

/// Makes the file that stands for a process, and locks it.
fn hold(disk: &Disk, folder: &Path, own: OwnerId) -> io::Result<File> {
    if !folder.is_dir() {
        // A person removed it.
        disk.create_folder(folder)?;
    }
    let new = folder.join(format!("{own}.new"));
    // An attempt that failed may have left it.
    if let Err(error) = disk.remove(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = disk.create(&new)?;
    file.lock()?;
    // Only a locked file gets the name that other processes look at.
    disk.rename(&new, &lock_path(folder, own))?;
    Ok(file)
}

/// Returns whether an owner that cannot be asked counts as alive. It does: a job that was failed cannot be brought back.
fn assume_alive(path: &Path, error: &io::Error) -> bool {
    observe::warn!(%error, path = %path.display(), "failed to ask whether an owner lives; taking it for alive");
    true
}

/// Removes what dead owners left. A file that is not there says the same as one that can be locked.
fn remove_stale(disk: &Disk, folder: &Path) {
    /// A name that is being taken just now is not locked for an instant.
    const BEING_TAKEN: Duration = Duration::from_secs(60);
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let young = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age < BEING_TAKEN));
        let being_taken = young && path.extension().is_some_and(|extension| extension == "new");
        if !being_taken && disk.open(&path).is_ok_and(|file| file.try_lock_shared().is_ok()) {
            let _ = disk.remove(&path);
        }
    }
}

fn lock_path(folder: &Path, owner: OwnerId) -> PathBuf {
    folder.join(format!("{owner}.lock"))
}
