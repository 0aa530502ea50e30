//! The folder on disk: its paths and modes, its lock, and the one way a file in it is replaced.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::store::StoreError;

/// Where things lie below the store's home.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) meta: PathBuf,
    pub(super) owners: PathBuf,
    pub(super) jobs: PathBuf,
    lock: PathBuf,
}

impl Paths {
    /// Makes the folders that are missing, and tries out whether they can be written.
    pub(super) fn prepare(home: &Path) -> Result<Self, StoreError> {
        let meta = home.join("meta");
        let paths = Self {
            owners: meta.join("owners"),
            jobs: meta.join("jobs.json"),
            lock: meta.join("jobs.lock"),
            meta,
        };
        paths.make_folders()?;
        if paths.jobs.is_dir() {
            let reason = "it is a folder, and should be a file; move it away".to_owned();
            return Err(StoreError::Unusable { path: paths.jobs, reason });
        }
        Ok(paths)
    }

    /// Makes the folders that are missing, durably.
    pub(super) fn make_folders(&self) -> Result<(), StoreError> {
        if self.owners.is_dir() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&self.owners)
            .map_err(|error| StoreError::io("make the folder", &self.owners, error))?;
        // `owners`, `meta`, the home itself, and where that lies.
        for folder in
            self.owners.ancestors().take(4).filter(|folder| !folder.as_os_str().is_empty())
        {
            // A parent that is not ours may be unreadable; its entry is then as durable as the system makes it.
            let _ = sync_folder(folder);
        }
        Ok(())
    }

    /// Waits for the folder's lock, which is given back when the file is dropped, also by a crash.
    ///
    /// A process that holds it and is stopped would hold up everybody for ever, so the wait has an end.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        const PAUSE: Duration = Duration::from_millis(5);
        let failed = |error| StoreError::io("lock", &self.lock, error);
        let open = || private().create(true).truncate(false).write(true).open(&self.lock);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody removed the folder while it was in use.
                self.make_folders()?;
                open()
            }
            opened => opened,
        };
        let file = file.map_err(failed)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(failed(io::ErrorKind::TimedOut.into()));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Which jobs file stands there now; it is replaced whole, so another one has another stamp.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(&self.jobs).ok()?;
        Some(Stamp {
            modified: metadata.modified().ok()?,
            length: metadata.len(),
            inode: inode(&metadata),
        })
    }

    /// The jobs file and its text; `None` where there is none yet.
    pub(super) fn read_jobs(&self) -> Result<Option<(File, Vec<u8>)>, StoreError> {
        let read = || -> io::Result<_> {
            let mut file = File::open(&self.jobs)?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            Ok((file, text))
        };
        match read() {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &self.jobs, error)),
        }
    }

    /// Puts `text` in place of the jobs file: whoever reads it sees the old text or the new, and after a crash one of
    /// them is there. Returns the new file.
    pub(super) fn replace_jobs(&self, text: &[u8]) -> Result<File, StoreError> {
        let new = self.jobs.with_extension("json.new");
        let write = || {
            // One that a crash left may have another mode.
            if let Err(error) = fs::remove_file(&new)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let mut file = private().create_new(true).write(true).open(&new)?;
            file.write_all(text)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = write().map_err(|error| StoreError::io("write", &new, error))?;
        fs::rename(&new, &self.jobs)
            .map_err(|error| StoreError::io("replace", &self.jobs, error))?;
        sync_folder(&self.meta)?;
        Ok(file)
    }

    /// Moves a jobs file that cannot be understood out of the way, under a name that tells when.
    pub(super) fn set_aside(&self) -> Result<PathBuf, StoreError> {
        let time = crate::clock::now().format("%Y%m%dT%H%M%S%3fZ");
        let aside = self.meta.join(format!("jobs.json.damaged-{time}"));
        fs::rename(&self.jobs, &aside)
            .map_err(|error| StoreError::io("set aside", &self.jobs, error))?;
        sync_folder(&self.meta)?;
        Ok(aside)
    }
}

/// What tells one jobs file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

/// How files of ours are opened: for their owner alone.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a rename durable. Windows has no such thing, and needs none.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreError::io("sync the folder", path, error))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}
