//! Questions that a body asks while it runs, as MCP has them. The way to the user depends on the client: `elicitation` asks the
//! caller of an open call, `input_required` answers a call with the questions, `tasks` shows them in a task, and the job tools
//! show them to every other client.

mod elicitation;
mod elicitation_schema;
mod input_required;

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    ElicitRequest, ElicitResult, ElicitationAction, ElicitationCapability, InputRequest,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Handle;

pub(super) use self::elicitation::{ElicitationPeer, with_elicitation};
pub(super) use self::input_required::{
    Round, answer_all, can_be_asked_all, input_required, open_requests,
};
use crate::core::context::ask::{self, AskError};
use crate::core::job::Question;

/// Asks the user a question from within an annotated function, under a key, and waits for the answer:
///
/// ```
/// # use rmcp::ErrorData;
/// use smart_async::rmcp::model::{ElicitRequest, ElicitRequestParams, ElicitationSchema};
/// # async fn body() -> Result<(), ErrorData> {
/// let schema = ElicitationSchema::builder().required_bool("sure").build();
/// let request = ElicitRequest::new(ElicitRequestParams::FormElicitationParams {
///     meta: None,
///     message: "Delete all 40 files?".to_owned(),
///     requested_schema: schema.map_err(|error| ErrorData::internal_error(error, None))?,
/// });
/// let answer = smart_async::ask("confirm", request).await?;
/// # Ok(()) }
/// ```
///
/// [`ask_for`] derives the schema from a type of yours, and reads the answer into it.
///
/// The library chooses the way to the user. It asks the caller while the call is open, where the client supports this. Else
/// the work becomes a job at once, which is `input_required` until `tasks/update`, the retry of the call, or the tool
/// `answer_job` brings an answer. A question that is open when the budget ends moves to the job. While a question is open,
/// the `deadline` of the tool stands still.
///
/// A **key** belongs to one question for the whole life of a job. A body that asks again under the same key gets the same
/// answer again, also in a later run of a tool that may run again (`restart = "rerun"`). The body waits half an hour for the
/// answer, unless [`within`](Ask::within) sets another time.
///
/// # Errors
/// [`AskError`], which converts into an [`ErrorData`].
///
/// # Cancel safety
/// Dropping the future gives the question up. Its key counts as used.
pub fn ask(key: impl Into<String>, request: ElicitRequest) -> Ask<ElicitResult> {
    let request = serde_json::to_value(&request).map_err(|error| error.to_string());
    Ask::new(key.into(), request, |key, answer| {
        serde_json::from_value(answer)
            .map_err(|error| AskError::Unusable { key, reason: error.to_string() })
    })
}

/// As [`ask`], for an answer of a type of yours: a struct whose fields are strings, numbers, flags and plain enums.
///
/// ```
/// # use rmcp::ErrorData;
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Name {
///     /// As on your passport.
///     name: String,
/// }
///
/// # async fn body() -> Result<String, ErrorData> {
/// let Some(Name { name }) = smart_async::ask_for("name", "What is your name?").await?.accepted() else {
///     return Ok("Hello, stranger!".to_owned());
/// };
/// # Ok(name) }
/// ```
pub fn ask_for<T>(key: impl Into<String>, message: impl Into<String>) -> Ask<Answer<T>>
where
    T: JsonSchema + DeserializeOwned,
{
    let request = elicitation_schema::request::<T>(message.into());
    Ask::new(key.into(), request, |key, answer| {
        let unusable =
            |error: serde_json::Error| AskError::Unusable { key, reason: error.to_string() };
        let answer: ElicitResult = match serde_json::from_value(answer) {
            Ok(answer) => answer,
            Err(error) => return Err(unusable(error)),
        };
        match answer.action {
            ElicitationAction::Accept => {
                let content =
                    answer.content.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
                serde_json::from_value(content).map(Answer::Accepted).map_err(unusable)
            }
            ElicitationAction::Decline => Ok(Answer::Declined),
            _ => Ok(Answer::Cancelled),
        }
    })
}

/// The answer to a question that was asked with [`ask_for`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer<T> {
    /// The user's input.
    Accepted(T),
    /// The user declined to answer.
    Declined,
    /// The user closed the question without a choice.
    Cancelled,
}

impl<T> Answer<T> {
    /// The user's input; `None` where the user gave none.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(input) => Some(input),
            Self::Declined | Self::Cancelled => None,
        }
    }
}

/// A question that [`ask`] or [`ask_for`] made. Awaiting it asks the user.
#[derive(Debug)]
#[must_use = "the question is asked only when this is awaited"]
pub struct Ask<T> {
    key: String,
    request: Result<Value, String>,
    limit: Duration,
    read: fn(String, Value) -> Result<T, AskError>,
    answer: PhantomData<fn() -> T>,
}

impl<T> Ask<T> {
    const fn new(
        key: String,
        request: Result<Value, String>,
        read: fn(String, Value) -> Result<T, AskError>,
    ) -> Self {
        Self { key, request, limit: ask::LIMIT, read, answer: PhantomData }
    }

    /// Sets how long the body waits for the answer, in place of half an hour.
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks, and blocks the thread until the answer is there. For `blocking` functions.
    ///
    /// # Errors
    /// The errors of awaiting it, and [`AskError::OutsideOfWork`] on a thread outside of a tokio runtime.
    ///
    /// # Panics
    /// When called from async code, as each call does that blocks a thread of the runtime; and when the runtime is dropped
    /// meanwhile, without [`JobManager::shutdown`](crate::JobManager::shutdown).
    pub fn blocking(self) -> Result<T, AskError>
    where
        T: 'static,
    {
        let runtime = Handle::try_current().map_err(|_| AskError::OutsideOfWork)?;
        runtime.block_on(self.into_future())
    }
}

impl<T: 'static> IntoFuture for Ask<T> {
    type Output = Result<T, AskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { key, request, limit, read, .. } = self;
        Box::pin(async move {
            let request = request.map_err(AskError::Malformed)?;
            let answer = ask::ask(&key, request, limit).await?;
            read(key, answer)
        })
    }
}

impl From<AskError> for ErrorData {
    fn from(error: AskError) -> Self {
        Self::internal_error(error.to_string(), None)
    }
}

/// Returns whether a client with these capabilities can show the question.
fn can_ask(client: &ElicitationCapability, question: &Question) -> bool {
    match question.url() {
        Some(_) => client.url.is_some(),
        // A client that declares no mode supports forms, the one mode of the first version.
        None => client.form.is_some() || client.url.is_none(),
    }
}

/// The question as the request that a client gets; `None` where the request is not on disk.
fn request(question: &Question) -> Option<InputRequest> {
    serde_json::from_value(question.request.clone()?).ok()
}
