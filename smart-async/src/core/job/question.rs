//! A question that running work asks, and its outcome.

mod answer;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Timestamp;

/// A question that running work has asked, under a key of its own.
///
/// A key is used once in a job's life: asked again under it, the work gets the outcome of the earlier question.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Question {
    /// The question as the MCP request that a client would get: its `method` and `params`. Absent where the tool keeps it
    /// off the disk (`redact`) and another process asks it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::json::present"
    )]
    pub request: Option<Value>,
    /// When it was asked.
    #[serde(with = "super::json::time")]
    pub asked_at: Timestamp,
    /// The time until which the work waits for an answer.
    #[serde(with = "super::json::time")]
    pub expires_at: Timestamp,
    /// The run of the work that asked it last.
    #[serde(default = "super::json::first", skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// Its outcome.
    pub status: QuestionStatus,
    /// The answer, where this process knows it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::json::present"
    )]
    pub answer: Option<Value>,
    /// Fields of a later version, kept as they were read.
    #[serde(flatten)]
    pub unknown_fields: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_first(attempt: &u32) -> bool {
    *attempt == 1
}

/// The outcome of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QuestionStatus {
    /// It has no answer yet.
    Open,
    /// It has an answer, the first that came.
    Answered,
    /// The work no longer waits for an answer.
    GivenUp,
    /// An outcome of a later version; this version cannot answer such a question.
    #[serde(other)]
    Unknown,
}

impl Question {
    /// A question of the first run of some work.
    pub fn new(request: Value, asked_at: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            request: Some(request),
            asked_at,
            expires_at,
            attempt: 1,
            status: QuestionStatus::Open,
            answer: None,
            unknown_fields: Map::new(),
        }
    }

    /// Returns whether it may be answered.
    pub fn is_open(&self) -> bool {
        self.status == QuestionStatus::Open
    }

    /// The question in words.
    pub fn message(&self) -> Option<&str> {
        self.param("message")?.as_str()
    }

    /// The JSON schema of an answer, which is an object.
    pub fn schema(&self) -> Option<&Value> {
        self.param("requestedSchema")
    }

    /// The address where the user answers in a browser instead.
    pub fn url(&self) -> Option<&str> {
        self.param("url")?.as_str()
    }

    /// Checks an answer: it must be an object with the `action` that the user took (`accept`, `decline` or `cancel`) and, for
    /// `accept`, with `content` that fits the schema.
    ///
    /// # Errors
    /// The field that does not fit, and the values that do.
    pub fn check(&self, answer: &Value) -> Result<(), String> {
        answer::check(self.schema(), answer)
    }

    /// An answer that fits, with whole numbers as integers: 9.0 is an integer in JSON, but not to most code.
    pub(crate) fn normalize_numbers(&self, answer: Value) -> Value {
        answer::normalize_numbers(self.schema(), answer)
    }

    fn param(&self, name: &str) -> Option<&Value> {
        self.request.as_ref()?.get("params")?.get(name)
    }

    /// The same, with its answer.
    #[must_use]
    pub(crate) fn answered(self, answer: Value) -> Self {
        Self { status: QuestionStatus::Answered, answer: Some(answer), ..self }
    }

    /// The same, without its request where it is closed: then only the outcome matters.
    #[must_use]
    pub(super) fn without_closed_request(self) -> Self {
        let request = self.request.filter(|_| self.status == QuestionStatus::Open);
        Self { request, ..self }
    }
}

/// Questions and answers may be secrets: they do not go into logs.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("status", &self.status).finish_non_exhaustive()
    }
}
