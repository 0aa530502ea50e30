//! The names that generated code uses. They change without notice; no other code may use them.

use std::fmt::Display;
use std::sync::Arc;

use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::Serialize;

use crate::call::receiver::Owned;
use crate::call::reply::Reply;
use crate::call::{in_task, on_thread, run};
pub use crate::core::call_site::{CallSite, OnCancel, OnDisconnect};
use crate::core::job::{JobFailure, JobOutput, Outcome};
use crate::mcp::ToolError;
use crate::{call, mcp};

pub use crate::mcp::{
    idempotent_marked, marked, marker, rerun_marked, rerun_marker, widened_schema,
};

/// The receiver as a method's work owns it, since the work may outlive the call: the wrapped server itself, or a clone.
///
/// `Receiver` has the other bounds as well. Named beside it, they make the compiler name the field that breaks them.
pub fn owned<S: Receiver + Send + Sync + 'static>(receiver: &S) -> Owned<S> {
    call::owned(receiver)
}

/// Runs an async function. `conclude` is one of the functions below that fits its result.
pub fn call<R, F>(
    site: &'static CallSite,
    conclude: fn(R) -> Outcome,
    body: F,
) -> impl Future<Output = Reply<R>> + Send
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    run(site, in_task(body), conclude)
}

/// Runs a blocking function.
pub fn call_blocking<R, F>(
    site: &'static CallSite,
    conclude: fn(R) -> Outcome,
    body: F,
) -> impl Future<Output = Reply<R>> + Send
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    run(site, on_thread(body), conclude)
}

/// The conclusion of a tool whose return type is not called `Result`.
pub fn tool_value<R: ToolValue>() -> fn(R) -> Outcome {
    mcp::of_tool
}

/// The conclusion of a tool whose return type is called `Result`.
pub fn tool_result<R: Fallible>() -> fn(R) -> Outcome
where
    R::Value: ToolValue,
    R::Error: ToolFailure,
{
    |result| mcp::of_tool(result.into_result())
}

/// The conclusion of a function that is no tool, and whose return type is not called `Result`.
pub fn plain_value<R: PlainValue>() -> fn(R) -> Outcome {
    of_plain
}

/// The conclusion of a function that is no tool, and whose return type is called `Result`.
pub fn plain_result<R: Fallible>() -> fn(R) -> Outcome
where
    R::Value: PlainValue,
    R::Error: PlainFailure,
{
    |result| {
        let result = result.into_result();
        result.map_err(|error| JobFailure::error(error.into_text())).and_then(of_plain)
    }
}

fn of_plain<T: Serialize>(result: T) -> Outcome {
    match serde_json::to_value(result) {
        Ok(value) => Ok(JobOutput::new(value)),
        Err(error) => {
            Err(JobFailure::error(format!("failed to turn the result into JSON: {error}")))
        }
    }
}

/// The output schema of a tool that returns `Json<T>`.
pub fn output_schema<T: Described + Written>() -> Arc<JsonObject> {
    mcp::output_schema::<T>()
}

// The traits below stand for others, so that the compiler tells an author what to do in place of naming the other trait.

/// The type of a method's receiver.
#[diagnostic::on_unimplemented(
    message = "the work of a `#[smart_async]` method keeps its `self`, so `{Self}` must be `Clone + Send + Sync + 'static`",
    label = "cannot be kept by work that outlives the call",
    note = "derive `Clone`; where it has that, a field of it is not `Send + Sync`: take an `Arc` for an `Rc`, and a lock or an atomic for a `Cell`",
    note = "`Self` in the definition of a `trait` is not known: put the attribute on a method of an inherent `impl`, and call that from there"
)]
pub trait Receiver: Clone + Send + Sync + 'static {}
#[diagnostic::do_not_recommend]
impl<S: Clone + Send + Sync + 'static> Receiver for S {}

/// The result of a tool that has not failed.
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`: it returns a `String`, a `Json<T>` of a `T` that derives `Serialize` and `JsonSchema`, or a `CallToolResult`",
    label = "not the result of a tool",
    note = "for a struct, return `rmcp::Json<T>`, and derive `serde::Serialize` and `schemars::JsonSchema` (of rmcp's version) for `T`"
)]
pub trait ToolValue: IntoCallToolResult {}
#[diagnostic::do_not_recommend]
impl<T: IntoCallToolResult> ToolValue for T {}

/// The error of a tool.
#[diagnostic::on_unimplemented(
    message = "a tool cannot fail with `{Self}`: return `Result<…, smart_async::ToolError>`, into which `?` turns all that can be displayed, or `Result<…, rmcp::ErrorData>`",
    label = "not the error of a tool"
)]
pub trait ToolFailure: IntoCallToolResult {}
#[diagnostic::do_not_recommend]
impl<E: IntoCallToolResult> ToolFailure for E {}

/// The result of a function that is no tool.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept as the result of a job: derive `serde::Serialize` for it",
    label = "not `Serialize`"
)]
pub trait PlainValue: Serialize {}
#[diagnostic::do_not_recommend]
impl<T: Serialize> PlainValue for T {}

/// The error of a function that is no tool.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept as the error of a job: implement `std::fmt::Display` for it",
    label = "not `Display`"
)]
pub trait PlainFailure: 'static {
    /// The text that the job keeps.
    fn into_text(self) -> String;
}
#[diagnostic::do_not_recommend]
impl<E: Display + 'static> PlainFailure for E {
    fn into_text(self) -> String {
        mcp::own_error_text(&self).unwrap_or_else(|| self.to_string())
    }
}
/// It cannot be displayed, and a function that several tools call fails with it all the same.
#[diagnostic::do_not_recommend]
impl PlainFailure for ToolError {
    fn into_text(self) -> String {
        self.message().to_owned()
    }
}

/// The `T` of a tool that returns `Json<T>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no JSON schema to describe the tool's result by: derive `schemars::JsonSchema` for it",
    label = "not `JsonSchema`"
)]
pub trait Described: JsonSchema + 'static {}
#[diagnostic::do_not_recommend]
impl<T: JsonSchema + 'static> Described for T {}

/// The same `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written as JSON: derive `serde::Serialize` for it",
    label = "not `Serialize`"
)]
pub trait Written: Serialize {}
#[diagnostic::do_not_recommend]
impl<T: Serialize> Written for T {}

/// A return type called `Result`, under any of its aliases.
#[diagnostic::on_unimplemented(
    message = "`#[smart_async]` takes a return type called `Result` for the one of the standard library, and `{Self}` is another: name it otherwise",
    label = "not `std::result::Result`"
)]
pub trait Fallible {
    /// The `T` of `Result<T, E>`.
    type Value;
    /// The `E` of `Result<T, E>`.
    type Error;
    /// The result as what it is.
    fn into_result(self) -> Result<Self::Value, Self::Error>;
}
impl<T, E> Fallible for Result<T, E> {
    type Value = T;
    type Error = E;
    fn into_result(self) -> Self {
        self
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_no_tool_may_fail_with_the_error_of_one() {
        let conclude = plain_result::<Result<u8, ToolError>>();
        let Err(failure) = conclude(Err("no rods".into())) else { panic!("it failed") };
        assert_eq!(failure.message, "no rods");
    }
}
