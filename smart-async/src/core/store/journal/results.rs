//! Large results in files of their own, `results/<id>.json`, so that journal lines, the view and the table stay small.
//!
//! The caller writes a file and syncs it under another name, and hands the end of its job to the writer thread. The writer
//! thread, under the folder's lock, gives the file its name once the end is legal and before the end is appended. So an
//! acknowledged end has its result on disk, a refused end touches no other file, and a crash between two steps leaves a file
//! that no record names; a writer thread removes such files under the same lock, under which no process is between those
//! steps.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::folder::{Identity, Paths, identity};
use super::owners::Owners;
use super::result_text::TextIndex;
use crate::core::job::{JobId, OwnerId, Payload, ResultLocation, ResultPage};
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::store::table::entry::{Entry, Put};
use crate::core::store::table::{Changes, Table};
use crate::core::sync::Mutex;

/// The version written. 1: the first.
const VERSION: u64 = 1;

/// A result that takes more bytes as JSON goes into a file of its own.
pub(super) const LARGE: u64 = 4096;

/// The result files of a folder.
#[derive(Debug)]
pub(super) struct Results {
    paths: Paths,
    /// The name in files that are not in place yet, by which the files of a dead process are recognised.
    owner: OwnerId,
    written: AtomicU64,
    /// Whether this process has made the folder's name durable.
    is_durable: AtomicBool,
    /// Where the texts of the files lie that were read last by pages. A file never changes.
    indexes: Mutex<VecDeque<KnownIndex>>,
}

/// A file, by its job, its identity and its length, and where its text lies.
type KnownIndex = ((JobId, Identity, u64), Arc<Option<TextIndex>>);

/// How many files are remembered: those of a few callers that page through results at the same time.
const INDEXES: usize = 16;

/// A result on disk that no record names yet. Dropped before it is put in place, it removes its file.
#[derive(Debug)]
pub(super) struct NewResult {
    disk: Disk,
    id: JobId,
    /// None once the file is in place.
    path: Option<PathBuf>,
    bytes: u64,
    file_bytes: u64,
}

#[derive(Serialize)]
struct ResultDocument<'a> {
    version: u64,
    id: JobId,
    #[serde(flatten)]
    payload: &'a Payload,
}

#[derive(Deserialize)]
struct StoredResult {
    version: u64,
    id: JobId,
    #[serde(flatten)]
    payload: Payload,
}

impl Results {
    pub(super) fn new(paths: Paths, owner: OwnerId) -> Self {
        Self {
            paths,
            owner,
            written: AtomicU64::new(0),
            is_durable: AtomicBool::new(false),
            indexes: Mutex::default(),
        }
    }

    fn folder(&self) -> &Path {
        &self.paths.results
    }

    fn path(&self, id: JobId) -> PathBuf {
        self.folder().join(format!("{id}.json"))
    }

    /// Writes a result and syncs it, under a name that no reader looks for.
    pub(super) fn write(&self, id: JobId, payload: &Payload) -> Result<NewResult, StoreError> {
        // Two ends of one job may be on their way at once, of which one will be refused.
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let path = self.folder().join(format!("{id}.{}.{number}.new", self.owner));
        let failed = |error| StoreError::io("write", &path, error);
        let mut text = serde_json::to_vec(&ResultDocument { version: VERSION, id, payload })
            .map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let disk = self.paths.disk.clone();
        if !self.is_durable.load(Ordering::Relaxed) || !self.folder().is_dir() {
            self.paths.make_folder(self.folder())?;
            self.is_durable.store(true, Ordering::Relaxed);
        }
        let file = disk.create(&path).map_err(failed)?;
        // From here on a step that fails removes the file again.
        let (bytes, file_bytes) = (payload.text_bytes(), text.len() as u64);
        let new = NewResult { disk, id, path: Some(path.clone()), bytes, file_bytes };
        new.disk.write(&file, &text).and_then(|()| new.disk.sync(&file)).map_err(failed)?;
        Ok(new)
    }

    /// Puts those results in place that `changes` name, durably, and removes the others; returns the jobs whose results
    /// are in place now. Needs the lock.
    pub(super) fn place(
        &self,
        arrived: Vec<NewResult>,
        changes: &Changes,
    ) -> Result<Vec<JobId>, StoreError> {
        let mut placed = Vec::new();
        for mut new in arrived {
            let named = changes.jobs.get(&new.id).is_some_and(|job| {
                job.as_ref().is_some_and(|job| job.record.result_location == new.result_location())
            });
            let Some(from) = new.path.take_if(|_| named) else { continue };
            placed.push(new.id);
            let path = self.path(new.id);
            if let Err(error) = self.paths.disk.rename(&from, &path) {
                new.path = Some(from);
                self.remove(&placed);
                return Err(StoreError::io("put in place", path, error));
            }
        }
        if let Some(first) = placed.first()
            && let Err(error) = self.paths.sync_folder_of(&self.path(*first))
        {
            self.remove(&placed);
            return Err(error);
        }
        Ok(placed)
    }

