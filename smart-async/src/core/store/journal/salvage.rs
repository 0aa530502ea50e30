//! A start that finds a part of the journal lost: its end, its first line, or the whole file. It puts together what the journal and
//! the view still have, into a new journal. Copies of both are kept for a person, and while they are there, no result file is
//! removed that no record names: a lost line may have named it.
//!
//! A view goes up to a position of a journal and shows all that was there by then. So it is right about everything before that
//! position, also about jobs that it lacks: these were removed. Where nothing tells which of the two is the later one, a job is
//! taken from either; one that the journal says was removed is not.

use serde_json::Value;

use super::folder::Paths;
use super::leftovers::Leftovers;
use super::lineage::{Agreement, Lineage};
use super::loaded::Loaded;
use super::log::{DamagedJournal, Found, Journal};
use super::replay::{Replayed, replay};
use super::view_format::{Checksum, View};
use crate::core::job::JobRecord;
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::store::table::Table;
use crate::core::store::table::entry::Entry;

/// The finding of a start.
pub(super) enum Look {
    /// A journal that has everything that the view shows.
    Whole(Box<Journal>),
    Incomplete(Box<Loss>),
}

/// A journal that lacks something, or none.
pub(super) enum Loss {
    /// There is no journal.
    Missing,
    /// Its first line cannot be read.
    Damaged(DamagedJournal),
    /// The view is right about everything up to its position.
    LostEnd(Journal),
    /// Nothing tells which of the two is later.
    Apart(Journal),
}

/// Compares the journal that was found with the view.
pub(super) fn look(found: Found, view: &View) -> Result<Look, StoreError> {
    let loss = match found {
        Found::Nothing => Loss::Missing,
        Found::Damaged(damaged) => Loss::Damaged(damaged),
        Found::Journal(journal) => {
            let agreement = view.position.as_ref().map(|position| journal.agreement(position));
            match agreement.transpose()? {
                None | Some(Agreement::Whole) => return Ok(Look::Whole(journal)),
                // A view that a person or a bad disk changed may lack jobs that were never removed.
                Some(Agreement::LostEnd) if view.checksum == Checksum::Right => {
                    Loss::LostEnd(*journal)
                }
                Some(_) => Loss::Apart(*journal),
            }
        }
    };
    Ok(Look::Incomplete(Box::new(loss)))
}

impl Loss {
    /// Begins a new journal with what is left. Needs the folder's lock.
    pub(super) fn salvage(self, paths: &Paths, view: View) -> Result<Loaded, StoreError> {
        let View { mut table, mut leftovers, position, .. } = view;
        let mut lineage = None;
        let mut unread = Vec::new();
        let mut read = |text: &[u8]| {
            let mut replayed = replay(text);
            take_in_leftovers(&mut leftovers, std::mem::take(&mut replayed.leftovers));
            unread.append(&mut replayed.unread);
            replayed
        };
        let what = match &self {
            Self::Missing => "the journal is missing".to_owned(),
            Self::Damaged(DamagedJournal { text, reason }) => {
                take_beside(&mut table, read(text));
                // They stand in the copy; it may be no journal at all.
                unread.clear();
                format!("the journal is damaged from its beginning on ({reason})")
            }
            Self::LostEnd(journal) => {
                let text = journal.text()?;
                let (before, after) = match &position {
                    Some(position) if position.journal == journal.lineage().id => {
                        split_at(&text, position.position.saturating_sub(journal.header_length()))
                    }
                    _ => (&*text, &[][..]),
                };
                take_earlier(&mut table, read(before));
                read(after).take_into(&mut table);
                lineage = Some(journal.lineage());
                "the journal has lost its end".to_owned()
            }
            Self::Apart(journal) => {
                take_beside(&mut table, read(&journal.text()?));
                lineage = Some(journal.lineage());
                "meta/jobs.json is not a view of this journal".to_owned()
            }
        };
        // The copies come first: wherever a crash comes, the next start finds the same.
        let is_missing = matches!(self, Self::Missing);
        let mut kept = Vec::new();
        if !is_missing {
            kept.push(paths.copy_aside(&paths.journal)?);
        }
        if position.is_some() {
            kept.push(paths.copy_aside(&paths.jobs)?);
        } else if is_missing && paths.has_results() {
            // An empty file, which says that there was one.
            kept.push(paths.put_aside(&paths.journal, &[])?);
        }
        let lineage = Lineage::salvaged(lineage, position.as_ref());
        let contents = table.contents();
        let journal = Journal::begin(paths, contents, &leftovers, lineage, unread)?;
        if !kept.is_empty() {
            let jobs = contents.jobs.iter().count();
            observe::error!(
                jobs, copies = ?kept,
                "{what}; a new one has all jobs that it and meta/jobs.json still had. Others may be lost. No result file is removed while a copy is there"
            );
        }
        Ok(Loaded { journal, table, leftovers })
    }
}

/// The lines before a position, and those that begin at it or after it. The line around it, if any, counts among the latter.
fn split_at(text: &[u8], position: u64) -> (&[u8], &[u8]) {
    let position = usize::try_from(position).unwrap_or(usize::MAX);
    let Some(before) = text.get(..position) else { return (text, &[]) };
    let end = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    text.split_at(end)
}

/// Takes in lines that are earlier than the table: a job that it lacks was removed.
fn take_earlier(table: &mut Table, mut read: Replayed) {
    read.jobs.retain(|(id, job)| {
        let known = table.find(*id).map(Entry::record);
        job.as_ref().zip(known).is_some_and(|(job, known)| is_further(job.record(), known))
    });
    read.take_into(table);
}

/// Takes in lines that may be earlier or later than the table.
fn take_beside(table: &mut Table, mut read: Replayed) {
    read.jobs.retain(|(id, job)| {
        let known = table.find(*id).map(Entry::record);
        let both = job.as_ref().zip(known);
        both.is_none_or(|(job, known)| is_further(job.record(), known))
    });
    read.take_into(table);
}

/// Returns whether a record is a later one of the same job. An end is the last one.
fn is_further(record: &JobRecord, known: &JobRecord) -> bool {
    let rank =
        |record: &JobRecord| (record.status().is_terminal(), record.version, record.updated_at);
    rank(record) > rank(known)
}

/// Takes in parts that this version does not understand; the journal and the view may both have them.
fn take_in_leftovers(leftovers: &mut Leftovers, mut more: Leftovers) {
    more.entries.retain(|entry: &Value| !leftovers.entries.contains(entry));
    leftovers.extend(more);
}
