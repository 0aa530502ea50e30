//! The knowledge of this process about the folder: the table, and how far the journal was read into it.
//!
//! Two locks guard it. The lock of the table is short: async callers take it, and no thread reads a file or parses under
//! it. The lock of the source is for blocking threads (the writer thread, and those that catch up); it is held across reads
//! of the journal, and by the writer thread for a whole batch. A thread that needs both takes the source first.

use std::sync::Arc;

use super::folder::Paths;
use super::leftovers::Leftovers;
use super::lineage::Lineage;
use super::loaded::Loaded;
use super::lock::FolderLock;
use super::log::{Found, Journal, Mark};
use super::replay::Replayed;
use super::salvage::{self, Look};
use super::states;
use super::view_format::{self, ParsedView, View};
use crate::core::job::{JobId, Timestamp};
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::store::news::{News, NewsFeed};
use crate::core::store::table::entry::Entry;
use crate::core::store::table::{Changes, Contents, States, Table};
use crate::core::sync::{Mutex, MutexGuard};

#[derive(Debug, Clone)]
pub(super) struct Replica(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Mutex<Source>,
    known: Mutex<Known>,
    news: NewsFeed,
}

/// The part that async callers look at.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) table: Table,
    mark: Mark,
    /// Whether the writer thread is appending: others read what was there before, until it is synced.
    pub(super) appending: bool,
}

/// Where the table comes from.
#[derive(Debug)]
pub(super) struct Source {
    paths: Paths,
    pub(super) journal: Journal,
    leftovers: Leftovers,
    /// The table of a journal that another process has replaced by one that does not continue it, until the writer thread
    /// has written the unfinished jobs of this process into the new one.
    pub(super) previous_table: Option<Table>,
}

/// The outcome of catching up under the folder's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CaughtUp {
    SameJournal,
    AnotherJournal,
    /// Another journal is there, perhaps in another folder, whose lock has to be taken first.
    NeedsNewLock,
}

impl Replica {
    /// Reads the folder at the start. Needs the folder's lock.
    pub(super) fn open(paths: &Paths) -> Result<Self, StoreError> {
        let view = read_view(paths)?;
        let files = states::read_all(paths)?;
        let mut loaded = match salvage::look(Journal::open(paths)?, &view)? {
            Look::Whole(journal) => Loaded::read(*journal, view, &files)?,
            Look::Incomplete(loss) => loss.salvage(paths, view)?,
        };
        loaded.journal.confirm_what_was_read();
        let found = take_in_files(&mut loaded.table, files, paths.clock.now());
        if found || loaded.journal.is_of_earlier_version() || loaded.settle(paths).is_err() {
            loaded.renew(paths)?;
        }
        let Loaded { journal, table, leftovers } = loaded;
        let known = Known { table, mark: journal.mark(), appending: false };
        let source = Source { paths: paths.clone(), journal, leftovers, previous_table: None };
        let (source, known) = (Mutex::new(source), Mutex::new(known));
        Ok(Self(Arc::new(Shared { source, known, news: NewsFeed::default() })))
    }

    /// The news of the table: what this process commits, and what it reads of others.
    pub(super) fn news(&self) -> &NewsFeed {
        &self.0.news
    }

