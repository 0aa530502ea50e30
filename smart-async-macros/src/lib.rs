//! The attribute `#[smart_async]`; use it through the crate `smart-async`.
//!
//! This file has the entry point and the attribute's documentation. `args` reads the keys, `tool_fn` the annotated
//! function, `tool_attr` the `#[tool]` below it, and `expand` generates the code.

mod args;
mod errors;
mod expand;
#[cfg(test)]
mod expansion_tests;
#[cfg(test)]
mod refusal_tests;
mod tool_attr;
mod tool_fn;

use proc_macro::TokenStream;

/// Lets a function outlive its call: a quick call answers with the result, and a slow one becomes a job.
///
/// The function keeps its inputs. Its output `R` becomes `Reply<R>`: the result itself, the ticket of the job, or the reason
/// why the call failed. The body runs once, from start to end, in a task of its own.
///
/// ```
/// use rmcp::handler::server::wrapper::Parameters;
/// use rmcp::{ErrorData, Json, tool, tool_router};
/// use smart_async::smart_async;
/// # #[derive(Clone)]
/// # struct Reactor;
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # struct Simulate { days: u32 }
/// # #[derive(serde::Serialize, schemars::JsonSchema)]
/// # struct Report { days: u32 }
/// # async fn run(args: Simulate) -> Report { Report { days: args.days } }
///
/// #[tool_router]
/// impl Reactor {
///     /// Simulate the reactor, a day at a time.
///     #[smart_async(timeout_env = "SIMULATE_TIMEOUT", default = 20)]
///     #[tool]
///     async fn simulate(&self, Parameters(args): Parameters<Simulate>) -> Result<Json<Report>, ErrorData> {
///         Ok(Json(run(args).await))
///     }
/// }
/// ```
///
/// # Where it stands
///
/// - On a tool, **above** `#[tool]`. It adds the output schema that also fits a ticket and the marker by which the server
///   knows the tool. All that `#[tool(…)]` says is kept; an `output_schema` or `meta` of yours is extended. It returns what rmcp can turn
///   into an answer: text, `Json<T>`, `CallToolResult`, or a `Result` of these, whose error is `smart_async::ToolError` or `ErrorData`.
/// - On any other `async fn`, or on a plain `fn` with the key `blocking`. The result must be `Serialize`. A function whose
///   return type is called `Result` may fail, and its error must be `Display`; any other cannot.
///
/// A method takes `&self`, and its type is `Clone + Send + Sync + 'static`: the work keeps it, or a clone. Its body moves to a
/// hidden method of the same `impl`, so it must be an inherent one. Documentation, `deprecated`, `cfg` and `tool` stay on
/// the method that others see; what is allowed or expected of lints counts for both; all other attributes, such as those
/// that trace, go where the body goes. The body of a function without a receiver stays in its place, and so do all of its
/// attributes. `return` and `?` work as ever.
///
/// # Keys
///
/// All are optional. A time is a number of seconds, whole or not, or text with units such as `"1m30s"`; it is positive.
///
/// | Key | Meaning |
/// | --- | --- |
/// | `timeout_env = "NAME"` | The environment variable that holds the time a call may take before it becomes a job. |
/// | `default = 20` | That time where no variable says otherwise. `default_timeout` is the same key. |
/// | `deadline = "10m"` | The longest that the work may run at all. It is longer than `default`. |
/// | `stall = "2m"` | For how long the work may report no progress; then it is stopped. |
/// | `blocking` | For a plain `fn`: it runs on a thread of its own, and becomes `async` for its callers. Some run at a time (64 unless the manager says otherwise); the others wait as `pending`. It stops only if it asks `is_cancelled()`; one that never does is completed after all. |
/// | `always_job` | Every call becomes a job at once. It leaves nothing for `default` and `timeout_env` to do. |
/// | `max_concurrent = 2` | How many runs may be under way at a time, in all processes that share the job folder; further calls wait for their turn. |
/// | `priority = 8` | How urgent the jobs of the tool are when they wait, from 1 to 10, of which 10 goes first. 5 unless set. |
/// | `task_required` | For a tool: a client that does not know MCP tasks is refused, before any work starts. |
/// | `coalesce` | For a tool: the same call, made while one runs, gets that one's result or job. |
/// | `repeatable` | For a tool: the same call, made while one has been open for long, gets a run of its own. |
/// | `restart = "rerun"` | What happens to a job whose server ended before it did: it is `"fail"`ed, or a tool's call is made again. |
/// | `max_reruns = 1` | How often at most, with `restart = "rerun"`. |
/// | `idempotent = "24h"` | For a tool: callers may give an `idempotency_key`, and for so long the same key gets the same answer. |
/// | `on_disconnect = "keep"` | What happens when the connection is lost: `"keep"` the work, or `"cancel"` it. |
/// | `on_cancel = "auto"` | What happens when the client cancels: `"keep"`, `"cancel"`, or by the reason it gives (`"auto"`). |
/// | `redact` | What the call was given and said is kept out of the store. |
/// | `store_result = false` | The result is kept out of the store. |
/// | `state = "latest_report"` | What the work completes with is put into the slot of that name, and into a file. |
/// | `pointer = "/a/b"` | With `state`: which part of the result, as a JSON pointer (RFC 6901). |
/// | `crate = path` | The path of the crate `smart-async`, where it is not `::smart_async`. |
///
/// # What is refused
///
/// Each of these is an error that says why and what to do instead; all errors of one use come at once, and the function is
/// there all the same.
///
/// - A key that does not exist, that is given twice, or whose value it cannot have; keys that cancel each other out.
/// - `blocking` on an `async fn`, and a plain `fn` without it; `restart = "rerun"`,
///   `task_required`, `coalesce`, `repeatable` and `idempotent` on a function that is no tool.
/// - Any receiver but `&self`, `&'a self` and `self: &Self`: the work outlives the call, and the server is needed for
///   others. Keep what changes behind an `Arc`.
/// - Borrows in parameters and in the result, other than `&'static`; `impl Trait` in the result, which has no name.
/// - `#[tool(local)]`: the work moves between threads. `cfg_attr(…, tool)`: it cannot be seen.
/// - `unsafe`, `extern`, `const` and variadic functions, functions without a body, and what is no function.
/// - Below `#[tool]`, twice on one function, on a whole `impl`, and on a method of a trait or of its `impl`.
///
/// # Limits
///
/// A lint about the end of a function, such as `clippy::needless_return`, is not seen in a body that stays in place.
#[proc_macro_attribute]
pub fn smart_async(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(attribute.into(), item.into()).into()
}
