//! Lists of jobs.

use std::sync::Arc;

use super::lost::Lost;
use super::{Error, Jobs};
use crate::core::job::{JobPage, JobQuery, JobRecord};
use crate::core::store::StoreError;

impl Jobs {
    /// The jobs that `query` asks for, newest first: of every server over the same store, unless it names one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, query: JobQuery) -> Result<JobPage, Error> {
        self.local.ready().await;
        let lost = if query.statuses.is_empty() {
            Vec::new()
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
    async fn page_with(&self, lost: &[Lost], query: &JobQuery) -> Result<JobPage, StoreError> {
        let limit = query.limit.map(|limit| limit.saturating_add(lost.len()));
        let stored = self.local.store.list(JobQuery { limit, ..query.clone() }).await?;
        let is_lost = |job: &Arc<JobRecord>| lost.iter().any(|lost| lost.stored.id == job.id);
        let others = stored.jobs.into_iter().filter(|job| !is_lost(job));
        let mut page = query.select(others.chain(lost.iter().map(|lost| Arc::clone(&lost.shown))));
        page.total = stored.total.map(|total| {
            let count = |job: fn(&Lost) -> &JobRecord| {
                lost.iter().filter(|lost| query.matches(job(lost))).count()
            };
            total.saturating_sub(count(|lost| &lost.stored)) + count(|lost| &lost.shown)
        });
        Ok(page)
    }
}
