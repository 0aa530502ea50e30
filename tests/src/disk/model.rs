//! What a disk may hold after a crash.
//!
//! The model is that of POSIX file systems on a disk that keeps its word about syncs, and no better than those:
//!
//! - A killed process takes nothing along: whatever was done before stands, and of a write that was going on any part from
//!   its beginning.
//! - At a power loss a file has what it had when it was last synced. What was done to it since is there up to any point,
//!   in order. Of what was written since the sync, any page may be zeros or rubbish.
//! - What a folder names is what it named when it was last synced. Of the changes since, any part may be there: in order,
//!   as file systems with a log have it, or each by itself, as those without have it. A rename puts the whole file in
//!   place; what this file holds is another matter. The old name may still be there as well.
//! - Syncing a file says nothing about its name, and syncing a folder nothing about the files in it.
//! - What was synced is never spoilt by what is written next to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::SeededRng;

/// A file, whatever its name.
pub type FileId = usize;

/// A change to the disk. Paths are below the root of the test.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the operation of the store that has its name")]
pub enum Step {
    CreateFolder(PathBuf),
    Create(PathBuf, FileId),
    Write(FileId, Vec<u8>),
    Cut(FileId, usize),
    Sync(FileId),
    SyncFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// How it comes to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The processes are killed, before the step or within it.
    Killed,
    /// The power fails, and nothing is left but what was synced.
    OnlySynced,
    /// The power fails, and some of what was not synced is there, in order.
    SomeInOrder,
    /// The power fails, and anything may be there of what was not synced.
    Anything,
}

/// What a folder holds, below the root: folders, and files with their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Image(pub BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Image {
    /// Makes it so below `root`, which is empty.
    pub fn write_to(&self, root: &Path) {
        for (path, content) in &self.0 {
            let path = root.join(path);
            match content {
                None => fs::create_dir(&path),
                Some(content) => fs::write(&path, content),
            }
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// The bytes of a file.
    pub fn file(&self, path: &Path) -> Option<&[u8]> {
        self.0.get(path)?.as_deref()
    }
}

#[derive(Debug, Clone, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(written) => bytes.extend_from_slice(written),
            Self::Cut(length) => bytes.truncate(*length),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(FileId),
    Folder,
}

type Names = BTreeMap<PathBuf, Entry>;

/// What a folder names, by the whole path.
#[derive(Debug, Clone, Default)]
struct Folder {
    now: Names,
    synced: Names,
    since: Vec<Naming>,
}