    /// The table, for as long as it takes to look.
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock()
    }

    /// Where the table comes from. Blocks for as long as another thread reads the journal or appends to it.
    pub(super) fn source(&self) -> MutexGuard<'_, Source> {
        self.0.source.lock()
    }

    /// Returns whether another process has written since.
    pub(super) fn is_behind(&self) -> bool {
        let mark = {
            let known = self.known();
            if known.appending {
                return false;
            }
            known.mark.clone()
        };
        mark.is_behind()
    }

    /// Takes in what other processes have written. Blocks. Where the journal is gone, damaged or cut, the table stays as it
    /// is; the writer thread sees to that with its next batch.
    pub(super) fn catch_up(&self) -> Result<(), StoreError> {
        let mut source = self.source();
        if !source.journal.is_replaced()
            && let Some(replayed) = source.journal.read_on()?
        {
            self.take_in(&mut source, replayed);
            return Ok(());
        }
        if let Found::Journal(journal) = Journal::open(&source.paths)?
            && !journal.lacks_a_part_of(&source.journal)
        {
            let loaded = Loaded::read(*journal, View::default(), &States::new())?;
            self.replace(&mut source, loaded);
        }
        Ok(())
    }

    /// Like [`catch_up`](Self::catch_up), for the writer thread, which has the folder's lock: afterwards there is a journal,
    /// and all of it is known.
    pub(super) fn catch_up_to_append(
        &self,
        source: &mut Source,
        lock: &FolderLock,
    ) -> Result<CaughtUp, StoreError> {
        // A journal that was replaced or removed is read as well: it is held open, and was appended to until then.
        let read = source.journal.confirm();
        let is_whole = matches!(read, Ok(Some(_)));
        if let Ok(Some(replayed)) = read {
            self.take_in(source, replayed);
        }
        if is_whole && !source.journal.is_replaced() {
            let Source { paths, journal, .. } = source;
            journal.settle_name(paths)?;
            return Ok(CaughtUp::SameJournal);
        }
        if !lock.is_new() {
            return Ok(CaughtUp::NeedsNewLock);
        }
        self.reopen(source)?;
        Ok(CaughtUp::AnotherJournal)
    }

    /// Goes over to the journal that stands in the folder, or writes what is known anew where there is none. Needs the
    /// folder's lock.
    fn reopen(&self, source: &mut Source) -> Result<(), StoreError> {
        let paths = source.paths.clone();
        match Journal::open(&paths)? {
            Found::Journal(journal) if journal.lacks_a_part_of(&source.journal) => {
                let aside = paths.copy_aside(&paths.journal)?;
                observe::error!(aside = %aside.display(), "the journal has lost its end; it was copied, and what is known is written anew");
                return self
                    .renew_as(source, Lineage::salvaged(Some(source.journal.lineage()), None));
            }
            Found::Journal(journal) => {
                let mut loaded = Loaded::read(*journal, View::default(), &States::new())?;
                if loaded.journal.is_of_earlier_version() || loaded.settle(&paths).is_err() {
                    loaded.renew(&paths)?;
                }
                self.replace(source, loaded);
                return Ok(());
            }
            Found::Damaged(damaged) => {
                let aside = paths.copy_aside(&paths.journal)?;
                let error = damaged.reason;
                observe::error!(%error, aside = %aside.display(), "the journal was damaged; it was copied, and what is known is written anew");
            }
            Found::Nothing => {
                observe::warn!(path = %paths.journal.display(), "the journal was removed; what is known is written anew");
            }
        }
        self.renew(source)
    }

    /// Puts a new journal in place that says what is known, and nothing else. Needs the folder's lock, and everything read.
    pub(super) fn renew(&self, source: &mut Source) -> Result<(), StoreError> {
        self.renew_as(source, source.journal.lineage().continued())
    }

    /// Puts a new journal in place that says what is known and was changed: where a removal fits into no longer journal, it may fit
    /// into a shorter one. Needs the folder's lock, and everything read.
    pub(super) fn renew_with(
        &self,
        source: &mut Source,
        changes: &Changes,
    ) -> Result<(), StoreError> {
        let contents = self.known().table.contents().after(changes);
        self.replace_by(source, source.journal.lineage().continued(), &contents)
    }

    fn renew_as(&self, source: &mut Source, lineage: Lineage) -> Result<(), StoreError> {
        let contents = self.known().table.contents().clone();
        self.replace_by(source, lineage, &contents)
    }

    fn replace_by(
        &self,
        source: &mut Source,
        lineage: Lineage,
        contents: &Contents,
    ) -> Result<(), StoreError> {
        let Source { paths, journal, leftovers, .. } = &*source;
        source.journal = journal.replaced_by(paths, contents, leftovers, lineage)?;
        self.known().mark = source.journal.mark();
        Ok(())
    }

    /// Reads the journal as it is on disk, and puts a new one in place that says that: after a failed sync the old file
    /// cannot be relied upon, since the system may have dropped what it could not write. Needs the folder's lock.
    pub(super) fn recover(&self, source: &mut Source) -> Result<(), StoreError> {
        if let Found::Journal(journal) = Journal::open(&source.paths)? {
            let mut loaded = Loaded::read(*journal, View::default(), &States::new())?;
            loaded.renew(&source.paths)?;
            self.replace(source, loaded);
            return Ok(());
        }
        self.reopen(source)
    }

    fn take_in(&self, source: &mut Source, mut replayed: Replayed) {
        source.leftovers.extend(std::mem::take(&mut replayed.leftovers));
        let mut known = self.known();
        if self.news().has_readers() {
            for (id, job) in &replayed.jobs {
                let record = job.as_ref().map(|job| &**job.record());
                self.news().tell_change(*id, record, &known.table);
            }
        }
        replayed.take_into(&mut known.table);
        known.mark = source.journal.mark();
    }

    /// Makes changes that have been appended to the journal.
    pub(super) fn commit(&self, known: &mut Known, changes: Changes, source: &Source) {
        self.news().tell_changes(&changes, &known.table);
        known.table.commit(changes);
        known.mark = source.journal.mark();
    }

    /// Goes over to another journal. The table of the one before is kept where the new one does not continue it; a journal
    /// that continues it lacks only what was removed.
    fn replace(&self, source: &mut Source, loaded: Loaded) {
        let Loaded { mut journal, table, leftovers } = loaded;
        let continues = journal.continues(&source.journal);
        // Its writer has just written it anew. Two processes that took it for a long one would shorten it in turn, at each
        // change.
        journal.put_off_shortening();
        let table_before = {
            let mut known = self.known();
            known.mark = journal.mark();
            std::mem::replace(&mut known.table, table)
        };
        self.news().tell(News::Missed);
        (source.journal, source.leftovers) = (journal, leftovers);
        if !continues {
            source.previous_table.get_or_insert(table_before);
        }
    }
}

