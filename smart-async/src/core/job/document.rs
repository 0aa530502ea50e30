//! A job record as one flat JSON object: the form that it has in the journal, in `meta/jobs.json` and in the answers of tools.
//!
//! The names here are promises. A field may be added; an existing one is never renamed and never changes its meaning.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::json::{first, present, time};
use super::{
    Actor, ClaimToken, Dispatch, FailureKind, IdempotencyKey, JobFailure, JobId, JobKind,
    JobOutput, JobRecord, JobScope, JobSpec, JobState, JobStatus, OwnerId, PendingReason, Priority,
    Progress, Question, ResultLocation, RetryPolicy, StateTarget, Timestamp,
};

/// A JSON object that is no job record.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not a job record: {reason}")]
pub struct MalformedRecord {
    /// The field that is missing or wrong.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct JobDocument<'a> {
    id: JobId,
    #[serde(default, skip_serializing_if = "is_default")]
    kind: JobKind,
    label: Cow<'a, str>,
    tool: Cow<'a, str>,
    server: Cow<'a, str>,
    status: JobStatus,
    /// For readers: follows from `status`, and is not read back.
    #[serde(default)]
    terminal: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_reason: Option<Cow<'a, str>>,
    /// The time that a pending job waits for, where its reason is one.
    #[serde(default, with = "time::option", skip_serializing_if = "Option::is_none")]
    waits_until: Option<Timestamp>,
    /// The jobs that a pending job waits for, where its reason is that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waits_for_jobs: Vec<JobId>,
    #[serde(with = "time")]
    created_at: Timestamp,
    #[serde(default, with = "time::option", skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(with = "time")]
    updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "is_default")]
    updated_by: Actor,
    #[serde(default, with = "time::option", skip_serializing_if = "Option::is_none")]
    completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ran_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    questions: BTreeMap<String, Question>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_code: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    error_details: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool_result: Option<Value>,
    /// The file with the fields of an end that are missing here; for readers, follows from the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_file_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    result_withheld: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    cancel_requested: bool,
    #[serde(default = "first")]
    attempt: u32,
    /// Absent in format 1.
    #[serde(default = "first")]
    version: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_concurrent: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    explicit: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    call_open: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_retries: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    retry_delay_seconds: f64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The client that the job belongs to; never in the answers of tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<JobScope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<ClaimToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dispatch: Option<Dispatch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_reruns: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    false_starts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency_arguments: Option<String>,
    #[serde(default, with = "time::option", skip_serializing_if = "Option::is_none")]
    idempotency_until: Option<Timestamp>,
    /// The state that receives the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state_field: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state_pointer: String,
    #[serde(flatten)]
    unknown_fields: Map<String, Value>,
    /// These two come last: a store gives them to a record whose text is there already.
    #[serde(default, skip_serializing_if = "is_default")]
    sequence: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    end_sequence: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> From<&'a JobRecord> for JobDocument<'a> {
    fn from(record: &'a JobRecord) -> Self {
        let spec = &*record.spec;
        let target = spec.state_target.as_ref();
        let mut document = Self {
            id: record.id,
            kind: spec.kind,
            label: spec.label.as_str().into(),
            tool: spec.tool.as_str().into(),
            server: spec.server.as_str().into(),
            status: record.status(),
            terminal: record.status().is_terminal(),
            pending_reason: None,
            waits_until: None,
            waits_for_jobs: Vec::new(),
            created_at: spec.created_at,
            started_at: record.state.started_at(),
            updated_at: record.updated_at,
            updated_by: record.updated_by.clone(),
            completed_at: record.state.completed_at(),
            ran_seconds: record.ran.map(|ran| ran.as_secs_f64()),
            progress: record.progress.clone(),
            questions: record.questions.clone(),
            result: None,
            metadata: Map::new(),
            error: None,
            error_kind: None,
            error_code: None,
            exit_code: None,
            error_details: None,
            tool_result: None,
            result_file: None,
            result_bytes: None,
            result_file_bytes: None,
            result_withheld: record.result_location == ResultLocation::InMemory,
            cancel_requested: record.cancel_requested,
            attempt: record.attempt,
            version: record.version,
            priority: spec.priority,
            max_concurrent: spec.max_concurrent,
            explicit: spec.explicit,
            call_open: record.call_open,
            deadline_seconds: spec.deadline.map(|limit| limit.as_secs_f64()),
            max_retries: spec.retry.map(|retry| retry.max_retries),
            retry_delay_seconds: spec.retry.map_or(0.0, |retry| retry.delay.as_secs_f64()),
            tags: spec.tags.clone(),
            session: spec.session.clone(),
            scope: spec.scope.clone(),
            owner: record.owner,
            claim: record.claim,
            dispatch: record.dispatch.clone(),
            arguments: spec.arguments.clone(),
            max_reruns: spec.max_reruns,
            false_starts: record.false_starts,
            idempotency_key: spec.idempotency.as_ref().map(|key| key.hash.clone()),
            idempotency_arguments: spec.idempotency.as_ref().map(|key| key.arguments.clone()),
            idempotency_until: spec.idempotency.as_ref().map(|key| key.until),
            state_field: target.map(|target| target.field.clone()),
            state_pointer: target.map(|target| target.pointer.clone()).unwrap_or_default(),
            unknown_fields: record.unknown_fields.clone(),
            sequence: record.sequence,
            end_sequence: record.end_sequence,
        };
        if let ResultLocation::InFile { bytes, file_bytes } = record.result_location {
            document.result_file = Some(format!("results/{}.json", record.id));
            document.result_bytes = Some(bytes);
            document.result_file_bytes = Some(file_bytes);
        }
        match &record.state {
            JobState::Pending { reason } => {
                document.pending_reason = Some(reason.as_str().into());
                match reason {
                    PendingReason::RetryAt(time) | PendingReason::ScheduledAt(time) => {
                        document.waits_until = Some(*time);
                    }
                    PendingReason::WaitingForJobs(jobs) => document.waits_for_jobs.clone_from(jobs),
                    _ => {}
                }
            }
            JobState::Completed { output, .. } => {
                let is_here = record.result_location == ResultLocation::InRecord;
                document.result = is_here.then(|| output.result.clone());
                document.tool_result = output.tool_result.clone();
                document.metadata = output.metadata.clone();
            }
            JobState::Failed { failure, .. } => {
                document.error = Some(failure.message.clone());
                document.error_kind = Some(failure.kind.to_string());
                document.error_code = failure.rpc_code;
                document.exit_code = failure.exit_code;
                document.error_details = failure.details.clone();
                document.tool_result = failure.tool_result.as_deref().cloned();
            }
            JobState::Running { .. }
            | JobState::InputRequired { .. }
            | JobState::Cancelled { .. } => {}
        }
        document
    }
}

