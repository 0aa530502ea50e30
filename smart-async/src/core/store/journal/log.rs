//! The journal: the truth. What is in it, up to its last whole line, is what there is; `jobs.json` is a view of it.
//!
//! Changes are appended under the folder's lock and synced before anybody is told. The file is replaced by a shorter one
//! that says the same when it has grown long; who holds the old one notices by its inode.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use super::disk::Disk;
use super::folder::{Identity, Paths, identity, read_from};
use super::format::{self, Header};
use super::replay::replay;
use super::view_format::{Leftovers, Position};
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::store::table::{Changes, Jobs, Table};

/// A journal is not shortened before it is this long.
pub(super) const SHORT: u64 = 4 * 1024 * 1024;
/// It is shortened when it is so many times as long as it has to be.
const SLACK: u64 = 3;
/// When it is so many times as long as that, it is shortened even though somebody waits for the next batch.
const PATIENCE: u64 = 2;

/// How many journals a journal names that came before it.
const LINEAGE: usize = 100;
/// The longest first line.
const LONGEST_HEADER: usize = 8192;

/// The journal as it stands, read up to a position.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    disk: Disk,
    path: PathBuf,
    /// Held open: its inode is not given to another file, so that a journal that was replaced is told for certain.
    file: Arc<File>,
    /// The handle of whoever writes the view, opened when it is first needed.
    beside: Arc<OnceLock<File>>,
    identity: Identity,
    id: Uuid,
    /// The journals that it took the place of, and says everything of.
    after: Vec<Uuid>,
    /// Up to where it was read: the end of a whole line.
    position: u64,
    /// Up to where it ends with what this process has appended and synced. What lies between is of others, who may not have
    /// synced it yet, and may take it away as long as nothing stands behind it.
    synced: u64,
    /// Whether something stood behind that which is no whole line, when it was read last.
    is_torn: bool,
    /// How long it was when it was last shortened.
    shortest: u64,
    /// Up to this length it is not shortened while somebody may be waiting.
    patient_until: u64,
    /// Where its first line ends.
    header: u64,
    /// Lines that could not be read, which are kept when the journal is shortened.
    unread: Vec<Vec<u8>>,
}

/// How long a journal is for what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Fine,
    /// To be shortened when nobody waits.
    Long,
    /// To be shortened now.
    TooLong,
}

/// What opening found.
pub(super) enum Found {
    Journal(Journal),
    Nothing,
    /// A file whose beginning cannot be read.
    Damaged(serde_json::Error),
}