impl Source {
    /// Returns whether a record says that the result of the job is in a file, or whether something may say so that this
    /// version does not understand: a line or an entry of a later version.
    pub(super) fn names_result(&self, table: &Table, id: JobId) -> bool {
        if table.find(id).is_some_and(Entry::has_result_file) {
            return true;
        }
        let id = id.to_string();
        let entries = &self.leftovers.entries;
        self.journal.has_unread(id.as_bytes())
            || entries.iter().any(|entry| entry.to_string().contains(&id))
    }
}

/// Takes in the states whose files show a later completion than the journal does. Returns whether there are any.
fn take_in_files(table: &mut Table, files: States, now: Timestamp) -> bool {
    let mut news = files;
    news.retain(|field, state| {
        let known = table.states().get(field);
        known.is_none_or(|known| state.replaces(known, now))
    });
    let found = !news.is_empty();
    table.take_in(Vec::new(), news);
    found
}

/// Reads `jobs.json`. One that cannot be understood is set aside. Needs the folder's lock.
fn read_view(paths: &Paths) -> Result<View, StoreError> {
    let Some(text) = paths.read_view()? else { return Ok(View::default()) };
    match view_format::parse(&text) {
        Ok(ParsedView::View(view)) => Ok(*view),
        Ok(ParsedView::LaterVersion(found)) => {
            let place = paths.jobs.display().to_string();
            Err(StoreError::LaterVersion { place, found, known: view_format::VERSION })
        }
        Err(error) => {
            let aside = paths.set_aside(&paths.jobs)?;
            observe::error!(%error, aside = %aside.display(), "meta/jobs.json is damaged; it was set aside, and is written anew from the journal");
            Ok(View::default())
        }
    }
}

/// Everything that the view thread shows.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) position: view_format::Position,
    pub(super) contents: Contents,
    pub(super) leftovers: Leftovers,
}

impl Snapshot {
    pub(super) fn of(source: &Source, known: &Known) -> Self {
        Self {
            position: source.journal.position_for_view(),
            contents: known.table.contents().clone(),
            leftovers: source.leftovers.clone(),
        }
    }
}
