//! Asking a question from within a body, and waiting for the answer.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::JobContext;
use super::current;
use super::questions::{CannotAsk, OPEN_QUESTIONS, QUESTIONS};
use crate::core::clock;
use crate::core::job::Question;
use crate::core::text::seen;

/// How long `ask` waits for an answer unless the body sets a limit. A person may be away for a while.
pub(crate) const LIMIT: Duration = Duration::from_secs(30 * 60);

/// How long `ask` waits, after its limit, for the record's decision whether an answer came in time. A store that fails must
/// not hold the body.
const CLOSING: Duration = Duration::from_secs(5);

/// The longest key of a question, in bytes.
const KEY: usize = 64;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The code that asks is part of no annotated function and no job.
    #[error(
        "a question can be asked only from within an annotated function or a job; in a task of its own, wrap the code in \
         smart_async::carry"
    )]
    OutsideOfWork,
    /// The key is empty or longer than 64 bytes, or has control characters.
    #[error("a question needs a key of 1 to 64 bytes without control characters")]
    Key,
    /// The question cannot be written as JSON.
    #[error("the question cannot be asked: {0}")]
    Malformed(String),
    /// The caller cannot be asked, and the call cannot become a job whose followers could answer: jobs are kept in memory only.
    #[error(
        "the question has no recipient: jobs are kept in memory only, and the caller cannot be asked directly"
    )]
    NoRecipient,
    /// The run has too many open questions, or has asked too many.
    #[error(
        "the question cannot be asked: one run may have {OPEN_QUESTIONS} open questions, and ask {QUESTIONS} in all; wait for an \
         answer first, or put several questions into one form"
    )]
    TooMany,
    /// No answer came in time. Asked again under the same key, the question has this outcome again.
    #[error("no answer to the question `{key}` came in time")]
    TimedOut {
        /// The key of the question.
        key: String,
    },
    /// The work was requested to stop.
    #[error("the work was requested to stop while it waited for an answer")]
    Stopped,
    /// The answer does not fit the question.
    #[error("the answer to the question `{key}` cannot be used: {reason}")]
    Unusable {
        /// The key of the question.
        key: String,
        /// In what the answer does not fit.
        reason: String,
    },
}

/// Asks under `key`, and waits for the answer for `limit` at most.
///
/// # Cancel safety
/// Dropping the future gives the question up, unless other code of the same run waits for the same key.
pub(crate) async fn ask(key: &str, request: Value, limit: Duration) -> Result<Value, AskError> {
    if key.is_empty() || key.len() > KEY || key.chars().any(char::is_control) {
        return Err(AskError::Key);
    }
    let context = current().ok_or(AskError::OutsideOfWork)?;
    let asked_at = context.now();
    let mut request = request;
    if let Some(Value::String(message)) = request.pointer_mut("/params/message") {
        *message = seen(message);
    }
    let question = Question::new(request, asked_at, clock::after(asked_at, limit));
    context.questions.ask(key, question.clone()).map_err(|refusal| match refusal {
        CannotAsk::NoRoute => AskError::NoRecipient,
        CannotAsk::TooMany => AskError::TooMany,
    })?;
    let _waiting = AnswerWait { context: &context, key };
    let outcome = async {
        match timeout(limit, context.questions.outcome(key)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // Another process may have written an answer to the record that has not come here yet.
                context.questions.close(key);
                timeout(CLOSING, context.questions.outcome(key)).await.ok().flatten()
            }
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = outcome => outcome,
        () = context.cancellation.told() => return Err(AskError::Stopped),
    };
    match outcome {
        // Each answer was checked where it came in, but against the question that has the key: an earlier run, or other code of
        // this run, may have asked another one than the body asks here.
        Some(answer) => match question.check(&answer) {
            Ok(()) => Ok(question.normalize_numbers(answer)),
            Err(reason) => Err(AskError::Unusable { key: key.to_owned(), reason }),
        },
        None if context.questions.has_no_route() => Err(AskError::NoRecipient),
        None => Err(AskError::TimedOut { key: key.to_owned() }),
    }
}

/// Counts one caller of [`ask`] until it is dropped.
struct AnswerWait<'a> {
    context: &'a JobContext,
    key: &'a str,
}

impl Drop for AnswerWait<'_> {
    fn drop(&mut self) {
        // A body that is stopped may run again in another process, which asks the question again then.
        if !self.context.cancellation.is_cancelled() {
            self.context.questions.leave(self.key);
        }
    }
}
