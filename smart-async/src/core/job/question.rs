//! The questions that running work asks, and what became of them.

mod answer;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{JobEvent, JobStatus, Timestamp};

/// A question that running work has asked, under a key of its own.
///
/// A key is used once in a job's life: asked again under it, the work gets what became of the question before.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Question {
    /// What is asked, as the request of MCP that a client would get: its `method` and `params`. Absent where the tool keeps
    /// it off the disk (`redact`) and this process is not the one that asks.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::document::present"
    )]
    pub request: Option<Value>,
    /// When it was asked.
    #[serde(with = "super::document::time")]
    pub asked_at: Timestamp,
    /// Until when an answer is waited for.
    #[serde(with = "super::document::time")]
    pub expires_at: Timestamp,
    /// The run of the work that asked it last.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// What became of it.
    pub status: QuestionStatus,
    /// What was answered, where that is known here.
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

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QuestionStatus {
    /// Nobody has answered it yet.
    Open,
    /// It has an answer, the first that came.
    Answered,
    /// The work waits for no answer any more.
    GivenUp,
    /// Something that a later version knows; it cannot be answered here.
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

    /// Whether it may be answered.
    pub fn is_open(&self) -> bool {
        self.status == QuestionStatus::Open
    }

    /// What is asked, in words.
    pub fn message(&self) -> Option<&str> {
        self.param("message")?.as_str()
    }

    /// What an answer has to look like: a JSON schema of an object.
    pub fn schema(&self) -> Option<&Value> {
        self.param("requestedSchema")
    }

    /// Where the answer is given in a browser in place of here.
    pub fn url(&self) -> Option<&str> {
        self.param("url")?.as_str()
    }

    /// Whether this can be an answer to it: an object with the `action` that was taken (`accept`, `decline` or `cancel`) and,
    /// where that is `accept`, with `content` that fits what was asked for.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn check(&self, answer: &Value) -> Result<(), String> {
        answer::check(self.schema(), answer)
    }

    /// An answer that fits, as code reads it that asked for this: whole numbers are integers, however they were written.
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

    /// The same, as the record of its job keeps it: what was asked does not matter any more once it is closed.
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

/// What the questions of a job are after an event; `None` where the event cannot happen to them.
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

/// Questions as the record of their job keeps them.
pub(super) fn without_closed_requests(
    questions: BTreeMap<String, Question>,
) -> BTreeMap<String, Question> {
    questions.into_iter().map(|(key, question)| (key, question.without_closed_request())).collect()
}

/// Whether a run of the work waits for an answer. What an earlier run asked, it may not have come to yet.
pub(super) fn awaited(questions: &BTreeMap<String, Question>, attempt: u32) -> bool {
    questions.values().any(|question| question.is_open() && question.attempt == attempt)
}

impl super::JobRecord {
    /// The questions that the job waits for, by key: those that may be answered now. None where it is not
    /// [`InputRequired`](JobStatus::InputRequired), or is being stopped.
    pub fn open_questions(&self) -> impl Iterator<Item = (&str, &Question)> {
        let attempt = self.attempt;
        self.questions
            .iter()
            .filter(move |(_, question)| question.is_open() && question.attempt == attempt)
            .filter(|_| self.status() == JobStatus::InputRequired && !self.cancel_requested)
            .map(|(key, question)| (key.as_str(), question))
    }
}