#[derive(Debug, Clone)]
enum Naming {
    Add(PathBuf, Entry),
    Rename(PathBuf, PathBuf, Entry),
    Remove(PathBuf),
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Add(path, entry) => {
                names.insert(path.clone(), *entry);
            }
            Self::Rename(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

/// A disk: what it shows now, and what is left of that by a crash.
#[derive(Debug, Clone)]
pub struct Model {
    files: BTreeMap<FileId, Content>,
    folders: BTreeMap<PathBuf, Folder>,
}

/// A disk with an empty root.
impl Default for Model {
    fn default() -> Self {
        let folders = BTreeMap::from([(PathBuf::new(), Folder::default())]);
        Self { files: BTreeMap::new(), folders }
    }
}

impl Model {
    /// A disk that holds this, all of it durably, and the files by their paths.
    pub fn holding(image: &Image) -> (Self, BTreeMap<PathBuf, FileId>) {
        let (mut model, mut ids) = (Self::default(), BTreeMap::new());
        for (path, content) in &image.0 {
            let entry = match content {
                None => {
                    model.folders.insert(path.clone(), Folder::default());
                    Entry::Folder
                }
                Some(content) => {
                    let id = ids.len();
                    let (now, synced) = (content.clone(), content.clone());
                    model.files.insert(id, Content { now, synced, since: Vec::new() });
                    ids.insert(path.clone(), id);
                    Entry::File(id)
                }
            };
            let folder = model.folder(path.parent().expect("a path below the root"));
            folder.now.insert(path.clone(), entry);
            folder.synced.insert(path.clone(), entry);
        }
        (model, ids)
    }

    fn folder(&mut self, path: &Path) -> &mut Folder {
        self.folders.get_mut(path).unwrap_or_else(|| panic!("no folder {}", path.display()))
    }

    fn file(&mut self, id: FileId) -> &mut Content {
        self.files.get_mut(&id).expect("a file that was made")
    }

    fn name(&mut self, path: &Path, naming: Naming) {
        let folder = self.folder(path.parent().expect("a path below the root"));
        naming.apply(&mut folder.now);
        folder.since.push(naming);
    }

    fn entry(&mut self, path: &Path) -> Option<Entry> {
        self.folder(path.parent()?).now.get(path).copied()
    }

    /// Does a step. One that cannot be done changes nothing, as on a real disk.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::CreateFolder(path) => {
                if self.entry(path).is_none() {
                    self.folders.insert(path.clone(), Folder::default());
                    self.name(path, Naming::Add(path.clone(), Entry::Folder));
                }
            }
            Step::Create(path, id) => {
                self.files.insert(*id, Content::default());
                self.name(path, Naming::Add(path.clone(), Entry::File(*id)));
            }
            Step::Write(id, bytes) => self.change(*id, Change::Write(bytes.clone())),
            Step::Cut(id, length) => self.change(*id, Change::Cut(*length)),
            Step::Sync(id) => {
                let file = self.file(*id);
                file.synced.clone_from(&file.now);
                file.since.clear();
            }
            Step::SyncFolder(path) => {
                // Folders above the root are not part of the test.
                if let Some(folder) = self.folders.get_mut(path) {
                    folder.synced.clone_from(&folder.now);
                    folder.since.clear();
                }
            }
            Step::Rename(from, to) => {
                assert_eq!(from.parent(), to.parent(), "renames stay within a folder");
                if let Some(entry) = self.entry(from) {
                    self.name(from, Naming::Rename(from.clone(), to.clone(), entry));
                }
            }
            Step::Remove(path) => {
                if self.entry(path).is_some() {
                    self.name(path, Naming::Remove(path.clone()));
                }
            }
        }
    }

    fn change(&mut self, id: FileId, change: Change) {
        let file = self.file(id);
        change.apply(&mut file.now);
        file.since.push(change);
    }

    /// What is left when it comes to a crash as `next` was about to be done.
    pub fn left_by(&self, crash: Crash, next: Option<&Step>, rng: &mut SeededRng) -> Image {
        if crash == Crash::Killed
            && let Some(Step::Write(id, bytes)) = next
        {
            let written = rng.below(bytes.len() as u64 + 1) as usize;
            let mut within = self.clone();
            within.apply(&Step::Write(*id, bytes[..written].to_vec()));
            return within.image(crash, rng);
        }
        // What is about to be done may have reached the disk as well; but nothing is durable by it.
        if matches!(crash, Crash::SomeInOrder | Crash::Anything)
            && let Some(next) = next
            && !matches!(next, Step::Sync(_) | Step::SyncFolder(_))
            && rng.once_in(2)
        {
            let mut within = self.clone();
            within.apply(next);
            return within.image(crash, rng);
        }
        self.image(crash, rng)
    }

    fn image(&self, crash: Crash, rng: &mut SeededRng) -> Image {
        let mut image = Image::default();
        // A file is the same under each of its names.
        let mut files = BTreeMap::new();
        for (id, file) in &self.files {
            files.insert(*id, file.left_by(crash, rng));
        }
        self.collect(Path::new(""), crash, rng, &files, &mut image);
        image
    }

    fn collect(
        &self,
        path: &Path,
        crash: Crash,
        rng: &mut SeededRng,
        files: &BTreeMap<FileId, Vec<u8>>,
        image: &mut Image,
    ) {
        for (path, entry) in self.folders[path].left_by(crash, rng) {
            match entry {
                Entry::Folder => {
                    image.0.insert(path.clone(), None);
                    self.collect(&path, crash, rng, files, image);
                }
                Entry::File(id) => {
                    image.0.insert(path, Some(files[&id].clone()));
                }
            }
        }
    }
}

impl Folder {
    fn left_by(&self, crash: Crash, rng: &mut SeededRng) -> Names {
        let mut names = self.synced.clone();
        match crash {
            Crash::Killed => return self.now.clone(),
            Crash::OnlySynced => {}
            Crash::SomeInOrder => {
                let some = rng.below(self.since.len() as u64 + 1) as usize;
                self.since[..some].iter().for_each(|naming| naming.apply(&mut names));
            }
            Crash::Anything => {
                for naming in &self.since {
                    match naming {
                        Naming::Rename(_, to, entry) if rng.once_in(4) => {
                            names.insert(to.clone(), *entry);
                        }
                        naming if rng.once_in(2) => naming.apply(&mut names),
                        _ => {}
                    }
                }
            }
        }
        names
    }
}

