//! The journal's file. Its content up to the last whole line is what there is; `jobs.json` is a view of it.
//!
//! A writer appends under the folder's lock, and gives the lock back after the sync. It replaces a journal that has grown
//! long by a shorter one that says the same; other processes recognise that by the inode.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::erasure::{self, Debt};
use super::folder::{Identity, Paths, identity, read_from};
use super::format::{self, Header};
use super::leftovers::{AnyVersion, Leftovers};
use super::lineage::{Agreement, Lineage};
use super::replay::{Replayed, replay};
use super::view_format::Position;
use crate::core::job::JobId;
use crate::core::store::StoreError;
use crate::core::store::table::Contents;

/// A journal is shortened when it is this many times as long as it has to be.
const SLACK: u64 = 3;
/// The longest first line.
const LONGEST_HEADER: usize = 8192;

/// The journal's file, read up to a position. Only blocking threads use it.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Disk,
    path: Arc<Path>,
    /// Held open: the system gives its inode to no other file meanwhile, so that a replaced journal is recognised for certain.
    file: File,
    identity: Identity,
    version: u64,
    lineage: Lineage,
    /// The end of the last whole line that was read.
    position: u64,
    /// The end of what was read under the folder's lock. A writer may cut off what lies between this and `position`.
    confirmed: u64,
    /// The checksum of the bytes between the two.
    unconfirmed: crc32fast::Hasher,
    /// Whether this process has read lines that it has not synced: their writer may have died before its sync.
    needs_sync: bool,
    /// Whether another process put this journal in place, which may have died before the file's name was durable.
    needs_name_sync: bool,
    /// Whether no whole line followed the position when the file was read last.
    is_torn: bool,
    /// How long the journal was when it said everything once.
    shortest: u64,
    /// Where its first line ends.
    header: u64,
    /// Lines that could not be read. A new journal keeps them.
    unread: Vec<Vec<u8>>,
    /// Whether it has to be written anew so that what was dropped is gone.
    debt: Debt,
}

/// The journal that opening found.
pub(super) enum Found {
    Journal(Box<Journal>),
    Nothing,
    /// A file whose first line cannot be read.
    Damaged(DamagedJournal),
}

/// A journal whose first line cannot be read.
pub(super) struct DamagedJournal {
    pub(super) reason: String,
    /// The whole file.
    pub(super) text: Vec<u8>,
}

/// How far a replica has read, for the question whether there is more.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    path: Arc<Path>,
    identity: Identity,
    position: u64,
}

impl Mark {
    /// Returns whether the file at the path is another one than was read, or longer.
    pub(super) fn is_behind(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(there) => identity(&there) != self.identity || there.len() != self.position,
            Err(_) => true,
        }
    }
}

impl Journal {
    /// Opens the journal, and reads its first line.
    pub(super) fn open(paths: &Paths) -> Result<Found, StoreError> {
        let path = &paths.journal;
        let failed = |error| StoreError::io("read", path, error);
        let mut file = match paths.disk.open_to_append(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(failed(error)),
        };
        let mut first = Vec::new();
        let mut byte = [0];
        // The header is short: the first line of another file need not be read to its end.
        while first.len() < LONGEST_HEADER
            && file.read(&mut byte).map_err(failed)? == 1
            && byte != *b"\n"
        {
            first.extend(byte);
        }
        if let Ok(AnyVersion { version: found }) = serde_json::from_slice(&first)
            && found > format::VERSION
        {
            let (place, known) = (path.display().to_string(), format::VERSION);
            return Err(StoreError::LaterVersion { place, found, known });
        }
        let reason = match serde_json::from_slice(&first) {
            Ok(header) if byte == *b"\n" => {
                let length = first.len() as u64 + 1;
                return Self::new(paths, file, header, length, length)
                    .map(|journal| Found::Journal(Box::new(journal)));
            }
            Ok(_) => "its first line has no end".to_owned(),
            Err(error) => error.to_string(),
        };
        let text = read_from(&file, 0).map_err(failed)?;
        Ok(Found::Damaged(DamagedJournal { reason, text }))
    }

