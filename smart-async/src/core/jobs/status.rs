//! One job: its record at this moment, and its result.

use std::sync::Arc;

use super::{Error, Jobs};
use crate::core::job::{
    JobId, JobOutput, JobQuery, JobRecord, JobState, JobStatus, Question, ResultLocation,
    ResultPage,
};
use crate::core::local::LiveJob;
use crate::core::store::StoreError;

impl Jobs {
    /// The record of a job, with its progress of this moment where it runs in this process. A large result may be left out:
    /// then [`JobRecord::result_location`] says so, and [`status_with_result`](Self::status_with_result) has it.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn status(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        Ok(self.found(&[id]).await?.pop().ok_or(StoreError::NotFound(id))?)
    }

    /// The records of these jobs, in this order, by one read for all.
    pub(super) async fn all_of(&self, ids: &[JobId]) -> Result<Vec<Arc<JobRecord>>, Error> {
        let jobs = self.found(ids).await?;
        match ids.iter().find(|id| jobs.iter().all(|job| job.id != **id)) {
            Some(missing) => Err(Error::NotFound(*missing)),
            None => Ok(jobs),
        }
    }

    /// As [`all_of`](Self::all_of), without the jobs that are not there.
    pub(super) async fn found(&self, ids: &[JobId]) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.local.ready().await;
        let mut jobs = self.stored(ids).await?;
        let recovered = self.recover_lost(&jobs).await;
        if ids.iter().any(|id| recovered.contains(id)) {
            jobs = self.stored(ids).await?;
        }
        self.show_lost(&mut jobs).await?;
        Ok(jobs.into_iter().map(|job| self.as_of_now(job)).collect())
    }

    async fn stored(&self, ids: &[JobId]) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        let mut jobs = self.local.store.get_many(ids.to_vec()).await?;
        jobs.retain(|job| !job.call_open);
        Ok(jobs)
    }

    /// The place of a job in the line for its slot, from 1; `None` where it does not wait for one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn queue_place(&self, job: &JobRecord) -> Result<Option<usize>, Error> {
        if !job.waits_for_slot() {
            return Ok(None);
        }
        let pending = JobQuery {
            statuses: vec![JobStatus::Pending],
            with_open_calls: true,
            ..JobQuery::default()
        };
        let mut waiting = self.local.store.list(pending).await?.jobs;
        waiting.retain(|job| job.waits_for_slot());
        Ok(Some(job.queue_place(waiting)))
    }

    /// As [`status`](Self::status), with the result, however large that is. Where [`JobRecord::result_location`] of this
    /// record says that the result is elsewhere, it cannot be had here.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn status_with_result(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        let _pin = self.pin(&[id]);
        let job = self.status(id).await?;
        if !job.result_location.is_in_file() {
            return Ok(job);
        }
        let _turn = self.local.result_reads.acquire().await;
        let job = self.local.store.get_with_result(id).await?.ok_or(Error::NotFound(id))?;
        Ok(self.as_of_now(job))
    }

    /// A part of the text of an ended job's outcome, without reading the rest.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`]; [`Error::ResultGone`]; [`Error::Store`].
    pub async fn result_page(
        &self,
        id: JobId,
        offset: u64,
        max_bytes: usize,
    ) -> Result<ResultPage, Error> {
        let _pin = self.pin(&[id]);
        let job = self.status(id).await?;
        if !job.status().is_terminal() {
            return Err(Error::NotEnded { id, status: job.status() });
        }
        let page = if job.result_location.is_in_file() {
            let _turn = self.local.result_reads.acquire().await;
            self.local.store.result_page(id, offset, max_bytes).await?
        } else {
            ResultPage::of(&job, offset, max_bytes)
        };
        match (why_gone(&job), page) {
            (Some(reason), _) if !job.result_location.is_in_file() => {
                Err(Error::ResultGone { id, reason })
            }
            (_, Some(page)) => Ok(page),
            (_, None) => Err(Error::ResultGone { id, reason: LOST_FILE }),
        }
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

    /// The record, completed with what only this process knows: the progress of a body that runs here, the text of its
    /// questions, a request to stop that the store did not take, and the withheld parts of an end.
    pub(crate) fn as_of_now(&self, job: Arc<JobRecord>) -> Arc<JobRecord> {
        if job.status().is_terminal() {
            return self.local.withheld.complete(job);
        }
        let Some(live) = self.local.live.get(job.id) else { return job };
        let job = with_questions_of(&live, job);
        let progress = live.context.progress.read();
        let is_told_to_stop = live.is_to_be_cancelled() && !job.cancel_requested;
        if progress.is_none() && !is_told_to_stop {
            return job;
        }
        let mut shown = (*job).clone();
        shown.progress = progress.or(shown.progress);
        shown.cancel_requested |= is_told_to_stop;
        Arc::new(shown)
    }
}

/// The record with the text of the questions that the store may not have.
fn with_questions_of(live: &LiveJob, job: Arc<JobRecord>) -> Arc<JobRecord> {
    let lacks = |question: &Question| question.is_open() && question.request.is_none();
    if !job.questions.values().any(lacks) {
        return job;
    }
    let known = live.context.questions.all();
    let mut whole = (*job).clone();
    for (key, question) in whole.questions.iter_mut().filter(|(_, question)| lacks(question)) {
        if let Some(known) = known.get(key) {
            question.request.clone_from(&known.request);
        }
    }
    Arc::new(whole)
}

const LOST_FILE: &str = "the file with its result is missing or damaged";

/// The reason why the result of a completed job cannot be had, where it cannot.
pub(crate) fn why_gone(job: &JobRecord) -> Option<&'static str> {
    match job.result_location {
        _ if job.status() != JobStatus::Completed => None,
        ResultLocation::InRecord => None,
        ResultLocation::InFile { .. } => Some(LOST_FILE),
        ResultLocation::InMemory => Some(
            "the result was not kept on disk (store_result = false or redact), and the server that had it has ended or \
             is another one",
        ),
    }
}
