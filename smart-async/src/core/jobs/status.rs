//! The records of jobs, as those who ask for them get them: where one stands at this moment, its result, lists; and prunes.

use std::sync::Arc;

use super::{Error, answer};
use crate::core::job::{
    JobId, JobOutput, JobPage, JobQuery, JobRecord, JobState, JobStatus, Prune, ResultLocation,
};
use crate::core::manager::JobManager;
use crate::core::runner::recover;
use crate::core::store::{Pruned, StoreError};

impl JobManager {
    /// Where a job stands, with its progress of this moment. A large result may be left out of it: then
    /// [`JobRecord::result_location`] says so, and [`status_with_result`](Self::status_with_result) has it.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn status(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        self.ready().await;
        let mut job = self.inner.store.get(id).await?.ok_or(Error::NotFound(id))?;
        if self.may_be_abandoned(&job) && recover::account_for_abandoned(self).await.contains(&id) {
            job = self.inner.store.get(id).await?.ok_or(Error::NotFound(id))?;
        }
        Ok(self.as_of_now(job))
    }

    /// As [`status`](Self::status), with what the job ended with, however large that is. Where
    /// [`JobRecord::result_location`] says of this one that it is elsewhere, it cannot be had here.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn status_with_result(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        let _reading = self.reading(&[id]);
        let job = self.status(id).await?;
        if !job.result_location.is_in_file() {
            return Ok(job);
        }
        let job = self.inner.store.get_with_result(id).await?.ok_or(Error::NotFound(id))?;
        Ok(self.as_of_now(job))
    }

    /// The result of a job that completed.
    ///
    /// # Errors
    /// [`Error::NotEnded`], [`Error::Failed`] or [`Error::Cancelled`] where it has none; [`Error::ResultGone`] where it
    /// cannot be had here; [`Error::NotFound`]; [`Error::Store`].
    pub async fn result(&self, id: JobId) -> Result<JobOutput, Error> {
        let job = self.status_with_result(id).await?;
        match &job.state {
            JobState::Completed { output, .. } => match why_gone(&job) {
                None => Ok(output.clone()),
                Some(reason) => Err(Error::ResultGone { id, reason }),
            },
            JobState::Failed { failure, .. } => {
                Err(Error::Failed { id, failure: Box::new(failure.clone()) })
            }
            JobState::Cancelled { .. } => Err(Error::Cancelled(id)),
            JobState::Pending { .. }
            | JobState::Running { .. }
            | JobState::InputRequired { .. } => Err(Error::NotEnded { id, status: job.status() }),
        }
    }

    /// The jobs that `query` asks for, newest first: of every server over the same folder, unless it names one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, query: JobQuery) -> Result<JobPage, Error> {
        self.ready().await;
        let mut page = self.inner.store.list(query.clone()).await?;
        if page.jobs.iter().any(|job| self.may_be_abandoned(job))
            && !recover::account_for_abandoned(self).await.is_empty()
        {
            page = self.inner.store.list(query).await?;
        }
        for job in &mut page.jobs {
            *job = self.as_of_now(Arc::clone(job));
        }
        Ok(page)
    }

    /// Removes ended jobs: of every server over the same folder, unless `prune` names one. Never touches a live job, nor
    /// one that somebody in this process waits for or reads just now.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        self.ready().await;
        Ok(self.prune_unread(prune).await?)
    }

    /// Prunes, but spares those that somebody in this process is about to read.
    pub(in crate::core) async fn prune_unread(
        &self,
        mut prune: Prune,
    ) -> Result<Pruned, StoreError> {
        prune.spare.extend(self.inner.readers.jobs());
        let pruned = self.inner.store.prune(prune).await?;
        self.forget_the_gone().await;
        Ok(pruned)
    }

    /// Forgets what was kept back of jobs that are gone, whoever removed them.
    async fn forget_the_gone(&self) {
        for id in self.inner.kept_back.jobs() {
            if matches!(self.inner.store.get(id).await, Ok(None)) {
                self.inner.kept_back.forget(id);
            }
        }
    }

    /// Whether a job of this server seems to run elsewhere. Whoever comes across one whose owner is dead accounts for it.
    fn may_be_abandoned(&self, job: &JobRecord) -> bool {
        !job.status().is_terminal()
            && job.spec.server == self.server()
            && job.owner != Some(self.inner.store.owner())
    }

    /// The record with the progress that the body has made by now, if it runs here, or with what was kept back of its
    /// end, if it ran here. The record itself is not touched.
    pub(crate) fn as_of_now(&self, job: Arc<JobRecord>) -> Arc<JobRecord> {
        if job.status().is_terminal() {
            return self.inner.kept_back.put_back(job);
        }
        let Some(live) = self.inner.live.get(job.id) else { return job };
        let job = answer::with_questions_of(&live, job);
        match live.context.progress.read() {
            Some(progress) => Arc::new(JobRecord { progress: Some(progress), ..(*job).clone() }),
            None => job,
        }
    }
}

/// Why the result of a job that completed cannot be had, where it cannot.
pub(crate) fn why_gone(job: &JobRecord) -> Option<&'static str> {
    match job.result_location {
        _ if job.status() != JobStatus::Completed => None,
        ResultLocation::InRecord => None,
        ResultLocation::InFile { .. } => Some("the file with its result is missing or damaged"),
        ResultLocation::InMemory => Some(
            "the result was not kept on disk (store_result = false or redact), and the server that had it has ended or \
             is another one",
        ),
    }
}
