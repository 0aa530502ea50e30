//! All changes that the store makes to the disk, each operation by itself, so that tests can cut the file system before any
//! of them; and the one way in which it opens files that are there, so that each is checked ([`Trust`]). Tests see neither locks
//! nor reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::trust::Trust;

#[cfg(feature = "conformance")]
use crate::core::store::faults::{Operation, Verdict, Watcher};

/// The handle to the disk. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// Whose files are read.
    pub(super) trust: Trust,
    #[cfg(feature = "conformance")]
    watcher: Option<std::sync::Arc<dyn Watcher>>,
}

impl Disk {
    /// A disk whose files are read as far as they are trusted.
    pub(super) fn new(trust: Trust) -> Self {
        Self {
            trust,
            #[cfg(feature = "conformance")]
            watcher: None,
        }
    }

    /// Opens a file for reading.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        self.trust.open(OpenOptions::new().read(true), path)
    }

    /// Opens a file for reading, and for writing at its end.
    pub(super) fn open_to_append(&self, path: &Path) -> io::Result<File> {
        self.trust.open(OpenOptions::new().read(true).append(true), path)
    }

    /// Opens a file that is locked, and makes it where it is missing.
    pub(super) fn open_lock(&self, path: &Path) -> io::Result<File> {
        self.trust.open(private().create(true).truncate(false).write(true), path)
    }

    /// The bytes of a file.
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.open(path)?.read_to_end(&mut text)?;
        Ok(text)
    }

    /// Makes a folder, for its owner alone. A folder that is there already is no error.
    pub(super) fn create_folder(&self, path: &Path) -> io::Result<()> {
        #[cfg(feature = "conformance")]
        self.announce(Operation::CreateFolder(path))?;
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(path) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            created => created,
        }
    }

    /// Makes an empty file where there is none, for its owner alone.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        #[cfg(feature = "conformance")]
        self.announce(Operation::Create(path))?;
        private().create_new(true).write(true).open(path)
    }

    /// Writes at the end of a file, which is open for appending, or was just made.
    pub(super) fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "conformance")]
        if let Verdict::Fail { written } = self.ask(Operation::Write(file, bytes)) {
            file.write_all(bytes.get(..written).unwrap_or(bytes))?;
            return Err(failure());
        }
        file.write_all(bytes)
    }

    /// Cuts a file off at a length.
    pub(super) fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        #[cfg(feature = "conformance")]
        self.announce(Operation::Cut(file, length))?;
        file.set_len(length)
    }

    /// Makes a file's bytes and its length durable.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(feature = "conformance")]
        self.announce(Operation::Sync(file))?;
        file.sync_data()
    }

    /// Makes the names in a folder durable: new files, renames, removals. Windows has no such operation, and needs none.
    pub(super) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        #[cfg(feature = "conformance")]
        self.announce(Operation::SyncFolder(path))?;
        #[cfg(unix)]
        File::open(path)?.sync_all()?;
        #[cfg(not(unix))]
        let _ = path;
        Ok(())
    }

    /// Gives a file another name; a file that had the name is gone.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(feature = "conformance")]
        self.announce(Operation::Rename(from, to))?;
        fs::rename(from, to)
    }

    /// Removes a file.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        #[cfg(feature = "conformance")]
        self.announce(Operation::Remove(path))?;
        fs::remove_file(path)
    }
}

#[cfg(feature = "conformance")]
impl Disk {
    /// A disk that is watched.
    pub(super) fn watched(watcher: std::sync::Arc<dyn Watcher>) -> Self {
        Self { watcher: Some(watcher), ..Self::default() }
    }

    fn ask(&self, operation: Operation<'_>) -> Verdict {
        self.watcher.as_ref().map_or(Verdict::GoOn, |watcher| watcher.announce(operation))
    }

    fn announce(&self, operation: Operation<'_>) -> io::Result<()> {
        match self.ask(operation) {
            Verdict::GoOn => Ok(()),
            Verdict::Fail { .. } => Err(failure()),
        }
    }
}

#[cfg(feature = "conformance")]
fn failure() -> io::Error {
    io::Error::other("the watcher lets this operation fail")
}

/// The options with which this library's files are opened: for their owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
