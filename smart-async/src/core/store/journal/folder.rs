//! The folder on disk: its paths and modes, its lock, and the one way a file in it is replaced.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::disk::Disk;
use crate::core::clock::WallClock;
use crate::core::observe;
use crate::core::store::StoreError;

/// A journal is not shortened before it is this long.
const SHORT_JOURNAL: u64 = 4 * 1024 * 1024;
/// As much as the journal of some hundred jobs takes.
const RESERVE_BYTES: usize = 1024 * 1024;
const RECOVERY_PAUSE: Duration = Duration::from_millis(100);

/// Where things lie below the store's home, and the disk they lie on.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) meta: PathBuf,
    pub(super) owners: PathBuf,
    pub(super) jobs: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) results: PathBuf,
    pub(super) states: PathBuf,
    pub(super) disk: Disk,
    /// The clock by which records are dated.
    pub(super) clock: WallClock,
    /// A journal is not shortened before it is this long.
    pub(super) short_journal: u64,
    /// The pause before the first attempt to recover from a failed sync.
    pub(super) recovery_pause: Duration,
    /// The file that keeps room for removals on a full disk.
    pub(super) reserve: PathBuf,
    pub(super) reserve_bytes: usize,
    /// The file whose lock is the folder's.
    pub(super) lock: PathBuf,
    /// The file whose lock is the turn to wait for the folder's.
    pub(super) turn: PathBuf,
    view_lock: PathBuf,
}

impl Paths {
    /// Makes the folders that are missing.
    pub(super) fn prepare(home: &Path, disk: Disk, clock: WallClock) -> Result<Self, StoreError> {
        let meta = home.join("meta");
        let paths = Self {
            owners: meta.join("owners"),
            jobs: meta.join("jobs.json"),
            journal: meta.join("journal.ndjson"),
            lock: meta.join("journal.lock"),
            turn: meta.join("journal.turn"),
            view_lock: meta.join("jobs.lock"),
            results: home.join("results"),
            states: home.join("state"),
            reserve: meta.join("reserve"),
            reserve_bytes: RESERVE_BYTES,
            short_journal: SHORT_JOURNAL,
            recovery_pause: RECOVERY_PAUSE,
            disk,
            clock,
            meta,
        };
        paths.check(home)?;
        paths.make_folders()?;
        paths.check(home)?;
        for file in [&paths.jobs, &paths.journal] {
            if file.is_dir() {
                let reason = "it is a folder, and should be a file; move it away".to_owned();
                return Err(StoreError::Unusable { place: file.display().to_string(), reason });
            }
        }
        Ok(paths)
    }

    /// Refuses folders that another user could have filled. The files in them are checked when they are opened; of those that this
    /// does not open at once, here.
    fn check(&self, home: &Path) -> Result<(), StoreError> {
        let refused = |path: &Path, error: io::Error| StoreError::Unusable {
            place: path.display().to_string(),
            reason: error.to_string(),
        };
        let trust = self.disk.trust;
        trust.check_home(home).map_err(|error| refused(home, error))?;
        for folder in [&self.meta, &self.owners, &self.results, &self.states] {
            trust.check_folder(folder).map_err(|error| refused(folder, error))?;
        }
        let owners = fs::read_dir(&self.owners).into_iter().flatten().flatten();
        let owners = owners.map(|entry| entry.path());
        for file in owners.chain([self.view_lock.clone()]) {
            trust.check_file(&file).map_err(|error| refused(&file, error))?;
        }
        Ok(())
    }

