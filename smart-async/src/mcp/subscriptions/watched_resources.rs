//! The jobs' resources that one subscriber watches.

use std::collections::HashMap;

use crate::core::job::{JobId, JobRecord};
use crate::core::jobs::JobWatcher;
use crate::core::manager::JobManager;
use crate::mcp::resources::ResourcePart;

pub(super) struct WatchedResources {
    jobs: JobWatcher,
    uris: HashMap<JobId, Vec<(String, ResourcePart)>>,
}

impl WatchedResources {
    pub(super) fn new(manager: JobManager) -> Self {
        Self { jobs: JobWatcher::new(manager.jobs().clone()), uris: HashMap::new() }
    }

    /// Watches a resource from the state in `job` on. The resource of an ended job does not change any more.
    pub(super) fn add(&mut self, uri: String, part: ResourcePart, job: &JobRecord) {
        if !job.status().is_terminal() {
            self.jobs.add(job);
            self.insert(uri, part, job.id);
        }
    }

    /// As [`add`](Self::add), for a subscriber that may have read the resource before: a change that may be the last one
    /// (the job has ended, or asks something) is returned at once.
    pub(super) fn add_and_report(&mut self, uri: String, part: ResourcePart, job: &JobRecord) {
        self.jobs.add_and_report(job);
        self.insert(uri, part, job.id);
    }

    fn insert(&mut self, uri: String, part: ResourcePart, id: JobId) {
        let uris = self.uris.entry(id).or_default();
        if !uris.iter().any(|(known, _)| *known == uri) {
            uris.push((uri, part));
        }
    }

    pub(super) fn remove(&mut self, uri: &str) {
        self.uris.retain(|id, uris| {
            uris.retain(|(known, _)| known != uri);
            if uris.is_empty() {
                self.jobs.remove(*id);
            }
            !uris.is_empty()
        });
    }

    /// How many resources are watched.
    pub(super) fn count(&self) -> usize {
        self.uris.values().map(Vec::len).sum()
    }

    /// Returns whether a watched resource may still change.
    pub(super) fn is_live(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Waits until resources have changed, and returns their URIs. Never returns where no resource can change.
    ///
    /// # Cancel safety
    /// The next call returns the changes that a dropped call has not returned.
    pub(super) async fn next(&mut self) -> Vec<String> {
        loop {
            let mut changed = Vec::new();
            for job in self.jobs.next().await {
                let has_ended = job.status().is_terminal();
                // The result comes into being with the end.
                let has_changed = |part| part == ResourcePart::Status || has_ended;
                let uris = self.uris.get(&job.id).map(Vec::as_slice).unwrap_or_default();
                changed.extend(
                    uris.iter().filter(|(_, part)| has_changed(*part)).map(|(uri, _)| uri.clone()),
                );
                if has_ended {
                    self.uris.remove(&job.id);
                }
            }
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}
