//! Lists of jobs.

use std::sync::Arc;

use super::{Error, Jobs};
use crate::core::job::{JobPage, JobQuery};

impl Jobs {
    /// The jobs that `query` asks for, newest first: of every server over the same store, unless it names one.
    ///
    /// A condition on the status is one on the record. So a job whose owner has died is listed as what its record says, and a
    /// job that is shown otherwise than the condition wants is left out.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, query: JobQuery) -> Result<JobPage, Error> {
        self.local.ready().await;
        let mut page = self.local.store.list(query.clone()).await?;
        if !self.recover_lost(&page.jobs).await.is_empty() {
            page = self.local.store.list(query.clone()).await?;
        }
        self.show_lost(&mut page.jobs).await?;
        page.jobs.retain(|job| query.matches(job));
        for job in &mut page.jobs {
            *job = self.as_of_now(Arc::clone(job));
        }
        Ok(page)
    }
}
