//! Answers to the questions of jobs.

use std::sync::Arc;

use serde_json::Value;

use super::{Error, Jobs};
use crate::core::job::{Actor, Change, JobEvent, JobId, JobRecord, JobStatus, QuestionStatus};
use crate::core::store::StoreError;

/// Why an answer was not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The job could not be read.
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
        /// The key that was answered.
        key: String,
        /// The keys of what it asks.
        open: String,
    },
    /// Another answer was first.
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
        /// The field that does not fit, and the values that do.
        reason: String,
    },
}

impl AnswerError {
    /// The error as a client reads it, without places of the server. The whole one goes to the log.
    pub(crate) fn answer_text(&self) -> String {
        match self {
            Self::Job(error) => error.answer_text(),
            error => error.to_string(),
        }
    }
}

impl From<StoreError> for AnswerError {
    fn from(error: StoreError) -> Self {
        Self::Job(error.into())
    }
}

impl Jobs {
    /// Answers the question that a job has asked under `key`, in whichever process the job runs. `answer` is what a client of
    /// MCP would answer the request with: for an elicitation `{"action": "accept", "content": {…}}`, or `decline` or `cancel`
    /// alone. The record says that `actor` answered.
    ///
    /// Returns the job after that. The answer is on disk. It reaches the body at once where that runs in this process, and
    /// within 250 ms where another process runs it. The first answer counts.
    ///
    /// # Errors
    /// [`AnswerError`]; then the question was not answered by this call.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait only; the question may be answered all the same.
    pub async fn answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
        actor: Actor,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        let job = self.status(id).await?;
        self.check_answer(&job, key, &answer)?;
        self.give_checked_answer(id, key, answer, actor).await
    }

    /// As [`answer`](Self::answer), with an answer that [`check_answer`](Self::check_answer) has found to fit.
    pub(crate) async fn give_checked_answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
        actor: Actor,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        let (jobs, key) = (self.clone(), key.to_owned());
        // In a task of its own, which brings the answer to the body also where the caller stops waiting: the store of a tool
        // with `redact` does not have it.
        let answered =
            tokio::spawn(async move { jobs.write_answer(id, &key, answer, actor).await });
        answered.await.unwrap_or(Err(AnswerError::Job(Error::Stopping)))
    }

    async fn write_answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
        actor: Actor,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        let live = self.local.live.get(id);
        let event = JobEvent::Answer(key.to_owned(), answer.clone());
        let change = Change::new(event, self.local.now()).by(actor);
        let site = live.as_ref().and_then(|live| live.site());
        let stored = self.local.withheld.redact(site, id, &change);
        let job = match self.local.update(id, stored).await {
            Ok(job) => job,
            // Another answer was first: the record has the reason.
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
        self.local.announce(&job);
        Ok(self.as_of_now(job))
    }

    /// Checks whether the job would take this answer.
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
        // A body of this process knows sooner than the record. A body of another process stopped waiting when the time was over,
        // whatever the clock did meanwhile.
        let late = question.is_open()
            && job.status() == JobStatus::InputRequired
            && self
                .local
                .now_with_and_without_jumps()
                .iter()
                .all(|now| question.expires_at <= *now);
        let status = match (question.status, self.local.live.get(id)) {
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
}
