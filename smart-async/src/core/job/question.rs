//! The questions that running work asks, and their outcome.

mod answer;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{JobEvent, JobStatus, Timestamp};

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
        deserialize_with = "super::document::present"
    )]
    pub request: Option<Value>,
    /// When it was asked.
    #[serde(with = "super::document::time")]
    pub asked_at: Timestamp,
    /// The time until which the work waits for an answer.
    #[serde(with = "super::document::time")]
    pub expires_at: Timestamp,
    /// The run of the work that asked it last.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// Its outcome.
    pub status: QuestionStatus,
    /// The answer, where this process knows it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::document::present"
    )]
    pub answer: Option<Value>,
    /// Fields of a later version, kept as they were read.
    #[serde(flatten)]
    pub unknown_fields: Map<String, Value>,
}

const fn first() -> u32 {
    1
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
    fn without_closed_request(self) -> Self {
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

/// The questions of a job after an event; `None` where the event cannot happen to them.
pub(super) fn after(
    questions: &BTreeMap<String, Question>,
    event: &JobEvent,
    attempt: u32,
) -> Option<BTreeMap<String, Question>> {
    let mut next = questions.clone();
    match event {
        JobEvent::Ask(key, question) => {
            if questions.get(key).is_some_and(|known| !known.is_open()) {
                return None;
            }
            next.insert(
                key.clone(),
                Question { attempt, ..(**question).clone() }.without_closed_request(),
            );
        }
        JobEvent::Answer(key, answer) => {
            let open = next.get_mut(key).filter(|question| question.is_open())?;
            *open = open.clone().answered(answer.clone()).without_closed_request();
        }
        JobEvent::GiveUp(key) => {
            let open = next.get_mut(key).filter(|question| question.is_open())?;
            *open = Question { status: QuestionStatus::GivenUp, ..open.clone() }
                .without_closed_request();
        }
        _ => {}
    }
    Some(next)
}

/// The same questions, without the requests of closed ones.
pub(super) fn without_closed_requests(
    questions: BTreeMap<String, Question>,
) -> BTreeMap<String, Question> {
    questions.into_iter().map(|(key, question)| (key, question.without_closed_request())).collect()
}

/// Returns whether this run of the work waits for an answer. It may not have come yet to a question of an earlier run.
pub(super) fn awaited(questions: &BTreeMap<String, Question>, attempt: u32) -> bool {
    questions.values().any(|question| question.is_open() && question.attempt == attempt)
}

impl super::JobRecord {
    /// The questions that the job waits for, by key: those that may be answered now. There are none unless the job
    /// is [`InputRequired`](JobStatus::InputRequired) and no stop was requested.
    pub fn open_questions(&self) -> impl Iterator<Item = (&str, &Question)> {
        let attempt = self.attempt;
        self.questions
            .iter()
            .filter(move |(_, question)| question.is_open() && question.attempt == attempt)
            .filter(|_| self.status() == JobStatus::InputRequired && !self.cancel_requested)
            .map(|(key, question)| (key.as_str(), question))
    }
}