impl Content {
    fn left_by(&self, crash: Crash, rng: &mut SeededRng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        match crash {
            Crash::Killed => return self.now.clone(),
            Crash::OnlySynced => {}
            Crash::SomeInOrder | Crash::Anything => {
                let some = rng.below(self.since.len() as u64 + 1) as usize;
                let mut unspoilt = bytes.len();
                for change in &self.since[..some] {
                    change.apply(&mut bytes);
                    unspoilt = unspoilt.min(bytes.len());
                }
                if let Some(Change::Write(written)) = self.since.get(some) {
                    let torn = rng.below(written.len() as u64 + 1) as usize;
                    bytes.extend_from_slice(&written[..torn]);
                }
                if rng.once_in(2) {
                    spoil(&mut bytes[unspoilt..], rng);
                }
            }
        }
        bytes
    }
}

/// Some of what was not synced never came to the disk, though the file is as long as if it had.
fn spoil(unsynced: &mut [u8], rng: &mut SeededRng) {
    // Smaller than any real one, so that short files have several.
    const PAGE: usize = 256;
    for page in unsynced.chunks_mut(PAGE) {
        match rng.below(4) {
            0 => page.fill(0),
            1 => page.iter_mut().for_each(|byte| *byte = rng.next() as u8),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        PathBuf::from(name)
    }

    fn disk(steps: &[Step]) -> Model {
        let mut model = Model::default();
        steps.iter().for_each(|step| model.apply(step));
        model
    }

    fn left(model: &Model, crash: Crash) -> Image {
        model.left_by(crash, None, &mut SeededRng::new(1))
    }

    #[test]
    fn a_killed_process_takes_nothing_along() {
        let model = disk(&[Step::Create(path("a"), 0), Step::Write(0, b"text".to_vec())]);
        assert_eq!(left(&model, Crash::Killed).file(Path::new("a")), Some(&b"text"[..]));
        assert_eq!(left(&model, Crash::OnlySynced), Image::default());
    }

    #[test]
    fn a_file_and_its_name_are_durable_by_a_sync_each() {
        let mut steps = vec![Step::Create(path("a"), 0), Step::Write(0, b"text".to_vec())];
        steps.push(Step::Sync(0));
        assert_eq!(left(&disk(&steps), Crash::OnlySynced), Image::default());
        steps.push(Step::SyncFolder(path("")));
        steps.push(Step::Write(0, b" and more".to_vec()));
        let image = left(&disk(&steps), Crash::OnlySynced);
        assert_eq!(image.file(Path::new("a")), Some(&b"text"[..]));
    }

    #[test]
    fn a_rename_that_was_not_synced_leaves_the_old_file_or_the_new_one() {
        let steps = [
            Step::Create(path("a"), 0),
            Step::Write(0, b"old".to_vec()),
            Step::Sync(0),
            Step::Create(path("b"), 1),
            Step::Write(1, b"new".to_vec()),
            Step::Sync(1),
            Step::SyncFolder(path("")),
            Step::Rename(path("b"), path("a")),
        ];
        let (model, mut rng) = (disk(&steps), SeededRng::new(1));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let image = model.left_by(Crash::Anything, None, &mut rng);
            seen.insert((image.file(Path::new("a")).unwrap().to_vec(), image.0.len()));
        }
        let (old, new) = (b"old".to_vec(), b"new".to_vec());
        assert_eq!(Vec::from_iter(seen), [(new.clone(), 1), (new, 2), (old, 2)]);
    }

    #[test]
    fn what_was_synced_is_never_spoilt() {
        let mut model = disk(&[Step::Create(path("a"), 0), Step::SyncFolder(path(""))]);
        model.apply(&Step::Write(0, b"synced".to_vec()));
        model.apply(&Step::Sync(0));
        model.apply(&Step::Write(0, vec![b'x'; 1000]));
        let mut rng = SeededRng::new(1);
        for _ in 0..100 {
            let image = model.left_by(Crash::Anything, None, &mut rng);
            assert!(image.file(Path::new("a")).unwrap().starts_with(b"synced"));
        }
    }
}
