//! A job record as one flat JSON object: the form it has in `jobs.json` and in the answers of tools.
//!
//! The names here are promises. A field may be added; one that stands is never renamed, and never means
//! another thing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    FailureKind, JobFailure, JobId, JobOutput, JobRecord, JobScope, JobState, JobStatus,
    MalformedRecord, OwnerId, Progress, Question, Rerun, ResultKept, StateTarget, Timestamp,
};

#[derive(Serialize, Deserialize)]
pub(super) struct JobDocument<'a> {
    id: JobId,
    label: Cow<'a, str>,
    tool: Cow<'a, str>,
    server: Cow<'a, str>,
    status: JobStatus,
    /// For readers: follows from `status`, and is not read back.
    #[serde(default)]
    terminal: bool,
    #[serde(with = "time")]
    created_at: Timestamp,
    #[serde(default, with = "time::option", skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(with = "time")]
    updated_at: Timestamp,
    #[serde(default, with = "time::option", skip_serializing_if = "Option::is_none")]
    completed_at: Option<Timestamp>,
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
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    error_details: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool_result: Option<Value>,
    /// Where the fields of an end are that are not here; for readers, follows from the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_file_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    result_withheld: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    #[serde(default = "first")]
    attempt: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// Whose it is; never in the answers of tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<JobScope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_reruns: Option<u32>,
    #[serde(default, skip_serializing_if = "is_none_at_all")]
    false_starts: u32,
    /// The state that the result goes into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state_field: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state_pointer: String,
    #[serde(flatten)]
    unknown_fields: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_none_at_all(count: &u32) -> bool {
    *count == 0
}

const fn first() -> u32 {
    1
}

/// Tells a `null` that was written from a field that is absent.
pub(super) fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl<'a> From<&'a JobRecord> for JobDocument<'a> {
    fn from(record: &'a JobRecord) -> Self {
        let mut document = Self {
            id: record.id,
            label: record.label.as_str().into(),
            tool: record.tool.as_str().into(),
            server: record.server.as_str().into(),
            status: record.status(),
            terminal: record.status().is_terminal(),
            created_at: record.created_at,
            started_at: record.state.started_at(),
            updated_at: record.updated_at,
            completed_at: record.state.completed_at(),
            progress: record.progress.clone(),
            questions: record.questions.clone(),
            result: None,
            metadata: Map::new(),
            error: None,
            error_kind: None,
            error_code: None,
            error_details: None,
            tool_result: None,
            result_file: None,
            result_bytes: None,
            result_file_bytes: None,
            result_withheld: record.result_kept == ResultKept::InMemory,
            cancel_requested: record.cancel_requested,
            attempt: record.attempt,
            tags: record.tags.clone(),
            session: record.session.clone(),
            scope: record.scope.clone(),
            owner: record.owner,
            arguments: record.rerun.as_ref().map(|rerun| rerun.arguments.clone()),
            max_reruns: record.rerun.as_ref().map(|rerun| rerun.max_reruns),
            false_starts: record.rerun.as_ref().map_or(0, |rerun| rerun.false_starts),
            state_field: record.state_target.as_ref().map(|target| target.field.clone()),
            state_pointer: record
                .state_target
                .as_ref()
                .map(|target| target.pointer.clone())
                .unwrap_or_default(),
            unknown_fields: record.unknown_fields.clone(),
        };
        if let ResultKept::InFile { bytes, file_bytes } = record.result_kept {
            document.result_file = Some(format!("results/{}.json", record.id));
            document.result_bytes = Some(bytes);
            document.result_file_bytes = Some(file_bytes);
        }
        match &record.state {
            JobState::Completed { output, .. } => {
                let is_here = record.result_kept == ResultKept::InRecord;
                document.result = is_here.then(|| output.result.clone());
                document.tool_result = output.tool_result.clone();
                document.metadata = output.metadata.clone();
            }
            JobState::Failed { failure, .. } => {
                document.error = Some(failure.message.clone());
                document.error_kind = Some(failure.kind.to_string());
                document.error_code = failure.code;
                document.error_details = failure.details.clone();
                document.tool_result = failure.tool_result.as_deref().cloned();
            }
            JobState::Pending
            | JobState::Running { .. }
            | JobState::InputRequired { .. }
            | JobState::Cancelled { .. } => {}
        }
        document
    }
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
        let result_kept = match document.result_file {
            Some(_) => ResultKept::InFile {
                bytes: document.result_bytes.unwrap_or_default(),
                file_bytes: document.result_file_bytes.unwrap_or_default(),
            },
            None if document.result_withheld => ResultKept::InMemory,
            None => ResultKept::InRecord,
        };
        let state = match status {
            JobStatus::Pending => JobState::Pending,
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
                    code: document.error_code,
                    details: document.error_details,
                    tool_result: document.tool_result.map(Box::new),
                },
            },
            JobStatus::Cancelled => JobState::Cancelled {
                started_at: document.started_at,
                completed_at: completed_at()?,
            },
        };
        let pointer = document.state_pointer;
        let state_target = document.state_field.map(|field| StateTarget { field, pointer });
        Ok(Self {
            id: document.id,
            label: document.label.into_owned(),
            tool: document.tool.into_owned(),
            server: document.server.into_owned(),
            state,
            result_kept,
            created_at: document.created_at,
            updated_at: document.updated_at,
            progress: document.progress,
            questions: document.questions,
            cancel_requested: document.cancel_requested,
            attempt: document.attempt,
            tags: document.tags,
            session: document.session,
            scope: document.scope,
            owner: document.owner,
            rerun: document.max_reruns.map(|max_reruns| Rerun {
                arguments: document.arguments.unwrap_or_default(),
                max_reruns,
                false_starts: document.false_starts,
            }),
            state_target,
            unknown_fields: document.unknown_fields,
        })
    }
}

/// Times as RFC 3339 in UTC with milliseconds, the form that every reader takes; read with any offset and precision.
pub(super) mod time {
    use std::borrow::Cow;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Timestamp;
    use crate::core::clock;

    pub(in crate::core::job) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&clock::rfc3339(*time))
    }

    pub(in crate::core::job) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        clock::parse_rfc3339(&text).map_err(D::Error::custom)
    }

    pub(super) mod option {
        use serde::{Deserialize, Deserializer, Serializer};

        use super::Timestamp;

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            #[derive(Deserialize)]
            #[serde(transparent)]
            struct Time(#[serde(deserialize_with = "super::deserialize")] Timestamp);
            Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(time)| time))
        }
    }
}