    /// Reads the result of a job.
    pub(super) fn read(&self, id: JobId) -> Result<Payload, StoreError> {
        let path = self.path(id);
        let text =
            self.paths.disk.read(&path).map_err(|error| StoreError::io("read", &path, error))?;
        let place = path.display().to_string();
        match serde_json::from_slice(&text) {
            Ok(StoredResult { version, .. }) if version > VERSION => {
                Err(StoreError::LaterVersion { place, found: version, known: VERSION })
            }
            Ok(StoredResult { id: found, payload, .. }) if found == id => Ok(payload),
            Ok(StoredResult { id: found, .. }) => {
                let reason = format!("it holds the result of job {found}");
                Err(StoreError::Unusable { place, reason })
            }
            // The parser's message may quote the file, which may hold secrets.
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let reason = format!("it is damaged at line {line}, column {column}");
                Err(StoreError::Unusable { place, reason })
            }
        }
    }

    /// Reads a part of the text of a result. `None` where its file has no text.
    pub(super) fn page(
        &self,
        id: JobId,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Option<ResultPage>, StoreError> {
        let path = self.path(id);
        let failed = |error| StoreError::io("read", &path, error);
        let mut file = self.paths.disk.open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let of = (id, identity(&metadata), metadata.len());
        let known = {
            let indexes = self.indexes.lock();
            indexes.iter().find(|(known, _)| *known == of).map(|(_, index)| Arc::clone(index))
        };
        let index = match known {
            Some(index) => index,
            None => {
                let index = Arc::new(TextIndex::of(&file).map_err(failed)?);
                let mut indexes = self.indexes.lock();
                if indexes.len() == INDEXES {
                    indexes.pop_front();
                }
                indexes.push_back((of, Arc::clone(&index)));
                index
            }
        };
        let page = index.as_ref().as_ref().map(|index| index.page(&mut file, offset, max_bytes));
        page.transpose().map_err(failed)
    }

    /// Removes the files of jobs that are gone. The next removal of orphans takes a file that cannot be removed now.
    pub(super) fn remove(&self, ids: &[JobId]) {
        for id in ids {
            remove(&self.paths.disk, &self.path(*id));
        }
    }

    /// Removes the files that no record names or will name: those of jobs that are not there or have their results elsewhere,
    /// and those that dead processes left unfinished. Needs the folder's lock, and the whole journal read.
    pub(super) fn remove_orphans(&self, owners: &Owners, is_named: impl Fn(JobId) -> bool) {
        let Ok(entries) = fs::read_dir(self.folder()) else { return };
        // A journal or a view that was set aside may name files whose jobs are not known now.
        let nothing_was_set_aside = !self.paths.has_set_aside();
        let mut dead = HashSet::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let orphan = match name.to_str().and_then(Name::parse) {
                Some(Name::Result(id)) => nothing_was_set_aside && !is_named(id),
                Some(Name::New(owner)) => {
                    dead.contains(&owner) || (!owners.lives(owner) && dead.insert(owner))
                }
                // A file that this library does not write.
                None => false,
            };
            if orphan {
                observe::debug!(file = %entry.path().display(), "removing a result file that no job names");
                remove(&self.paths.disk, &entry.path());
            }
        }
    }
}

impl NewResult {
    /// The record's statement about the file.
    pub(super) const fn result_location(&self) -> ResultLocation {
        ResultLocation::InFile { bytes: self.bytes, file_bytes: self.file_bytes }
    }
}

impl Drop for NewResult {
    fn drop(&mut self) {
        // A thread that unwinds leaves everything as it is; another process removes the file when this one has ended.
        if let Some(path) = self.path.as_ref().filter(|_| !std::thread::panicking()) {
            remove(&self.disk, path);
        }
    }
}

/// The jobs whose results lie in files before `changes`, and not after them.
pub(super) fn doomed(changes: &Changes, before: &Table) -> Vec<JobId> {
    let was_in_file = |id| before.find(id).is_some_and(Entry::has_result_file);
    let is_in_file =
        |put: &Option<Put>| put.as_ref().is_some_and(|put| put.record.result_location.is_in_file());
    let is_not = changes.jobs.iter().filter(|(_, put)| !is_in_file(put));
    is_not.map(|(id, _)| *id).filter(|id| was_in_file(*id)).collect()
}

fn remove(disk: &Disk, path: &Path) {
    if let Err(error) = disk.remove(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        observe::warn!(%error, path = %path.display(), "failed to remove a result file");
    }
}

/// The kind of a file in the folder, by its name.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Result(JobId),
    New(OwnerId),
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        if let Some(id) = name.strip_suffix(".json") {
            return id.parse().ok().map(Self::Result);
        }
        let mut parts = name.strip_suffix(".new")?.split('.');
        let (id, owner, number) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = id.parse::<JobId>().is_ok() && number.parse::<u64>().is_ok();
        (ours && parts.next().is_none()).then(|| owner.parse().ok().map(Self::New)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_ours_are_taken_for_ours() {
        let (id, owner) = (JobId::new(), OwnerId::new());
        assert_eq!(Name::parse(&format!("{id}.json")), Some(Name::Result(id)));
        assert_eq!(Name::parse(&format!("{id}.{owner}.0.new")), Some(Name::New(owner)));
        for other in ["notes.json", "x.new", "README.md", ".json", ".new"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
        assert_eq!(Name::parse(&format!("{id}.{owner}.0.more.new")), None);
    }
}
