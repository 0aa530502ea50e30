//! Asking a question from within some work, and waiting for the answer.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::JobContext;
use super::current;
use super::questions::Put;
use crate::core::clock;
use crate::core::job::Question;

/// How long an answer is waited for unless said otherwise: a person may be away from the desk.
pub(crate) const LIMIT: Duration = Duration::from_secs(30 * 60);

/// How long the record is waited for that decides whether an answer came in time; a store that fails must not hold the work.
const CLOSING: Duration = Duration::from_secs(5);

/// The longest key of a question, in bytes.
const KEY: usize = 64;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The code that asks is part of no annotated function and no job.
    #[error(
        "there is nobody to ask: this code runs outside of any annotated function; in a task of its own, wrap it in \
         smart_async::carry"
    )]
    OutsideOfWork,
    /// The key is empty or longer than 64 bytes, or has control characters.
    #[error("a question needs a key of 1 to 64 bytes without control characters")]
    Key,
    /// The question cannot be written down.
    #[error("the question cannot be asked: {0}")]
    Malformed(String),
    /// The caller cannot be asked, and the work cannot become a job that others could follow: jobs are kept in memory only.
    #[error(
        "there is nobody to ask: jobs are kept in memory only, and the caller cannot be asked directly"
    )]
    NobodyToAsk,
    /// No answer came in time. Asked again under the same key, the question has this outcome again.
    #[error("nobody answered the question `{key}` in time")]
    TimedOut {
        /// The question.
        key: String,
    },
    /// The work has been asked to stop.
    #[error("the work was asked to stop while it waited for an answer")]
    Stopped,
    /// What was answered does not fit the question.
    #[error("the answer to the question `{key}` cannot be used: {reason}")]
    Unusable {
        /// The question.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Asks under `key`, and waits for the answer for `limit` at most.
///
/// # Cancel safety
/// Dropping the future gives the question up, unless others wait for the same one.
pub(crate) async fn ask(key: &str, request: Value, limit: Duration) -> Result<Value, AskError> {
    if key.is_empty() || key.len() > KEY || key.chars().any(char::is_control) {
        return Err(AskError::Key);
    }
    let context = current().ok_or(AskError::OutsideOfWork)?;
    let asked_at = clock::now();
    let question = Question::new(request, asked_at, clock::after(asked_at, limit));
    match context.desk.put(key, question.clone()) {
        Put::Waits => {}
        Put::NobodyToAsk => return Err(AskError::NobodyToAsk),
    }
    let _waiting = Waiting { context: &context, key };
    let outcome = async {
        match timeout(limit, context.desk.outcome(key)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // An answer may be on disk that has not come here yet.
                context.desk.close(key);
                timeout(CLOSING, context.desk.outcome(key)).await.ok().flatten()
            }
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = outcome => outcome,
        () = context.cancellation.cancelled() => return Err(AskError::Stopped),
    };
    match outcome {
        Some(answer) => match question.check(&answer) {
            Ok(()) => Ok(question.normalize_numbers(answer)),
            Err(reason) => Err(AskError::Unusable { key: key.to_owned(), reason }),
        },
        None if context.desk.reaches_nobody() => Err(AskError::NobodyToAsk),
        None => Err(AskError::TimedOut { key: key.to_owned() }),
    }
}

/// One who waits for an answer; leaves however the wait ends.
struct Waiting<'a> {
    context: &'a JobContext,
    key: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // What is stopped may run again in another process, and asks again then.
        if !self.context.cancellation.is_cancelled() {
            self.context.desk.leave(self.key);
        }
    }
}