    fn new(
        paths: &Paths,
        file: File,
        header: Header,
        header_length: u64,
        position: u64,
    ) -> Result<Self, StoreError> {
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| StoreError::io("read", &paths.journal, error))?;
        let version = header.version;
        Ok(Self {
            disk: paths.disk.clone(),
            path: paths.journal.as_path().into(),
            file,
            identity: identity(&metadata),
            version,
            lineage: Lineage::of(header),
            position,
            confirmed: position,
            unconfirmed: crc32fast::Hasher::new(),
            needs_sync: false,
            needs_name_sync: true,
            is_torn: false,
            shortest: 0,
            header: header_length,
            unread: Vec::new(),
            debt: Debt::Unknown,
        })
    }

    /// Puts a new journal in the place of this one, which says what there is and nothing else. It keeps the lines that could not
    /// be read.
    pub(super) fn replaced_by(
        &self,
        paths: &Paths,
        contents: &Contents,
        leftovers: &Leftovers,
        lineage: Lineage,
    ) -> Result<Self, StoreError> {
        Self::begin(paths, contents, leftovers, lineage, self.unread.clone())
    }

    /// Puts a new journal in place. It keeps lines that could not be read.
    pub(super) fn begin(
        paths: &Paths,
        contents: &Contents,
        leftovers: &Leftovers,
        lineage: Lineage,
        unread: Vec<Vec<u8>>,
    ) -> Result<Self, StoreError> {
        let header: Header = lineage.into();
        let mut text = format::whole(&header, contents, leftovers)
            .map_err(|error| StoreError::io("render", &paths.journal, error.into()))?;
        for line in &unread {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        paths.replace(&paths.journal, &text)?;
        let file = paths.disk.open_to_append(&paths.journal);
        let file = file.map_err(|error| StoreError::io("read", &paths.journal, error))?;
        let length = text.len() as u64;
        let first = text.iter().position(|byte| *byte == b'\n');
        let header_length = first.map_or(length, |end| end as u64 + 1);
        let new = Self::new(paths, file, header, header_length, length)?;
        let debt = Debt::Nothing;
        Ok(Self { needs_name_sync: false, shortest: length, unread, debt, ..new })
    }

    /// Returns whether this is the other journal, or has its content.
    pub(super) fn continues(&self, other: &Self) -> bool {
        self.lineage.continues(&other.lineage)
    }

    /// Returns whether this is the other journal, and lacks a part of that which no writer cuts off.
    pub(super) fn lacks_a_part_of(&self, other: &Self) -> bool {
        let is_shorter =
            || self.file.metadata().is_ok_and(|metadata| metadata.len() < other.confirmed);
        self.lineage.id == other.lineage.id && is_shorter()
    }

    pub(super) const fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// How this journal and a view belong together that goes up to a position.
    pub(super) fn agreement(&self, view: &Position) -> Result<Agreement, StoreError> {
        if view.journal != self.lineage.id {
            return Ok(self.lineage.agreement(view));
        }
        if view.position < self.header {
            // A view that says nothing about its position.
            return Ok(Agreement::Whole);
        }
        let text = read_from(&self.file, view.position - 1);
        let text = text.map_err(|error| StoreError::io("read", &*self.path, error))?;
        let is_end_of_line = text.first() == Some(&b'\n');
        Ok(if is_end_of_line { Agreement::Whole } else { Agreement::LostEnd })
    }

    /// All that follows the first line, as it stands on disk.
    pub(super) fn text(&self) -> Result<Vec<u8>, StoreError> {
        read_from(&self.file, self.header)
            .map_err(|error| StoreError::io("read", &*self.path, error))
    }

    /// Where the first line ends.
    pub(super) const fn header_length(&self) -> u64 {
        self.header
    }

    /// Returns whether an earlier version of this library began it, so that it must be written anew before the first
    /// append: programs of that version then leave it alone.
    pub(super) const fn is_of_earlier_version(&self) -> bool {
        self.version < format::VERSION
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { path: Arc::clone(&self.path), identity: self.identity, position: self.position }
    }

    /// The position up to which a view shows this journal. Where lines could not be read, a process that began from there would
    /// never see them, and lose them when it shortens the journal.
    pub(super) fn position_for_view(&self) -> Position {
        let Lineage { id, first, number, .. } = self.lineage;
        let reread = !self.unread.is_empty();
        Position { journal: id, position: self.position, first, number, reread }
    }

    /// Forgets unreadable lines of jobs that were removed.
    pub(super) fn forget(&mut self, is_gone: impl Fn(JobId) -> bool) {
        self.unread.retain(|line| !erasure::job_of(line).is_some_and(&is_gone));
    }

    /// Returns whether this text stands in a line that could not be read.
    pub(super) fn has_unread(&self, text: &[u8]) -> bool {
        self.unread.iter().any(|line| line.windows(text.len()).any(|part| part == text))
    }

    /// Begins reading at the position of a view of `length` bytes. Returns whether that is a position in this journal.
    pub(super) fn start_from(&mut self, view: &Position, length: u64) -> bool {
        let fits = view.journal == self.lineage.id
            && !view.reread
            && view.position >= self.position
            && self.file.metadata().is_ok_and(|metadata| view.position <= metadata.len());
        if fits {
            (self.position, self.confirmed) = (view.position, view.position);
            // The view says everything once.
            self.shortest = length;
        }
        fits
    }

    /// Notes that all that was read so far was read under the folder's lock.
    pub(super) fn confirm_what_was_read(&mut self) {
        self.confirmed = self.position;
        self.unconfirmed.reset();
    }

    /// Returns whether another journal stands in its place, or a part of it is gone.
    pub(super) fn is_replaced(&self) -> bool {
        !fs::metadata(&self.path)
            .is_ok_and(|there| identity(&there) == self.identity && there.len() >= self.position)
    }

    /// Reads the whole lines that were appended since. None where the position is no longer the end of a line: a writer has
    /// cut off what stood there, and the journal has to be read anew.
    pub(super) fn read_on(&mut self) -> Result<Option<Replayed>, StoreError> {
        let text = read_from(&self.file, self.position - 1)
            .map_err(|error| StoreError::io("read", &*self.path, error))?;
        let Some(text) = text.strip_prefix(b"\n") else { return Ok(None) };
        self.is_torn = text.last().is_some_and(|byte| *byte != b'\n');
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Some(Replayed::default()));
        };
        let whole = text.get(..=end).unwrap_or_default();
        let mut replayed = replay(whole);
        if self.debt == Debt::Nothing {
            self.debt = Debt::Unknown;
        }
        let gone = replayed.jobs.iter().filter(|(_, job)| job.is_none()).map(|(id, _)| *id);
        let gone: HashSet<_> = gone.collect();
        self.unread.append(&mut replayed.unread);
        if !gone.is_empty() && !self.unread.is_empty() {
            self.forget(|id| gone.contains(&id));
        }
        self.unconfirmed.update(whole);
        self.position += whole.len() as u64;
        self.needs_sync = true;
        Ok(Some(replayed))
    }

    /// Like [`read_on`](Self::read_on), under the folder's lock, so that no writer can cut off what was read. The part that was read
    /// without the lock must still stand there; a writer whose disk failed may have cut it off and appended other lines of the
    /// same length.
    pub(super) fn confirm(&mut self) -> Result<Option<Replayed>, StoreError> {
        if self.confirmed < self.position {
            let mut text = read_from(&self.file, self.confirmed)
                .map_err(|error| StoreError::io("read", &*self.path, error))?;
            text.truncate(usize::try_from(self.position - self.confirmed).unwrap_or(usize::MAX));
            if crc32fast::hash(&text) != self.unconfirmed.clone().finalize() {
                return Ok(None);
            }
        }
        let replayed = self.read_on()?;
        self.confirm_what_was_read();
        Ok(replayed)
    }

    /// Syncs the lines of others that this process has read, where it has not done so. Needs the folder's lock.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        if self.needs_sync {
            let synced = self.disk.sync(&self.file);
            synced.map_err(|error| StoreError::io("sync", &*self.path, error))?;
            self.needs_sync = false;
        }
        Ok(())
    }

    /// Makes the name of the file durable, where another process may not have done so. Needs the folder's lock.
    pub(super) fn settle_name(&mut self, paths: &Paths) -> Result<(), StoreError> {
        if self.needs_name_sync {
            paths.sync_folder_of(&paths.journal)?;
            self.needs_name_sync = false;
        }
        Ok(())
    }

    /// Appends a batch and syncs it. Needs the folder's lock, and everything read up to the end.
    pub(super) fn append(&mut self, text: &[u8]) -> Result<(), AppendError> {
        let failed = |action, error| StoreError::io(action, &*self.path, error);
        if self.is_torn {
            // A writer that died left half a line: it was never acknowledged.
            let cut = self.disk.cut(&self.file, self.position);
            cut.map_err(|error| AppendError::Refused(failed("cut", error)))?;
            self.is_torn = false;
        }
        if let Err(error) = self.disk.write(&self.file, text) {
            let cut = self.disk.cut(&self.file, self.position);
            let error = failed("append to", error);
            return Err(match cut.and_then(|()| self.disk.sync(&self.file)) {
                Ok(()) => AppendError::Refused(error),
                Err(_) => AppendError::InDoubt(error),
            });
        }
        // After a failed sync the system may have dropped the pages, and the next sync may succeed without them.
        let synced = self.disk.sync(&self.file);
        synced.map_err(|error| AppendError::InDoubt(failed("sync", error)))?;
        self.position += text.len() as u64;
        self.confirmed = self.position;
        self.needs_sync = false;
        Ok(())
    }

    /// Returns whether it is to be shortened: it is longer than `short` bytes, and several times as long as it has to be.
    pub(super) fn is_long(&self, short: u64) -> bool {
        self.position > self.shortest.saturating_mul(SLACK).max(short)
    }

    /// Notes that records have lost something that stands in its lines.
    pub(super) const fn owe_erasure(&mut self) {
        self.debt = Debt::Something;
    }

    /// Returns whether lines have what no record has any more. Reads them where that is not known.
    pub(super) fn owes_erasure(&mut self, contents: &Contents) -> Result<bool, StoreError> {
        if self.debt == Debt::Unknown {
            let owes = erasure::is_in(&self.text()?, contents);
            self.debt = if owes { Debt::Something } else { Debt::Nothing };
        }
        Ok(self.debt == Debt::Something)
    }

    /// Puts off shortening it until it is several times as long again.
    pub(super) const fn put_off_shortening(&mut self) {
        self.shortest = self.position;
    }
}

/// Why a batch was not appended.
#[derive(Debug)]
pub(super) enum AppendError {
    /// Nothing of it stands in the file.
    Refused(StoreError),
    /// All of it or a part may stand in the file, on disk or not.
    InDoubt(StoreError),
}