    /// Makes the folders that are missing, durably.
    ///
    /// A folder is made after the name of the one that it lies in is durable. So of the folders that are found, only the
    /// innermost may lack that: the process that made it may have died before the sync.
    pub(super) fn make_folders(&self) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        for folder in self.owners.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            if folder.is_dir() {
                self.make_name_durable(folder)?;
                break;
            }
            missing.push(folder);
        }
        for folder in missing.into_iter().rev() {
            self.disk
                .create_folder(folder)
                .map_err(|error| StoreError::io("make the folder", folder, error))?;
            self.make_name_durable(folder)?;
        }
        Ok(())
    }

    /// Makes a folder below the home where it is missing, and its name durable: the process that made it may have died before
    /// that.
    pub(super) fn make_folder(&self, folder: &Path) -> Result<(), StoreError> {
        if !folder.is_dir() {
            // A person may have removed the home while it was in use.
            self.make_folders()?;
            self.disk
                .create_folder(folder)
                .map_err(|error| StoreError::io("make the folder", folder, error))?;
        }
        let checked = self.disk.trust.check_folder(folder);
        checked.map_err(|error| StoreError::io("use the folder", folder, error))?;
        self.sync_folder_of(folder)
    }

    /// Makes a folder's name durable, as far as the system lets us.
    fn make_name_durable(&self, folder: &Path) -> Result<(), StoreError> {
        match self.disk.sync_folder(parent_of(folder)) {
            // The folder that it lies in is not ours; it may be unreadable, or of a kind that cannot be synced.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            synced => synced.map_err(|error| sync_error(parent_of(folder), error)),
        }
    }

    /// Waits for the folder's lock. The system gives it back when the file is closed, also by a crash.
    ///
    /// A process that is stopped while it holds the lock would hold up all others for ever, so the wait has an end.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let failed = |error| StoreError::io("lock", &self.lock, error);
        let open = || self.disk.open_lock(&self.lock);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A person removed the folder while it was in use.
                self.make_folders()?;
                open()
            }
            opened => opened,
        };
        let file = file.map_err(failed)?;
        // Given back when this returns.
        let _turn = wait_for_lock(self.open_turn()?, &self.turn)?;
        wait_for_lock(file, &self.lock)
    }

    /// Opens the lock of the turn: only the process that has it waits for the folder's lock, and the others queue behind it.
    pub(super) fn open_turn(&self) -> Result<File, StoreError> {
        let opened = self.disk.open_lock(&self.turn);
        opened.map_err(|error| StoreError::io("lock", &self.turn, error))
    }

    /// Tries whether locks work here: some network file systems grant a lock to every process.
    pub(super) fn try_locks_out(&self) -> Result<(), StoreError> {
        let held = self.lock()?;
        let second = self.disk.open_lock(&self.lock);
        let second = second.map_err(|error| StoreError::io("lock", &self.lock, error))?;
        let refused = matches!(second.try_lock(), Err(TryLockError::WouldBlock));
        drop(held);
        if refused {
            return Ok(());
        }
        let reason = "its file system has no working file locks, so that two servers would spoil each other's jobs; \
                      name a folder on a local disk"
            .to_owned();
        Err(StoreError::Unusable { place: self.meta.display().to_string(), reason })
    }

    /// Takes the lock of the view, if no other process has it now.
    pub(super) fn try_lock_view(&self) -> Result<Option<File>, StoreError> {
        let file = self.disk.open_lock(&self.view_lock);
        let file = file.map_err(|error| StoreError::io("lock", &self.view_lock, error))?;
        Ok(file.try_lock().is_ok().then_some(file))
    }

    /// The text of the view; `None` where there is none.
    pub(super) fn read_view(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.disk.read(&self.jobs) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &self.jobs, error)),
        }
    }

    /// Puts `text` in place of a file: readers see the old text or the new, and after a crash one of them is there.
    pub(super) fn replace(&self, path: &Path, text: &[u8]) -> Result<(), StoreError> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let write = || {
            // A file that a crash left may have another mode.
            if let Err(error) = self.disk.remove(&new)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let file = self.disk.create(&new)?;
            self.disk.write(&file, text)?;
            self.disk.sync(&file)
        };
        let failed = |action, path, error| {
            // On a full disk it would take the last room.
            let _ = self.disk.remove(&new);
            StoreError::io(action, path, error)
        };
        write().map_err(|error| failed("write", &*new, error))?;
        self.disk.rename(&new, path).map_err(|error| failed("replace", path, error))?;
        self.sync_folder_of(path)
    }

    /// Returns whether a journal or a view lies beside those in use that was set aside.
    pub(super) fn has_set_aside(&self) -> bool {
        [&self.journal, &self.jobs].into_iter().any(|file| !self.set_aside_of(file).is_empty())
    }

    /// The files that were set aside of the one at this path.
    fn set_aside_of(&self, path: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(parent_of(path)) else { return Vec::new() };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_aside = |there: &Path| {
            let there = there.file_name().and_then(|there| there.to_str()).unwrap_or_default();
            there.strip_prefix(name).is_some_and(|rest| rest.starts_with(".damaged-"))
        };
        entries.flatten().map(|entry| entry.path()).filter(|path| is_aside(path)).collect()
    }

    /// Edits the files that were set aside of the journal and of the view. `None` leaves one as it is.
    pub(super) fn edit_set_aside(&self, edit: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let copies = [&self.journal, &self.jobs].map(|file| self.set_aside_of(file));
        for copy in copies.into_iter().flatten() {
            let read = self.disk.read(&copy).map_err(|error| StoreError::io("read", &copy, error));
            let edited = read.and_then(|text| match edit(&text) {
                Some(text) => self.replace(&copy, &text),
                None => Ok(()),
            });
            if let Err(error) = edited {
                observe::warn!(%error, "failed to erase removed jobs from a file that was set aside");
            }
        }
    }

    /// Returns whether there are result files.
    pub(super) fn has_results(&self) -> bool {
        fs::read_dir(&self.results).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Makes durable which file stands at `path`.
    pub(super) fn sync_folder_of(&self, path: &Path) -> Result<(), StoreError> {
        let folder = parent_of(path);
        self.disk.sync_folder(folder).map_err(|error| sync_error(folder, error))
    }

    /// Moves a file that cannot be understood out of the way, under a name with the time.
    pub(super) fn set_aside(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let aside = self.name_aside(path);
        self.disk.rename(path, &aside).map_err(|error| StoreError::io("set aside", path, error))?;
        self.sync_folder_of(path)?;
        Ok(aside)
    }

    /// Copies a file that cannot be understood, under a name with the time, before another file takes its place.
    pub(super) fn copy_aside(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let text = self.disk.read(path).map_err(|error| StoreError::io("read", path, error))?;
        // An attempt that failed later may have left the same copy.
        let is_copy = |there: &PathBuf| self.disk.read(there).is_ok_and(|there| there == text);
        match self.set_aside_of(path).into_iter().find(is_copy) {
            Some(copy) => Ok(copy),
            None => self.put_aside(path, &text),
        }
    }

    /// Writes a file beside one that cannot be used.
    pub(super) fn put_aside(&self, path: &Path, text: &[u8]) -> Result<PathBuf, StoreError> {
        let aside = self.name_aside(path);
        let write = || {
            let file = self.disk.create(&aside)?;
            self.disk.write(&file, text).and_then(|()| self.disk.sync(&file))
        };
        write().map_err(|error| {
            // Half a copy is none. On a full disk it would take the last room.
            let _ = self.disk.remove(&aside);
            StoreError::io("copy to", &aside, error)
        })?;
        self.sync_folder_of(path)?;
        Ok(aside)
    }

    /// The name of a file that is set aside; none has it yet.
    fn name_aside(&self, path: &Path) -> PathBuf {
        let time = self.clock.now().format("%Y%m%dT%H%M%S%3fZ");
        let named = |number: u32| {
            let mut aside = path.as_os_str().to_owned();
            aside.push(format!(".damaged-{time}"));
            if number > 0 {
                aside.push(format!("-{number}"));
            }
            PathBuf::from(aside)
        };
        (0..1000).map(named).find(|aside| !aside.exists()).unwrap_or_else(|| named(1000))
    }
}

