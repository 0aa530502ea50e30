//! The records of a store in memory, and what is asked of them. What changes them is in `draft`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::job::{JobId, JobPage, JobQuery, JobRecord};

/// What becomes of jobs: their new record, or nothing where they are removed.
pub(super) type Changes = BTreeMap<JobId, Option<Arc<JobRecord>>>;

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    jobs: BTreeMap<JobId, Arc<JobRecord>>,
}

impl Table {
    pub(super) fn jobs(&self) -> impl ExactSizeIterator<Item = &Arc<JobRecord>> {
        self.jobs.values()
    }

    pub(super) fn find(&self, id: JobId) -> Option<&Arc<JobRecord>> {
        self.jobs.get(&id)
    }

    pub(super) fn list(&self, query: &JobQuery) -> JobPage {
        query.select(self.jobs().cloned())
    }

    /// Takes over what a draft, or another process, has made of the jobs.
    pub(super) fn commit(&mut self, changes: Changes) {
        for (id, change) in changes {
            match change {
                Some(job) => self.jobs.insert(id, job),
                None => self.jobs.remove(&id),
            };
        }
    }

    /// The jobs of `server` that have not ended.
    pub(super) fn unfinished(&self, server: &str) -> Vec<Arc<JobRecord>> {
        let live = self.jobs().filter(|job| job.server == server && !job.status().is_terminal());
        live.cloned().collect()
    }
}
