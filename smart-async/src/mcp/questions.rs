//! Questions that a body asks in the middle of its work, in the terms of MCP. How they reach somebody depends on the client:
//! `caller` puts them to the caller of an open call, `rounds` answers a call with them, `tasks` shows them in a task; the
//! tools that follow jobs show them to everybody else.

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

pub(super) use self::elicitation::{Asked, beside};
pub(super) use self::input_required::{
    Round, answer_all, can_be_asked_all, input_required, open_requests,
};
use crate::core::context::ask::{self, AskError};
use crate::core::job::Question;

/// Asks the user a question from within an annotated function, under a key of its own, and waits for the answer:
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
/// [`ask_for`] makes the schema of a type of yours, and reads the answer into it.
///
/// How the question reaches somebody is not the body's business: the caller is asked while its call is open, where the client
/// can be asked then; else the work becomes a job at once, which is `input_required` until `tasks/update`, the retry of the
/// call, or the tool `answer_job` brings an answer. A question that is open when the budget ends moves to the job. While it
/// is open, the `deadline` of the tool stands still.
///
/// A **key** belongs to one question for the whole life of a job. Asked again under it, also by a later run of a tool that may
/// run again (`restart = "rerun"`), the work gets the same answer again. An answer is waited for half an hour, unless
/// [`within`](Ask::within) says otherwise.
///
/// # Errors
/// [`AskError`], which converts into an [`ErrorData`].
///
/// # Cancel safety
/// Dropping the future gives the question up: its key is used then.
pub fn ask(key: impl Into<String>, request: ElicitRequest) -> Ask<ElicitResult> {
    let request = serde_json::to_value(&request).map_err(|error| error.to_string());
    Ask::new(key.into(), request, |key, answer| {
        serde_json::from_value(answer)
            .map_err(|error| AskError::Unusable { key, reason: error.to_string() })
    })
}

/// As [`ask`], for an answer of a type of yours: a struct whose fields are texts, numbers, flags and plain enums.
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
///     return Ok("Hello, whoever you are!".to_owned());
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
    /// What the user said.
    Accepted(T),
    /// The user does not want to say.
    Declined,
    /// The user closed the question without a choice.
    Cancelled,
}

impl<T> Answer<T> {
    /// What the user said, if anything.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(said) => Some(said),
            Self::Declined | Self::Cancelled => None,
        }
    }
}

/// A question that is about to be asked: await it.
#[derive(Debug)]
#[must_use = "nothing is asked before this is awaited"]
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

    /// Waits for so long for the answer.
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks, and holds the thread until the answer is there: for `blocking` functions.
    ///
    /// # Errors
    /// As awaiting it does; [`AskError::OutsideOfWork`] on a thread that no runtime knows.
    ///
    /// # Panics
    /// Where it is called from async code, as everything does that holds a thread of the runtime; and where the runtime is
    /// dropped meanwhile, without [`JobManager::shutdown`](crate::JobManager::shutdown).
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

/// Whether a client that can do this can be asked that.
fn can_ask(client: &ElicitationCapability, question: &Question) -> bool {
    match question.url() {
        Some(_) => client.url.is_some(),
        // A client that names no mode knows forms: there was nothing else at first.
        None => client.form.is_some() || client.url.is_none(),
    }
}

/// The question as the request that a client gets.
fn request(question: &Question) -> Option<InputRequest> {
    serde_json::from_value(question.request.clone()?).ok()
}
