//! A journal that was read, and what it says.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::folder::Paths;
use super::leftovers::Leftovers;
use super::log::Journal;
use super::view_format::{Checksum, View};
use crate::core::job::JobId;
use crate::core::store::StoreError;
use crate::core::store::table::{States, Table};

pub(super) struct Loaded {
    pub(super) journal: Journal,
    pub(super) table: Table,
    pub(super) leftovers: Leftovers,
}

impl Loaded {
    /// Reads a journal: from the end of the view, where the view shows this journal, else from its beginning.
    pub(super) fn read(
        mut journal: Journal,
        view: View,
        files: &States,
    ) -> Result<Self, StoreError> {
        let View { table, leftovers, position, states, length, checksum } = view;
        let values = values_of(&states, files);
        let mut loaded = match (position, values) {
            (Some(position), Some(values))
                if checksum != Checksum::Wrong && journal.start_from(&position, length) =>
            {
                let mut table = table;
                table.take_in(Vec::new(), values);
                Self { journal, table, leftovers }
            }
            _ => Self { journal, table: Table::default(), leftovers: Leftovers::default() },
        };
        // A position that is none, after a writer has cut off what stood there, is found again with the next look.
        if let Some(mut replayed) = loaded.journal.read_on()? {
            loaded.leftovers.extend(std::mem::take(&mut replayed.leftovers));
            replayed.take_into(&mut loaded.table);
        }
        Ok(loaded)
    }

    /// Makes the journal durable that another process has written, and its name. Needs the folder's lock.
    pub(super) fn settle(&mut self, paths: &Paths) -> Result<(), StoreError> {
        self.journal.settle()?;
        self.journal.settle_name(paths)
    }

    /// Puts a new journal in its place that says the same. Needs the folder's lock.
    pub(super) fn renew(&mut self, paths: &Paths) -> Result<(), StoreError> {
        let (contents, lineage) = (self.table.contents(), self.journal.lineage().continued());
        self.journal = self.journal.replaced_by(paths, contents, &self.leftovers, lineage)?;
        Ok(())
    }
}

/// The values of the states that a view names, where their files hold them.
fn values_of(states: &BTreeMap<String, JobId>, files: &States) -> Option<States> {
    let value = |(name, job): (&String, &JobId)| {
        let (field, state) = files.iter().find(|(field, _)| field.as_str() == name)?;
        (state.job_id == *job).then(|| (field.clone(), Arc::clone(state)))
    };
    states.iter().map(value).collect()
}