impl JobDocument<'_> {
    /// The reason why a pending job waits. Format 1 has none: there, a job without an owner waits for a server.
    fn reason(&self) -> Result<PendingReason, MalformedRecord> {
        let until = || {
            let reason = "a job that waits for a time needs `waits_until`".to_owned();
            self.waits_until.ok_or(MalformedRecord { reason })
        };
        Ok(match self.pending_reason.as_deref() {
            Some("starting") => PendingReason::Starting,
            Some("queued") => PendingReason::Queued,
            Some("waiting_for_server") => PendingReason::WaitingForServer,
            Some("retry_at") => PendingReason::RetryAt(until()?),
            Some("scheduled_at") => PendingReason::ScheduledAt(until()?),
            Some("waiting_for_jobs") => PendingReason::WaitingForJobs(self.waits_for_jobs.clone()),
            Some(other) => {
                let reason =
                    format!("`pending_reason` is {other:?}, which this version does not know");
                return Err(MalformedRecord { reason });
            }
            None if self.owner.is_none() && self.max_reruns.is_some() => {
                PendingReason::WaitingForServer
            }
            None => PendingReason::Starting,
        })
    }
}

/// A length of time in seconds, as a number that may have been written by hand.
fn duration(field: &str, seconds: f64) -> Result<Duration, MalformedRecord> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| MalformedRecord { reason: format!("`{field}`: {error}") })
}