impl Journal {
    /// Opens the journal, and reads nothing of it but its header.
    pub(super) fn open(paths: &Paths) -> Result<Found, StoreError> {
        let path = &paths.journal;
        let failed = |error| StoreError::io("read", path, error);
        let mut file = match File::options().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(failed(error)),
        };
        let mut first = Vec::new();
        let mut byte = [0];
        // The header is short: the first line of anything else need not be read to its end.
        while first.len() < LONGEST_HEADER
            && file.read(&mut byte).map_err(failed)? == 1
            && byte != *b"\n"
        {
            first.extend(byte);
        }
        #[derive(serde::Deserialize)]
        struct Version {
            version: u64,
        }
        // Looked at before all else: a later version may have another header.
        if let Ok(Version { version: found }) = serde_json::from_slice(&first)
            && found > format::VERSION
        {
            return Err(StoreError::LaterVersion {
                path: path.clone(),
                found,
                known: format::VERSION,
            });
        }
        let header: Header = match serde_json::from_slice(&first) {
            Ok(header) => header,
            Err(error) => return Ok(Found::Damaged(error)),
        };
        let position = first.len() as u64 + 1;
        let identity = identity(&file.metadata().map_err(failed)?);
        let Header { journal: id, after, .. } = header;
        Ok(Found::Journal(Self {
            disk: paths.disk.clone(),
            path: path.clone(),
            file: Arc::new(file),
            beside: Arc::default(),
            identity,
            id,
            after,
            position,
            synced: 0,
            is_torn: false,
            shortest: 0,
            patient_until: 0,
            header: position,
            unread: Vec::new(),
        }))
    }

    /// This journal and those before it, the latest last.
    fn lineage(&self) -> Vec<Uuid> {
        let skipped = (self.after.len() + 1).saturating_sub(LINEAGE);
        self.after.iter().skip(skipped).copied().chain([self.id]).collect()
    }

    /// Whether this one says everything that the other one said.
    pub(super) fn continues(&self, other: &Self) -> bool {
        self.after.contains(&other.id)
    }

    /// Puts a new journal in place, which says what there is and nothing else. It continues its predecessor, if all of
    /// that is known.
    pub(super) fn create(
        paths: &Paths,
        jobs: &Jobs,
        leftovers: &Leftovers,
        predecessor: Option<&Self>,
    ) -> Result<Self, StoreError> {
        let unread = predecessor.map(|journal| journal.unread.clone()).unwrap_or_default();
        let after = predecessor.map(Self::lineage).unwrap_or_default();
        let header = Header { journal: Uuid::new_v4(), version: format::VERSION, after };
        let mut text = format::whole(&header, jobs.iter(), leftovers)
            .map_err(|error| StoreError::io("render", &paths.journal, error.into()))?;
        for line in &unread {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        paths.replace(&paths.journal, &text)?;
        let file = File::options().read(true).append(true).open(&paths.journal);
        let failed = |error| StoreError::io("read", &paths.journal, error);
        let file = file.map_err(failed)?;
        let identity = identity(&file.metadata().map_err(failed)?);
        let length = text.len() as u64;
        let first =
            text.iter().position(|byte| *byte == b'\n').map_or(length, |end| end as u64 + 1);
        let path = paths.journal.clone();
        Ok(Self {
            disk: paths.disk.clone(),
            path,
            file: Arc::new(file),
            beside: Arc::default(),
            identity,
            id: header.journal,
            after: header.after,
            position: length,
            synced: length,
            is_torn: false,
            shortest: length,
            patient_until: 0,
            header: first,
            unread,
        })
    }

    /// Up to where a view may say that it tells of this journal. None, where lines could not be read: who starts from the
    /// view would never see them, and lose them when the journal is shortened.
    pub(super) fn position_for_view(&self) -> Option<Position> {
        self.unread.is_empty().then_some(Position { journal: self.id, position: self.position })
    }

    /// Whether this stands in a line that could not be read.
    pub(super) fn has_unread(&self, text: &[u8]) -> bool {
        self.unread.iter().any(|line| line.windows(text.len()).any(|part| part == text))
    }

    /// Starts reading at a position that a view of `length` bytes tells of, where that is one of this journal.
    pub(super) fn start_from(&mut self, view: Position, length: u64) -> bool {
        let fits = view.journal == self.id
            && view.position >= self.position
            && self.file.metadata().is_ok_and(|metadata| view.position <= metadata.len());
        if fits {
            self.position = view.position;
            // The view says everything once, as a journal would that was shortened now.
            self.shortest = length;
        }
        fits
    }

    /// Starts reading at its beginning.
    pub(super) const fn start_over(&mut self) {
        self.position = self.header;
    }

    /// Up to where it was read.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Whether something was read behind which this process has appended and synced nothing.
    pub(super) const fn has_unsynced(&self) -> bool {
        self.synced < self.position
    }

    /// Whether another journal stands in its place, or a part of it is gone.
    pub(super) fn is_replaced(&self) -> bool {
        !fs::metadata(&self.path)
            .is_ok_and(|there| identity(&there) == self.identity && there.len() >= self.position)
    }

    /// Whether it has grown since it was read.
    pub(super) fn has_grown(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.len() > self.position)
    }

    /// Reads what was appended since, up to the last whole line, into `table`. No, where the place that was read up to is
    /// no longer the end of a line: what stood there was taken away, and the journal has to be read anew.
    pub(super) fn read_on(
        &mut self,
        table: &mut Table,
        leftovers: &mut Leftovers,
    ) -> Result<bool, StoreError> {
        let failed = |error| StoreError::io("read", &self.path, error);
        let text = read_from(&self.file, self.position - 1).map_err(failed)?;
        let Some(text) = text.strip_prefix(b"\n") else { return Ok(false) };
        self.is_torn = text.last().is_some_and(|byte| *byte != b'\n');
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { return Ok(true) };
        let whole = text.get(..end).unwrap_or_default();
        replay(whole, table, leftovers, &mut self.unread);
        self.position += end as u64 + 1;
        Ok(true)
    }

    /// A batch that is about to be appended. Needs the lock, and everything read up to the end.
    pub(super) fn batch(&self, changes: &Changes) -> Result<Batch, StoreError> {
        let text = format::batch(changes)
            .map_err(|error| StoreError::io("render", &self.path, error.into()))?;
        if self.is_torn {
            // What follows the last whole line is of a writer that died: it was never acknowledged.
            self.disk
                .cut(&self.file, self.position)
                .map_err(|error| StoreError::io("cut", &self.path, error))?;
        }
        Ok(Batch {
            disk: self.disk.clone(),
            path: self.path.clone(),
            file: Arc::clone(&self.file),
            text,
            start: self.position,
        })
    }

    /// Takes note of a batch that was appended and synced.
    pub(super) const fn appended(&mut self, end: u64) {
        self.position = end;
        self.synced = end;
    }

    /// Whether what was read is followed by what a batch has left, and nothing else.
    pub(super) fn ends_with_left(&self, left: &Left) -> Result<bool, StoreError> {
        if self.position != left.start {
            return Ok(false);
        }
        let text = read_from(&self.file, left.start)
            .map_err(|error| StoreError::io("read", &self.path, error))?;
        Ok(text == left.text)
    }

    /// Gives up shortening it until it is several times as long again.
    pub(super) const fn put_off(&mut self) {
        self.shortest = self.position;
    }

    /// Gives up shortening it until it has grown by an eighth: the lock was kept for that, and others came by meanwhile.
    pub(super) const fn put_off_a_little(&mut self) {
        self.patient_until = self.position + self.position / 8;
    }

    /// Makes what a killed process has left as durable as what is acknowledged from now on.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.disk.sync(&self.file).map_err(|error| StoreError::io("sync", &self.path, error))
    }

    /// As [`sync`](Self::sync), beside whoever appends: over another handle, as the system says once for each handle that it
    /// could not write something. What is said here must not be missing there.
    pub(super) fn sync_beside(&self) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("sync", &self.path, error);
        if self.beside.get().is_none() {
            match File::options().read(true).append(true).open(&self.path) {
                Ok(file) if identity(&file.metadata().map_err(failed)?) == self.identity => {
                    let _ = self.beside.set(file);
                }
                // Whoever put another one there has synced all that this one says.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.disk.sync(self.beside.get().unwrap_or(&self.file)).map_err(failed)
    }

    /// How long it is with a batch that is about to be appended; one of up to `short` bytes is never long.
    pub(super) fn length_with(&self, batch: &Batch, short: u64) -> Length {
        let longest = self.shortest.saturating_mul(SLACK).max(short);
        match batch.end() {
            end if end > longest.saturating_mul(PATIENCE) => Length::TooLong,
            end if end > longest.max(self.patient_until) => Length::Long,
            _ => Length::Fine,
        }
    }

    /// Whether all of a batch of this journal, or of one that this continues, stands in it.
    pub(super) fn says(&self, batch: &Batch, of: &Self) -> Result<bool, StoreError> {
        if self.id != of.id {
            return Ok(self.continues(of));
        }
        let text = read_from(&self.file, batch.start)
            .map_err(|error| StoreError::io("read", &self.path, error))?;
        Ok(text.starts_with(&batch.text))
    }

    /// Whether both are the same file.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Whether a batch is the last that stands in it.
    pub(super) fn ends_with(&self, batch: &Batch) -> bool {
        !self.is_replaced()
            && self.file.metadata().is_ok_and(|metadata| metadata.len() == batch.end())
    }
}

