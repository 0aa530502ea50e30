//! The outcome of an ended job as one text, and pages of it.

use std::borrow::Cow;

use serde_json::Value;

use super::{JobRecord, JobState};

/// A part of the text of a job's outcome.
///
/// The text is the result: a string as it is, any other value as JSON; of a failed job it is the error. Where a tool's answer has
/// more than that, such as an image, the text is the list of its content blocks as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResultPage {
    /// The part. It begins and ends between characters.
    pub text: String,
    /// Where the part begins, in bytes of the whole text.
    pub offset: u64,
    /// The length of the whole text in bytes.
    pub total: u64,
}

impl ResultPage {
    /// A part that a store has read.
    pub const fn new(text: String, offset: u64, total: u64) -> Self {
        Self { text, offset, total }
    }

    /// The part of at most `max_bytes` that begins at `offset`, or with the character that `offset` is within. It has one
    /// character at least, and is empty where `offset` is the end of the text or beyond. `None` for a job that has not ended.
    pub fn of(job: &JobRecord, offset: u64, max_bytes: usize) -> Option<Self> {
        let text = job.result_text()?;
        let total = text.len() as u64;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let start = text.floor_char_boundary(start.min(text.len()));
        let rest = text.get(start..).unwrap_or_default();
        let end = match rest.floor_char_boundary(max_bytes) {
            0 => rest.ceil_char_boundary(1),
            end => end,
        };
        Some(Self::new(rest.get(..end).unwrap_or(rest).to_owned(), start as u64, total))
    }
}

impl JobRecord {
    /// The text of the outcome, as [`ResultPage`] says, of a record that holds its result.
    pub(crate) fn result_text(&self) -> Option<Cow<'_, str>> {
        let blocks = |answer: &Value| {
            let blocks = answer.get("content").map_or_else(|| "[]".to_owned(), Value::to_string);
            Some(blocks.into())
        };
        match &self.state {
            JobState::Completed { output, .. } => match (&output.tool_result, &output.result) {
                (Some(answer), _) => blocks(answer),
                (None, Value::String(text)) => Some(text.into()),
                (None, other) => Some(other.to_string().into()),
            },
            JobState::Failed { failure, .. } => match &failure.tool_result {
                Some(answer) => blocks(answer),
                None => Some(failure.message.as_str().into()),
            },
            JobState::Cancelled { .. } => Some(format!("Job {} was cancelled", self.id).into()),
            JobState::Pending { .. }
            | JobState::Running { .. }
            | JobState::InputRequired { .. } => None,
        }
    }
}
