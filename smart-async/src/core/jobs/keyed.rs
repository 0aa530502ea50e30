//! The job, or the call that ended inline, which has an idempotency key.

use std::sync::Arc;

use super::{Error, Jobs};
use crate::core::job::{JobId, JobRecord};
use crate::core::store::StoreError;

impl Jobs {
    /// As [`status`](Self::status), also of a call that is no job; `None` where it is gone.
    pub(crate) async fn keyed(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.local.ready().await;
        let found = self.local.store.get(id).await?;
        let known: Vec<_> = found.into_iter().collect();
        self.recover_lost(&known).await;
        self.account_for(id).await?;
        let found = self.local.store.get(id).await?;
        Ok(found.map(|job| self.as_of_now(job)))
    }

    /// As [`status_with_result`](Self::status_with_result), also of a call that is no job.
    pub(crate) async fn keyed_with_result(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        let _pin = self.pin(&[id]);
        let job = self.keyed(id).await?.ok_or(Error::NotFound(id))?;
        if !job.result_location.is_in_file() {
            return Ok(job);
        }
        let _turn = self.local.result_reads.acquire().await;
        let job = self.local.store.get_with_result(id).await?.ok_or(Error::NotFound(id))?;
        Ok(self.as_of_now(job))
    }
}
