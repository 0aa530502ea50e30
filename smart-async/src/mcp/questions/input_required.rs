//! Calls that are answered with a question, and made again with the answer (SEP-2322, protocol 2026-07-28): a client without
//! tasks gets an `InputRequiredResult`. The work is a job by then, whose id is in the `requestState`, so that the retry finds
//! the same work through any server over the same folder, and never starts a second one.

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

/// What the `requestState` of a job begins with, to be told from those that tools make up.
const STATE: &str = "smart-async:";

/// The `requestState` of a job: its id, how many questions it has asked, and what was called. The number is for clients, which
/// may take a state that they had before for a server that goes round in circles; nothing else depends on it.
fn state_of(job: &JobRecord, digest: &CallDigest) -> String {
    format!("{STATE}{}.{}.{digest}", job.id, job.questions.len())
}

/// The job and the call that a `requestState` names: `None` where it is not as [`state_of`] makes them.
fn parse(state: &str) -> Option<(JobId, &str)> {
    let mut parts = state.split('.');
    let (id, asked, digest) = (parts.next()?, parts.next()?, parts.next()?);
    asked.parse::<u32>().ok()?;
    Some((id.parse().ok()?, digest)).filter(|_| parts.next().is_none())
}

/// A call that was made again, for work that runs already.
pub(in crate::mcp) struct Round {
    pub(in crate::mcp) id: JobId,
    access: Access,
    answers: BTreeMap<String, Value>,
}

impl Round {
    /// The work that the call goes on with; `None` where it is a call like any other.
    ///
    /// # Errors
    /// -32602 where its `requestState` looks like one of ours and names no work of this tool.
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
            Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
        }
    }

    /// Gives the answers that came with the call to the work. One that does not fit leaves its question open, and the client
    /// is asked again.
    pub(in crate::mcp) async fn answer(&self) -> Result<(), ErrorData> {
        for (key, answer) in &self.answers {
            refuse_failure(self.access.answer(self.id, key, answer.clone()).await)?;
        }
        Ok(())
    }
}

/// Answers what is asked. Answers to what is not asked, not any more, or a second time are passed over (SEP-2663).
///
/// # Errors
/// -32602 where an answer does not fit its question; then none was taken.
pub(in crate::mcp) async fn answer_all(
    access: &Access,
    job: &JobRecord,
    answers: &BTreeMap<String, Value>,
) -> Result<(), ErrorData> {
    let mut taken = Vec::new();
    for (key, answer) in answers {
        match access.manager().check_answer(job, key, answer) {
            Ok(()) => taken.push((key, answer)),
            Err(error @ (AnswerError::Unfit { .. } | AnswerError::Elsewhere { .. })) => {
                return Err(refused(&error));
            }
            Err(_) => {}
        }
    }
    for (key, answer) in taken {
        let given = access.manager().give_checked_answer(job.id, key, answer.clone()).await;
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
            ErrorData::invalid_params(error.to_string(), None)
        }
        error => ErrorData::internal_error(error.to_string(), None),
    }
}

/// What the job asks, as requests to a client.
pub(in crate::mcp) fn open_requests(job: &JobRecord) -> InputRequests {
    let requests = job.open_questions();
    requests.filter_map(|(key, question)| Some((key.to_owned(), request(question)?))).collect()
}

/// Whether this client can be asked all that the job asks.
pub(in crate::mcp) fn can_be_asked_all(
    client: Option<&ElicitationCapability>,
    job: &JobRecord,
) -> bool {
    job.open_questions().all(|(_, question)| client.is_some_and(|client| can_ask(client, question)))
}

/// The answer to a call whose work asks something. Its state binds the job to what was called.
pub(in crate::mcp) fn input_required(
    digest: &CallDigest,
    job: &JobRecord,
) -> Option<InputRequiredResult> {
    let requests = open_requests(job);
    let state = || state_of(job, digest);
    (!requests.is_empty()).then(|| InputRequiredResult::new(Some(requests), Some(state())))
}
