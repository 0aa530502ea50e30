//! The tools with which a caller follows its jobs. Each has a file of its own, with its definition and its answer.
//! `arguments`, `job_view`, `question_view` and `response` hold the parts that they share.

mod answer_job;
pub(super) mod arguments;
mod cancel_job;
mod job_metrics;
mod job_result;
mod job_status;
pub(super) mod job_view;
mod list_jobs;
mod names;
mod prune_jobs;
pub(super) mod question_view;
pub(super) mod response;
mod wait_job;

use std::sync::Arc;

use rmcp::handler::server::router::tool::{ToolRoute, ToolRouter};
use rmcp::model::{CallToolResult, JsonObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use self::arguments::Arguments;
pub(super) use self::names::{CallerMay, JobToolNames};
pub(super) use self::wait_job::Waiter;
use super::client::access::Access;
use super::client::capabilities::host_timeout;
use super::client::host_timeouts::HostTimeouts;
use super::client::session::scope_of_request;
use super::sdk_gaps::departures::ways_over_http;
use crate::call::Caller;
use crate::call::reply::{FollowUp, set_job_tools_served};
use crate::core::manager::JobManager;

/// The most that an answer shows of all its jobs together, in bytes: hosts cut an answer at 25,000 tokens.
const ANSWER_BYTES: usize = 32 * 1024;

/// A job tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum JobTool {
    Status,
    Wait,
    Result,
    List,
    Cancel,
    Prune,
    Answer,
    Metrics,
}

/// A job tool as `tools/list` shows it.
struct Definition {
    title: &'static str,
    /// The names of other job tools have `{prefix}` before them.
    description: &'static str,
    /// The schema of each argument, by name.
    arguments: Value,
    required: &'static [&'static str],
    /// The schema of each field of the answer, by name, but for `error`, which every tool has.
    answer: Value,
    effect: Effect,
}

/// The effect of a call, for the annotations of the tool. Each tool is idempotent.
#[derive(Clone, Copy)]
enum Effect {
    ReadOnly,
    /// The call gives something to the job.
    Additive,
    /// The call ends or removes something.
    Destructive,
}

impl JobTool {
    pub(super) const ALL: [Self; 8] = [
        Self::Status,
        Self::Wait,
        Self::Result,
        Self::Answer,
        Self::List,
        Self::Cancel,
        Self::Prune,
        Self::Metrics,
    ];

    fn describe(self, groups_jobs: bool) -> Definition {
        match self {
            Self::Status => job_status::definition(),
            Self::Wait => wait_job::definition(),
            Self::Result => job_result::definition(),
            Self::List => list_jobs::definition(groups_jobs),
            Self::Cancel => cancel_job::definition(),
            Self::Prune => prune_jobs::definition(),
            Self::Answer => answer_job::definition(),
            Self::Metrics => job_metrics::definition(),
        }
    }

    /// The tool's name without a prefix.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Status => "job_status",
            Self::Wait => "wait_job",
            Self::Result => "job_result",
            Self::List => "list_jobs",
            Self::Cancel => "cancel_job",
            Self::Prune => "prune_jobs",
            Self::Answer => "answer_job",
            Self::Metrics => "job_metrics",
        }
    }

    /// Returns whether a call may take as long as its host waits for an answer.
    pub(super) const fn waits(self) -> bool {
        matches!(self, Self::Wait)
    }

    /// The tool as `tools/list` shows it.
    pub(super) fn definition(self, prefix: &str, groups_jobs: bool) -> Tool {
        let Definition { title, description, arguments, required, mut answer, effect } =
            self.describe(groups_jobs);
        let mut input = Map::new();
        input.insert("type".to_owned(), json!("object"));
        input.insert("properties".to_owned(), arguments);
        if !required.is_empty() {
            input.insert("required".to_owned(), json!(required));
        }
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("error".to_owned(), json!({"type": "string"}));
        }
        let mut output = Map::new();
        output.insert("type".to_owned(), json!("object"));
        output.insert("properties".to_owned(), answer);
        let annotations = match effect {
            Effect::ReadOnly => ToolAnnotations::new().read_only(true),
            Effect::Additive => ToolAnnotations::new().read_only(false).destructive(false),
            Effect::Destructive => ToolAnnotations::new().read_only(false).destructive(true),
        };
        Tool::new(
            format!("{prefix}{}", self.name()),
            description.replace("{prefix}", prefix),
            Arc::new(input),
        )
        .with_title(title)
        .with_raw_output_schema(Arc::new(output))
        .with_annotations(annotations.idempotent(true).open_world(false))
    }

    /// Answers a call. Errors are answers too, because a model reads answers, and no errors of the protocol.
    pub(super) async fn call(
        self,
        access: &Access,
        follow_up: &FollowUp,
        waiter: Option<Waiter>,
        groups_jobs: bool,
        arguments: JsonObject,
    ) -> CallToolResult {
        let arguments = Arguments::new(arguments, follow_up.find());
        let answer = match self {
            Self::Status => job_status::call(access, follow_up, arguments).await,
            Self::Wait => {
                wait_job::call(access, follow_up, waiter.unwrap_or_default(), arguments).await
            }
            Self::Result => job_result::call(access, follow_up, arguments).await,
            Self::List => list_jobs::call(access, follow_up, groups_jobs, arguments).await,
            Self::Cancel => cancel_job::call(access, follow_up, arguments).await,
            Self::Prune => prune_jobs::call(access, follow_up, arguments).await,
            Self::Answer => answer_job::call(access, follow_up, arguments).await,
            Self::Metrics => job_metrics::call(access, follow_up, arguments).await,
        };
        answer.unwrap_or_else(|error| error)
    }
}

/// The job tools as a router, for a server that is not wrapped by [`JobServer`](crate::JobServer) and merges it with its own
/// router. The tools serve the jobs of [`JobManager::global`].
pub fn job_tools<S: Send + Sync + 'static>() -> ToolRouter<S> {
    set_job_tools_served();
    let mut router = ToolRouter::new();
    for tool in JobTool::ALL {
        router.add_route(ToolRoute::new_dyn(tool.definition("", false), move |context| {
            let arguments = context.arguments.unwrap_or_default();
            let ways = ways_over_http(&context.request_context).unwrap_or_default();
            let caller = Caller::new(context.request_context.ct.clone(), ways);
            let timeout = host_timeout(&HostTimeouts::default(), &context.request_context);
            let waiter = Waiter::new(caller, timeout, &context.request_context);
            let scope = scope_of_request(&context.request_context);
            Box::pin(async move {
                let manager = JobManager::global().await;
                manager.runner().ready().await;
                let access = Access::new(manager, scope);
                let follow_up = FollowUp::default();
                Ok(tool.call(&access, &follow_up, Some(waiter), false, arguments).await.into())
            })
        }));
    }
    router
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions() -> Vec<Tool> {
        JobTool::ALL.into_iter().map(|tool| tool.definition("", false)).collect()
    }

    /// Agents and their users rely on the definitions, so a change has to be deliberate.
    #[test]
    fn the_definitions_are_a_promise() {
        insta::assert_json_snapshot!(definitions());
    }

    #[test]
    fn names_carry_the_prefix() {
        assert_eq!(JobTool::Status.definition("bg_", false).name, "bg_job_status");
    }
}
