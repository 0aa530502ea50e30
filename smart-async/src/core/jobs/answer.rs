//! The questions of jobs: how they get into the record, and how answers get to the work that asks.

use std::sync::Arc;

use serde_json::Value;

use super::Error;
use crate::core::job::{
    Actor, Change, JobEvent, JobId, JobRecord, JobStatus, Question, QuestionStatus,
};
use crate::core::local::LiveJob;
use crate::core::manager::JobManager;
use crate::core::store::StoreError;
use crate::core::{clock, observe};

/// Why an answer was not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The job could not be had.
    #[error(transparent)]
    Job(#[from] Error),
    /// The job waits for no answer.
    #[error("Job {id} asks nothing; it is {status}")]
    NothingAsked {
        /// The job.
        id: JobId,
        /// Where it stands.
        status: JobStatus,
    },
    /// The job has not asked this.
    #[error("Job {id} asks no question `{key}`; it waits for: {open}")]
    Unknown {
        /// The job.
        id: JobId,
        /// What was answered.
        key: String,
        /// The keys of what it asks.
        open: String,
    },
    /// Somebody was faster.
    #[error("the question `{key}` has been answered already")]
    Answered {
        /// The question.
        key: String,
    },
    /// The work waits for the answer no more.
    #[error(
        "the question `{key}` was given up, because no answer came in time or the work went on without one"
    )]
    GivenUp {
        /// The question.
        key: String,
    },
    /// The question is known only to the server that asks it.
    #[error(
        "the question `{key}` is kept off the disk (redact), so only the server that asks it takes the answer"
    )]
    Elsewhere {
        /// The question.
        key: String,
    },
    /// The answer does not fit the question.
    #[error("the answer to `{key}` does not fit: {reason}")]
    Unfit {
        /// The question.
        key: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
}

impl From<StoreError> for AnswerError {
    fn from(error: StoreError) -> Self {
        Self::Job(error.into())
    }
}

impl JobManager {
    /// Answers the question that a job has asked under `key`, wherever it runs. `answer` is what a client of MCP would answer
    /// the request with: for an elicitation `{"action": "accept", "content": {…}}`, or `decline` or `cancel` alone.
    ///
    /// Returns the job as it is then. The answer is on disk, and reaches the work at once where that runs in this process,
    /// within 250 ms where another one runs it. The first answer counts.
    ///
    /// # Errors
    /// [`AnswerError`]; nothing was answered then.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting only; the question may be answered all the same.
    pub async fn answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        let job = self.status(id).await?;
        self.check_answer(&job, key, &answer)?;
        self.give_checked_answer(id, key, answer).await
    }

    /// As [`answer`](Self::answer), with an answer that [`check_answer`](Self::check_answer) has found to fit.
    pub(crate) async fn give_checked_answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        let (manager, key) = (self.clone(), key.to_owned());
        // In a task of its own, which brings the answer to the body also where the caller stops waiting.
        let answered = tokio::spawn(async move { manager.give_answer(id, &key, answer).await });
        answered.await.unwrap_or(Err(AnswerError::Job(Error::Stopping)))
    }

    async fn give_answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        let live = self.live().get(id);
        let change = Change::new(JobEvent::Answer(key.to_owned(), answer.clone()), clock::now())
            .by(Actor::Client(None));
        let site = live.as_ref().and_then(|live| live.site());
        let stored = self.inner.kept_back.keep(site, id, &change);
        let job = match self.note(self.store().update(id, stored).await) {
            Ok(job) => job,
            // Somebody else was faster: what it says now is the reason.
            Err(StoreError::Illegal { source, .. }) => {
                let job = self.status(id).await?;
                self.check_answer(&job, key, &answer)?;
                return Err(AnswerError::NothingAsked { id, status: source.status });
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(live) = live {
            live.context.questions.mark_synced(&change.event, None);
            live.touch();
        }
        self.announce(&job);
        Ok(self.as_of_now(job))
    }

    /// Whether this answer would be taken.
    pub(crate) fn check_answer(
        &self,
        job: &JobRecord,
        key: &str,
        answer: &Value,
    ) -> Result<(), AnswerError> {
        let (id, key) = (job.id, key.to_owned());
        let Some(question) = job.questions.get(&key) else {
            let open: Vec<_> = job.open_questions().map(|(key, _)| key).collect();
            return Err(if open.is_empty() {
                AnswerError::NothingAsked { id, status: job.status() }
            } else {
                AnswerError::Unknown { id, key, open: open.join(", ") }
            });
        };
        // The work knows sooner than the record. Where it runs elsewhere, it stopped waiting when its time was over.
        let late = question.is_open()
            && job.status() == JobStatus::InputRequired
            && question.expires_at <= clock::now();
        let status = match (question.status, self.live().get(id)) {
            // Work that is being stopped waits for nothing.
            (QuestionStatus::Open, _) if job.cancel_requested => QuestionStatus::GivenUp,
            (QuestionStatus::Open, Some(live)) => {
                live.context.questions.status(&key).unwrap_or(QuestionStatus::Open)
            }
            (QuestionStatus::Open, None) if late => QuestionStatus::GivenUp,
            (status, _) => status,
        };
        match status {
            QuestionStatus::Answered => Err(AnswerError::Answered { key }),
            QuestionStatus::GivenUp | QuestionStatus::Unknown => Err(AnswerError::GivenUp { key }),
            QuestionStatus::Open if question.request.is_none() => {
                Err(AnswerError::Elsewhere { key })
            }
            QuestionStatus::Open => {
                question.check(answer).map_err(|reason| AnswerError::Unfit { key, reason })
            }
        }
    }

    /// Takes what the work has asked, or asks no more, to the record. `false` where that failed and has to be tried again.
    pub(in crate::core) async fn tell_questions(&self, live: &LiveJob) -> bool {
        let questions = &live.context.questions;
        while let Some(event) = questions.next_unsynced() {
            let (JobEvent::Ask(key, _) | JobEvent::Answer(key, _) | JobEvent::GiveUp(key)) = &event
            else {
                return true;
            };
            let change =
                Change::new(event.clone(), clock::now()).owned_by(Some(self.store().owner()));
            let stored = self.inner.kept_back.keep(live.site(), live.id(), &change);
            match self.note(self.store().update(live.id(), stored).await) {
                Ok(job) => {
                    questions.mark_synced(&event, None);
                    self.announce(&job);
                    live.touch();
                }
                // It has ended, or an answer was faster.
                Err(StoreError::Illegal { .. } | StoreError::NotOwner(_)) => {
                    let Ok(job) = self.store().get(live.id()).await else { return false };
                    let recorded = job.as_ref().and_then(|job| job.questions.get(key));
                    questions.mark_synced(&event, recorded);
                }
                Err(StoreError::NotFound(_)) => return false,
                Err(error) => {
                    observe::warn!(job_id = %live.id(), %error, "failed to store a job's question");
                    return false;
                }
            }
        }
        true
    }
}

/// The record with the questions whose text the store does not have, where the work that asks them runs here.
pub(in crate::core) fn with_questions_of(live: &LiveJob, job: Arc<JobRecord>) -> Arc<JobRecord> {
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
