//! The resources of jobs that one subscriber wants to be told of.

use std::collections::HashMap;

use crate::core::job::{JobId, JobRecord};
use crate::core::jobs::Following;
use crate::core::manager::JobManager;
use crate::mcp::resources::Part;

#[derive(Debug)]
pub(super) struct Watched {
    following: Following,
    uris: HashMap<JobId, Vec<(String, Part)>>,
}

impl Watched {
    pub(super) fn new(manager: JobManager) -> Self {
        Self { following: Following::new(manager), uris: HashMap::new() }
    }

    /// Watches a resource from where `job` stands.
    pub(super) fn add(&mut self, uri: String, part: Part, job: &JobRecord) {
        self.following.add(job);
        self.watch(uri, part, job);
    }

    /// As [`add`](Self::add), and says at once what may never be said again.
    pub(super) fn add_and_tell(&mut self, uri: String, part: Part, job: &JobRecord) {
        self.following.add_and_tell(job);
        self.uris.entry(job.id).or_default().push((uri, part));
    }

    fn watch(&mut self, uri: String, part: Part, job: &JobRecord) {
        if job.status().is_terminal() {
            return;
        }
        let uris = self.uris.entry(job.id).or_default();
        if !uris.iter().any(|(known, _)| *known == uri) {
            uris.push((uri, part));
        }
    }

    pub(super) fn remove(&mut self, uri: &str) {
        self.uris.retain(|id, uris| {
            uris.retain(|(known, _)| known != uri);
            if uris.is_empty() {
                self.following.remove(*id);
            }
            !uris.is_empty()
        });
    }

    /// Whether there is anything that may be told yet.
    pub(super) fn is_live(&self) -> bool {
        !self.following.is_empty()
    }

    /// Waits until resources have changed, and returns their names. Never returns where none can.
    ///
    /// # Cancel safety
    /// What was not returned is told by the next call.
    pub(super) async fn next(&mut self) -> Vec<String> {
        loop {
            let mut changed = Vec::new();
            for job in self.following.next().await {
                let ended = job.status().is_terminal();
                let told = |part| part == Part::Status || ended;
                let uris = self.uris.get(&job.id).map(Vec::as_slice).unwrap_or_default();
                changed.extend(
                    uris.iter().filter(|(_, part)| told(*part)).map(|(uri, _)| uri.clone()),
                );
                if ended {
                    self.uris.remove(&job.id);
                }
            }
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}
