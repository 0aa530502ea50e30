//! Lists of jobs.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Error, Jobs};
use crate::core::job::{JobId, JobPage, JobQuery, JobRecord};
use crate::core::store::StoreError;

impl Jobs {
    /// The jobs that `query` asks for, newest first: of every server over the same store, unless it names one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, query: JobQuery) -> Result<JobPage, Error> {
        self.local.ready().await;
        let lost = if query.statuses.is_empty() {
            HashMap::new()
        } else {
            self.lost(query.server.clone()).await?
        };
        let mut page = if lost.is_empty() {
            self.page(&query).await?
        } else {
            self.page_with(&lost, &query).await?
        };
        for job in &mut page.jobs {
            *job = self.as_of_now(Arc::clone(job));
        }
        Ok(page)
    }

    /// A page of the store, with its lost jobs as recovery will leave them.
    async fn page(&self, query: &JobQuery) -> Result<JobPage, StoreError> {
        let mut page = self.local.store.list(query.clone()).await?;
        if !self.recover_lost(&page.jobs).await.is_empty() {
            page = self.local.store.list(query.clone()).await?;
        }
        self.show_lost(&mut page.jobs).await?;
        page.jobs.retain(|job| query.matches(job));
        Ok(page)
    }

    /// A page of jobs in certain statuses, of which a lost one is in another status than its record says.
    async fn page_with(
        &self,
        lost: &HashMap<JobId, Arc<JobRecord>>,
        query: &JobQuery,
    ) -> Result<JobPage, StoreError> {
        // One read of all of them, because recovery may change records between two.
        let all = JobQuery {
            statuses: Vec::new(),
            after: None,
            limit: None,
            with_total: false,
            ..query.clone()
        };
        let stored = self.local.store.list(all).await?;
        Ok(query.select(stored.jobs.into_iter().map(|job| match lost.get(&job.id) {
            Some(shown) if !job.status().is_terminal() => Arc::clone(shown),
            _ => job,
        })))
    }
}
