//! What this process knows of the folder: the table, and how far it has read the journal that the table comes from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::folder::Paths;
use super::lock::Held;
use super::log::{Batch, Found, Journal, Left};
use super::view_format::{self, Leftovers, Parsed};
use crate::core::job::JobId;
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::store::table::Table;
use crate::core::store::table::entry::Kept;

/// Shared by the writer, the view and the readers; held for as long as it takes to look, never while a disk is waited
/// for by the writer.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Known>>);

impl Shared {
    pub(super) fn new(known: Known) -> Self {
        Self(Arc::new(Mutex::new(known)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) table: Table,
    pub(super) leftovers: Leftovers,
    pub(super) journal: Journal,
    /// The writer of this process is appending what is not to be seen before it is synced.
    pub(super) appending: bool,
    /// The journal may hold what was refused: it is not read on before it is known whether anybody has built upon that,
    /// and is replaced then.
    pub(super) left: Option<Left>,
    /// Another process put this journal in place, and may have died before it was there for good: that has to be seen to
    /// before anything is appended.
    pub(super) unsettled: bool,
    /// What was known of a journal that another process has replaced, until the writer has seen to it that no job of
    /// this process is missing from the new one.
    pub(super) before: Option<Table>,
}

impl Known {
    /// Reads the folder as it is found at the start. Needs the lock.
    pub(super) fn open(paths: &Paths) -> Result<Self, StoreError> {
        let view = View::read(paths)?;
        match Journal::open(paths)? {
            Found::Journal(journal) => {
                let mut known = Self::load(journal, view)?;
                known.settle(paths)?;
                Ok(known)
            }
            Found::Damaged(error) => {
                let aside = paths.set_aside(&paths.journal)?;
                observe::error!(%error, aside = %aside.display(), "the journal is damaged from its beginning on; it was set aside");
                Self::begin(paths, view)
            }
            Found::Nothing => Self::begin(paths, view),
        }
    }

    /// A folder without a journal: the view is all there is, and the journal is begun with it.
    fn begin(paths: &Paths, view: View) -> Result<Self, StoreError> {
        let View { mut table, leftovers, .. } = view;
        table.write_anew();
        let journal = Journal::create(paths, table.jobs(), &leftovers, None)?;
        Ok(Self { unsettled: false, ..Self::of(table, leftovers, journal) })
    }

    /// What was read of a journal that somebody else wrote.
    const fn of(table: Table, leftovers: Leftovers, journal: Journal) -> Self {
        let (appending, left, unsettled, before) = (false, None, true, None);
        Self { table, leftovers, journal, appending, left, unsettled, before }
    }

    /// Makes what others left as durable as what is acknowledged from now on. Needs the lock.
    ///
    /// That keeps nobody from taking away what it could not sync itself: an answer needs something appended behind it.
    fn settle(&mut self, paths: &Paths) -> Result<(), StoreError> {
        if self.unsettled {
            self.journal.sync()?;
            paths.sync_folder_of(&paths.journal)?;
            self.unsettled = false;
        }
        Ok(())
    }

    /// Reads a journal: from where the view ends, where the view is of this journal, else from its beginning.
    fn load(mut journal: Journal, view: View) -> Result<Self, StoreError> {
        let (mut table, mut leftovers) = match view.position {
            Some(position) if journal.start_from(position, view.length) => {
                (view.table, view.leftovers)
            }
            _ => Default::default(),
        };
        if !journal.read_on(&mut table, &mut leftovers)? {
            // The view told of a place that is not the end of a line.
            journal.start_over();
            (table, leftovers) = Default::default();
            journal.read_on(&mut table, &mut leftovers)?;
        }
        Ok(Self::of(table, leftovers, journal))
    }

    /// Whether a record says that the job's result is in a file; or something may say so that was not understood, a line or
    /// an entry of a later version.
    pub(super) fn names_result(&self, id: JobId) -> bool {
        if self.table.find(id).is_some_and(Kept::has_result_file) {
            return true;
        }
        let id = id.to_string();
        let entries = &self.leftovers.entries;
        self.journal.has_unread(id.as_bytes())
            || entries.iter().any(|entry| entry.to_string().contains(&id))
    }

    /// Whether nothing is read on just now, so that what others have written is not known.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.appending || self.left.is_some()
    }

    /// Whether another process has written since.
    pub(super) fn is_behind(&self) -> bool {
        !self.is_at_rest() && (self.journal.has_grown() || self.journal.is_replaced())
    }

    /// Takes in what other processes have written. A journal that is gone or damaged changes nothing of what is known;
    /// the next writer sees to it.
    pub(super) fn catch_up(&mut self, paths: &Paths) -> Result<(), StoreError> {
        if self.is_at_rest() {
            return Ok(());
        }
        if !self.journal.is_replaced()
            && self.journal.read_on(&mut self.table, &mut self.leftovers)?
        {
            return Ok(());
        }
        if let Found::Journal(journal) = Journal::open(paths)? {
            self.replace(Self::load(journal, View::default())?);
        }
        Ok(())
    }

    /// Goes over to another journal. What was known before is remembered where the other does not continue this one: what
    /// a continued journal lacks has been removed.
    pub(super) fn replace(&mut self, now: Self) {
        let then = std::mem::replace(self, now);
        self.before = if self.journal.continues(&then.journal) {
            then.before
        } else {
            Some(then.before.unwrap_or(then.table))
        };
        // Whoever put it there has just written it anew. To take it for a long one would have two processes shorten it in
        // turn, at each change.
        self.journal.put_off();
    }

    /// As [`catch_up`](Self::catch_up), for whoever is about to append, and so has the lock: afterwards there is a
    /// journal, and all of it is known.
    pub(super) fn catch_up_to_append(
        &mut self,
        paths: &Paths,
        held: &Held<'_>,
    ) -> Result<CaughtUp, StoreError> {
        // What was refused counts for nothing where it is the last that stands there. Where others have appended behind it,
        // they knew of it, and may have told somebody what it says: then it stands.
        let is_void = match &self.left {
            Some(left) => self.journal.ends_with_left(left),
            None => Ok(false),
        };
        // Also where the journal was replaced or removed: it is held open, and was appended to until then.
        let read_on = match is_void {
            Ok(false) => self.journal.read_on(&mut self.table, &mut self.leftovers),
            decided => decided,
        };
        let replaced = self.journal.is_replaced();
        if !replaced && self.left.is_none() && matches!(read_on, Ok(true)) {
            self.settle(paths)?;
            return Ok(CaughtUp::SameJournal);
        }
        if !held.is_new() {
            return Ok(CaughtUp::NotYet);
        }
        match Journal::open(paths)? {
            // Where what others appended after it could not be read, the refused change comes back rather than that
            // theirs is lost.
            Found::Journal(_) if !replaced && matches!(read_on, Ok(true)) => {}
            Found::Journal(journal) => {
                let mut now = Self::load(journal, View::default())?;
                now.settle(paths)?;
                self.replace(now);
                return Ok(CaughtUp::AnotherJournal);
            }
            Found::Damaged(error) => {
                let aside = paths.set_aside(&paths.journal)?;
                observe::error!(%error, aside = %aside.display(), "the journal was damaged; it was set aside, and what is known is written anew");
            }
            Found::Nothing => {
                observe::warn!(path = %paths.journal.display(), "the journal was removed; what is known is written anew");
            }
        }
        self.journal =
            Journal::create(paths, self.table.jobs(), &self.leftovers, Some(&self.journal))?;
        (self.left, self.unsettled) = (None, false);
        Ok(CaughtUp::AnotherJournal)
    }

    /// What there is, with a batch that this process has appended to `journal` and could not sync, and that others may have
    /// built upon: all of it made durable in another way. Needs the lock. `None`, where the batch is not there any more.
    pub(super) fn rescue(
        paths: &Paths,
        journal: &Journal,
        batch: &Batch,
    ) -> Result<Option<Self>, StoreError> {
        let Found::Journal(found) = Journal::open(paths)? else { return Ok(None) };
        if !found.says(batch, journal)? {
            return Ok(None);
        }
        let in_doubt = found.is_same_file(journal);
        let mut now = Self::load(found, View::default())?;
        if in_doubt {
            // After a sync that failed nobody can tell what of the file is on disk; another sync may say that all is well.
            now.journal =
                Journal::create(paths, now.table.jobs(), &now.leftovers, Some(&now.journal))?;
            now.unsettled = false;
        } else {
            now.settle(paths)?;
        }
        Ok(Some(now))
    }
}

/// What whoever is about to append has caught up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CaughtUp {
    SameJournal,
    AnotherJournal,
    /// Nothing: another journal is there, perhaps in another folder. That is for whoever holds the lock that is there now.
    NotYet,
}

/// What a `jobs.json` says.
#[derive(Debug, Default)]
struct View {
    table: Table,
    leftovers: Leftovers,
    position: Option<view_format::Position>,
    /// In bytes.
    length: u64,
}

impl View {
    /// Reads it. One that cannot be understood is set aside. Needs the lock.
    fn read(paths: &Paths) -> Result<Self, StoreError> {
        let Some(text) = paths.read_view()? else { return Ok(Self::default()) };
        match view_format::parse(&text) {
            Ok(Parsed::Document { table, leftovers, position }) => {
                Ok(Self { table, leftovers, position, length: text.len() as u64 })
            }
            Ok(Parsed::LaterVersion(found)) => {
                let path = paths.jobs.clone();
                Err(StoreError::LaterVersion { path, found, known: view_format::VERSION })
            }
            Err(error) => {
                let aside = paths.set_aside(&paths.jobs)?;
                observe::error!(%error, aside = %aside.display(), "jobs.json is damaged; it was set aside, and is written anew from the journal");
                Ok(Self::default())
            }
        }
    }
}
