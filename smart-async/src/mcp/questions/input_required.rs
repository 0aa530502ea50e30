//! `InputRequiredResult` (SEP-2322, protocol 2026-07-28): the answer to a call whose work asks a question, for a client without
//! tasks, which repeats the call with the answer. The work is a job by then, and its id is in the `requestState`, so that the
//! retry finds it through any server over the same folder, and never starts a second run.

use std::collections::BTreeMap;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, ElicitationCapability, InputRequests, InputRequiredResult,
};
use serde_json::Value;

use super::{can_ask, request};
use crate::call::key::CallDigest;
use crate::core::job::{JobId, JobRecord};
use crate::core::jobs::{AnswerError, Error};
use crate::mcp::client::access::Access;

/// The beginning of a job's `requestState`, which no tool's own state has.
const STATE: &str = "smart-async:";

/// The `requestState` of a job: its id, the number of questions it has asked, and the digest of the call. A client may take the
/// same state twice for a server that goes round in circles; the number is there for it alone.
fn state_of(job: &JobRecord, digest: &CallDigest) -> String {
    format!("{STATE}{}.{}.{digest}", job.id, job.questions.len())
}

/// The job's id and the digest in a `requestState`; `None` where [`state_of`] has not made it.
fn parse(state: &str) -> Option<(JobId, &str)> {
    let mut parts = state.split('.');
    let (id, asked, digest) = (parts.next()?, parts.next()?, parts.next()?);
    asked.parse::<u32>().ok()?;
    Some((id.parse().ok()?, digest)).filter(|_| parts.next().is_none())
}

/// A call that its client repeats, for work that is a job already.
pub(in crate::mcp) struct Round {
    pub(in crate::mcp) id: JobId,
    access: Access,
    answers: BTreeMap<String, Value>,
}

impl Round {
    /// `None` for a call whose `requestState` is not the library's.
    ///
    /// # Errors
    /// -32602 where the `requestState` is the library's and names no job of this tool with these arguments.
    pub(in crate::mcp) async fn of(
        request: &mut CallToolRequestParams,
        access: Access,
        digest: &CallDigest,
    ) -> Result<Option<Self>, ErrorData> {
        let Some(state) = request.request_state.as_deref() else { return Ok(None) };
        let Some(state) = state.strip_prefix(STATE) else { return Ok(None) };
        let unknown = || {
            let message = "requestState: there is no such work of this tool with these arguments; it never was, or has \
                           been removed";
            ErrorData::invalid_params(message, None)
        };
        let (id, called) = parse(state).ok_or_else(unknown)?;
        if called != digest.to_string() {
            return Err(unknown());
        }
        match access.status(id).await {
            Ok(job)
                if job.spec.tool == request.name
                    && job.spec.server == access.manager().server() =>
            {
                let answers = request.input_responses.take().unwrap_or_default();
                Ok(Some(Self { id, access, answers }))
            }
            Ok(_) | Err(Error::NotFound(_)) => Err(unknown()),
            Err(error) => Err(ErrorData::internal_error(error.answer_text(), None)),
        }
    }

    /// Gives the answers of the call to the job. An answer that does not fit leaves its question open, and the client is asked
    /// again.
    pub(in crate::mcp) async fn answer(&self) -> Result<(), ErrorData> {
        for (key, answer) in &self.answers {
            refuse_failure(self.access.answer(self.id, key, answer.clone()).await)?;
        }
        Ok(())
    }
}

/// Answers the job's open questions. Answers to unknown, closed or answered questions are ignored (SEP-2663).
///
/// # Errors
/// -32602 where an answer does not fit its question. The job has taken none of the answers then.
pub(in crate::mcp) async fn answer_all(
    access: &Access,
    job: &JobRecord,
    answers: &BTreeMap<String, Value>,
) -> Result<(), ErrorData> {
    let mut taken = Vec::new();
    for (key, answer) in answers {
        match access.manager().jobs().check_answer(job, key, answer) {
            Ok(()) => taken.push((key, answer)),
            Err(error @ (AnswerError::Unfit { .. } | AnswerError::Elsewhere { .. })) => {
                return Err(refused(&error));
            }
            Err(_) => {}
        }
    }
    for (key, answer) in taken {
        let given = access.give_checked_answer(job.id, key, answer.clone()).await;
        refuse_failure(given)?;
    }
    Ok(())
}

/// Refuses a request whose answer could not be stored, or is taken by another server only.
fn refuse_failure(given: Result<Arc<JobRecord>, AnswerError>) -> Result<(), ErrorData> {
    match given {
        Err(error @ (AnswerError::Job(_) | AnswerError::Elsewhere { .. })) => Err(refused(&error)),
        _ => Ok(()),
    }
}

fn refused(error: &AnswerError) -> ErrorData {
    match error {
        AnswerError::Unfit { .. } | AnswerError::Job(Error::NotFound(_)) => {
            ErrorData::invalid_params(error.answer_text(), None)
        }
        error => ErrorData::internal_error(error.answer_text(), None),
    }
}

/// The job's open questions as requests to a client.
pub(in crate::mcp) fn open_requests(job: &JobRecord) -> InputRequests {
    let requests = job.open_questions();
    requests.filter_map(|(key, question)| Some((key.to_owned(), request(question)?))).collect()
}

/// Returns whether the client can show all open questions of the job.
pub(in crate::mcp) fn can_be_asked_all(
    client: Option<&ElicitationCapability>,
    job: &JobRecord,
) -> bool {
    job.open_questions().all(|(_, question)| client.is_some_and(|client| can_ask(client, question)))
}

/// The answer to a call whose work asks questions; `None` where no question can be shown. Its state binds the job to the call.
pub(in crate::mcp) fn input_required(
    digest: &CallDigest,
    job: &JobRecord,
) -> Option<InputRequiredResult> {
    let requests = open_requests(job);
    let state = || state_of(job, digest);
    (!requests.is_empty()).then(|| InputRequiredResult::new(Some(requests), Some(state())))
}