/// Changes on their way to the disk.
#[derive(Debug)]
pub(super) struct Batch {
    disk: Disk,
    path: PathBuf,
    file: Arc<File>,
    text: Vec<u8>,
    start: u64,
}

/// Why a batch was not appended.
#[derive(Debug)]
pub(super) struct NotAppended {
    pub(super) error: StoreError,
    /// What of it stands in the file, where it was not taken away for certain.
    pub(super) left: Option<Left>,
}

/// What a batch that was refused has left in the file.
#[derive(Debug)]
pub(super) struct Left {
    start: u64,
    text: Vec<u8>,
}

impl Batch {
    /// Where it ends.
    pub(super) const fn end(&self) -> u64 {
        self.start + self.text.len() as u64
    }

    /// Appends the changes, without syncing them. Needs the lock.
    ///
    /// Where that fails, what was written is taken away again: a change that was refused must not come back.
    pub(super) fn write(&self) -> Result<(), NotAppended> {
        self.disk.write(&self.file, &self.text).map_err(|error| self.take_away(error))
    }

    /// Syncs them, and whatever else stands in the journal by now. Needs no lock.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }

    /// Appends the changes and syncs them. Needs the lock.
    ///
    /// Where that fails, what was written is taken away again.
    pub(super) fn append(&self) -> Result<(), NotAppended> {
        self.write()?;
        self.sync().map_err(|error| self.take_away(error))
    }

    /// Takes away what was written, for this reason. Needs the lock, and nothing behind it.
    pub(super) fn take_away(&self, error: io::Error) -> NotAppended {
        let taken_away =
            self.disk.cut(&self.file, self.start).and_then(|()| self.disk.sync(&self.file));
        let left = taken_away.err().map(|error| {
            observe::error!(%error, "failed to take away what could not be written to the journal");
            let end = self.file.metadata().map_or(self.end(), |metadata| metadata.len());
            self.left(end.saturating_sub(self.start))
        });
        NotAppended { error: self.failed(error), left }
    }

    /// Leaves what was written where it stands, for this reason: others may have appended behind it.
    pub(super) fn leave(&self, error: io::Error) -> NotAppended {
        NotAppended { error: self.failed(error), left: Some(self.left(u64::MAX)) }
    }

    /// So many bytes of it.
    fn left(&self, bytes: u64) -> Left {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let text = self.text.get(..bytes).unwrap_or(&self.text).to_vec();
        Left { start: self.start, text }
    }

    fn failed(&self, error: io::Error) -> StoreError {
        StoreError::io("append to", &self.path, error)
    }
}
