//! The names that generated code uses. They change without notice; no other code may use them.

use std::fmt::Display;

use rmcp::handler::server::tool::IntoCallToolResult;
use serde::Serialize;

use crate::call::receiver::Owned;
use crate::call::reply::Reply;
use crate::call::{in_task, on_thread, run};
pub use crate::core::call_site::{CallSite, OnCancel, OnDisconnect};
use crate::core::job::{JobFailure, JobOutput, Outcome};
use crate::{call, mcp};

pub use crate::mcp::{marked, marker, output_schema, rerun_marked, rerun_marker, widened_schema};

/// The receiver as a method's work owns it, since the work may outlive the call: the wrapped server itself, or a clone.
pub fn owned<S: Clone + Send + Sync + 'static>(receiver: &S) -> Owned<S> {
    call::owned(receiver)
}

/// Runs an async tool.
pub fn call_tool<R, F>(site: &'static CallSite, body: F) -> impl Future<Output = Reply<R>> + Send
where
    R: IntoCallToolResult + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    run(site, in_task(body), mcp::of_tool)
}

/// Runs a blocking tool.
pub fn call_tool_blocking<R, F>(
    site: &'static CallSite,
    body: F,
) -> impl Future<Output = Reply<R>> + Send
where
    R: IntoCallToolResult + Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    run(site, on_thread(body), mcp::of_tool)
}

/// Runs an async function that is no tool and returns a `Result`.
pub fn call_fallible<T, E, F>(
    site: &'static CallSite,
    body: F,
) -> impl Future<Output = Reply<Result<T, E>>> + Send
where
    T: Serialize + Send + 'static,
    E: Display + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    run(site, in_task(body), of_fallible)
}

/// Runs a blocking function that is no tool and returns a `Result`.
pub fn call_fallible_blocking<T, E, F>(
    site: &'static CallSite,
    body: F,
) -> impl Future<Output = Reply<Result<T, E>>> + Send
where
    T: Serialize + Send + 'static,
    E: Display + Send + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    run(site, on_thread(body), of_fallible)
}

/// Runs an async function that is no tool and returns its result as it is.
pub fn call_infallible<T, F>(
    site: &'static CallSite,
    body: F,
) -> impl Future<Output = Reply<T>> + Send
where
    T: Serialize + Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    run(site, in_task(body), of_infallible)
}

/// Runs a blocking function that is no tool and returns its result as it is.
pub fn call_infallible_blocking<T, F>(
    site: &'static CallSite,
    body: F,
) -> impl Future<Output = Reply<T>> + Send
where
    T: Serialize + Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    run(site, on_thread(body), of_infallible)
}

fn of_infallible<T: Serialize>(result: T) -> Outcome {
    match serde_json::to_value(result) {
        Ok(value) => Ok(JobOutput::new(value)),
        Err(error) => {
            Err(JobFailure::error(format!("failed to turn the result into JSON: {error}")))
        }
    }
}

fn of_fallible<T: Serialize, E: Display>(result: Result<T, E>) -> Outcome {
    result.map_err(|error| JobFailure::error(error.to_string())).and_then(of_infallible)
}

/// Returned by the probe method if `#[tool]` has not put a method of that name beside the function.
#[derive(Debug)]
pub struct NoToolAttribute;

/// Implemented for the probe's result alone, so that swapped attributes do not compile.
#[diagnostic::on_unimplemented(
    message = "`#[smart_async]` must stand above `#[tool]`: it has to see that attribute and extend it; swap the two lines",
    label = "`#[tool]` stands above"
)]
pub trait StandsAboveTool {}
impl StandsAboveTool for NoToolAttribute {}

/// Compiles only if `#[tool]` was not expanded before `#[smart_async]`.
pub fn stands_above_tool<T: StandsAboveTool>(_: fn() -> T) {}