/// The folder in which a file or folder lies.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        None => path,
        Some(here) if here.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    }
}

fn sync_error(folder: &Path, error: io::Error) -> StoreError {
    StoreError::io("sync the folder", folder, error)
}

/// Waits for the lock of a file, but not for ever.
///
/// A blocking lock of the system has no time limit, so this tries again and again. The lock is held for as long as a batch
/// and its sync take. The first attempts follow one another, each after a yield; later the pause between two grows with the wait,
/// so that the disk idles little and a long wait takes little of a core. Another program may keep the disk busy for seconds, and
/// several such syncs are no reason to fail. The order among waiting processes comes from the turn lock, see `lock.rs`.
pub(super) fn wait_for_lock(file: File, path: &Path) -> Result<File, StoreError> {
    const PATIENCE: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_micros(50);
    let failed = |error| StoreError::io("lock", path, error);
    let mut began = None;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        match began.get_or_insert_with(Instant::now).elapsed() {
            waited if waited < SOON => std::thread::yield_now(),
            waited if waited < PATIENCE => std::thread::sleep(pause_after(waited)),
            _ => return Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }
}

/// The pause before the next attempt at a lock that was waited for so long: a sixteenth of the wait, so that what the pause adds
/// to a wait stays in proportion.
fn pause_after(waited: Duration) -> Duration {
    // The system adds some 50 µs to it.
    const SHORTEST: Duration = Duration::from_micros(20);
    const LONGEST: Duration = Duration::from_millis(5);
    (waited / 16).clamp(SHORTEST, LONGEST)
}

/// Returns whether a file that is held open is the one that stands at `path`.
#[cfg(unix)]
pub(super) fn stands_at(file: &File, path: &Path) -> bool {
    let both = file.metadata().and_then(|held| Ok((held, fs::metadata(path)?)));
    both.is_ok_and(|(held, there)| identity(&held) == identity(&there))
}

/// Returns whether a file that is held open is the one that stands at a path: on this system nothing tells for certain.
#[cfg(not(unix))]
pub(super) const fn stands_at(_: &File, _: &Path) -> bool {
    false
}

/// Tells a file from another one of the same name, for as long as it is held open: by its device and number, or by the
/// time of its creation on a system that offers nothing better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(
    #[cfg(unix)] (u64, u64),
    #[cfg(not(unix))] Option<std::time::SystemTime>,
);

/// The identity of the file with this metadata.
pub(super) fn identity(metadata: &fs::Metadata) -> Identity {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Identity((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        Identity(metadata.created().ok())
    }
}

/// The bytes of a file from a position up to its end. Mostly these are few, and then this takes two system calls.
pub(super) fn read_from(mut file: &File, position: u64) -> io::Result<Vec<u8>> {
    #[cfg(unix)]
    let (mut text, position) = {
        use std::os::unix::fs::FileExt;
        let (mut part, mut read) = ([0; 512], 0);
        while let Some(rest) = part.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, position + read as u64) {
                Ok(0) => return Ok(part.get(..read).unwrap_or_default().to_vec()),
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (part.to_vec(), position + read as u64)
    };
    #[cfg(not(unix))]
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(position))?;
    file.read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_attempts_at_a_lock_grows_with_the_wait_and_has_a_limit() {
        let micros = |waited| pause_after(Duration::from_micros(waited)).as_micros();
        let pauses = [60, 1_600, 16_000, 80_000, 10_000_000].map(micros);
        assert_eq!(pauses, [20, 100, 1_000, 5_000, 5_000]);
    }
}