impl TryFrom<JobDocument<'_>> for JobRecord {
    type Error = MalformedRecord;

    fn try_from(document: JobDocument<'_>) -> Result<Self, MalformedRecord> {
        let status = document.status;
        let needed = |field: &str, value: Option<Timestamp>| {
            value.ok_or_else(|| MalformedRecord {
                reason: format!("a job that is {status} needs `{field}`"),
            })
        };
        let started_at = || needed("started_at", document.started_at);
        let completed_at = || needed("completed_at", document.completed_at);
        let result_location = match document.result_file {
            Some(_) => ResultLocation::InFile {
                bytes: document.result_bytes.unwrap_or_default(),
                file_bytes: document.result_file_bytes.unwrap_or_default(),
            },
            None if document.result_withheld => ResultLocation::InMemory,
            None => ResultLocation::InRecord,
        };
        let state = match status {
            JobStatus::Pending => JobState::Pending { reason: document.reason()? },
            JobStatus::Running => JobState::Running { started_at: started_at()? },
            JobStatus::InputRequired => JobState::InputRequired { started_at: started_at()? },
            JobStatus::Completed => JobState::Completed {
                started_at: started_at()?,
                completed_at: completed_at()?,
                output: JobOutput {
                    result: document.result.unwrap_or_default(),
                    tool_result: document.tool_result,
                    metadata: document.metadata,
                },
            },
            JobStatus::Failed => JobState::Failed {
                started_at: document.started_at,
                completed_at: completed_at()?,
                failure: JobFailure {
                    message: document.error.unwrap_or_default(),
                    kind: document
                        .error_kind
                        .as_deref()
                        .map_or(FailureKind::Error, FailureKind::from),
                    rpc_code: document.error_code,
                    exit_code: document.exit_code,
                    details: document.error_details,
                    tool_result: document.tool_result.map(Box::new),
                },
            },
            JobStatus::Cancelled => JobState::Cancelled {
                started_at: document.started_at,
                completed_at: completed_at()?,
            },
        };
        let ran = match document.ran_seconds {
            Some(seconds) => Some(duration("ran_seconds", seconds)?),
            None => None,
        };
        let deadline = match document.deadline_seconds {
            Some(seconds) => Some(duration("deadline_seconds", seconds)?),
            None => None,
        };
        let retry = match document.max_retries {
            Some(retries) => {
                let delay = duration("retry_delay_seconds", document.retry_delay_seconds)?;
                Some(RetryPolicy::new(retries, delay))
            }
            None => None,
        };
        // A job of format 1 that may run again has arguments, also where they were empty and left out.
        let arguments = match document.arguments {
            None if document.max_reruns.is_some() && !status.is_terminal() => Some(Map::new()),
            arguments => arguments,
        };
        let idempotency = match (document.idempotency_key, document.idempotency_until) {
            (Some(hash), Some(until)) => {
                let arguments = document.idempotency_arguments.unwrap_or_default();
                Some(IdempotencyKey::new(hash, arguments, until))
            }
            _ => None,
        };
        let pointer = document.state_pointer;
        let spec = JobSpec {
            kind: document.kind,
            tool: document.tool.into_owned(),
            server: document.server.into_owned(),
            label: document.label.into_owned(),
            tags: document.tags,
            session: document.session,
            scope: document.scope,
            priority: document.priority,
            max_concurrent: document.max_concurrent,
            explicit: document.explicit,
            deadline,
            retry,
            max_reruns: document.max_reruns,
            arguments,
            idempotency,
            state_target: document.state_field.map(|field| StateTarget { field, pointer }),
            created_at: document.created_at,
        };
        Ok(Self {
            id: document.id,
            spec: Arc::new(spec),
            state,
            result_location,
            version: document.version,
            sequence: document.sequence,
            end_sequence: document.end_sequence,
            updated_at: document.updated_at,
            updated_by: document.updated_by,
            ran,
            progress: document.progress,
            questions: document.questions,
            cancel_requested: document.cancel_requested,
            attempt: document.attempt,
            false_starts: document.false_starts,
            owner: document.owner,
            claim: document.claim,
            dispatch: document.dispatch,
            call_open: document.call_open,
            unknown_fields: document.unknown_fields,
        })
    }
}
