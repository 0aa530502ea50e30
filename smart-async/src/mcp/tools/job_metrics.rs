//! `job_metrics`: figures about the jobs of this server, its slots and the load of its machine.

use rmcp::model::CallToolResult;
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::job_view::seconds;
use super::response::{ToolResult, failed, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::jobs::{Error, JobMetrics};
use crate::mcp::client::access::Access;

pub(super) fn definition() -> Definition {
    Definition {
        title: "Job metrics",
        description: "Counts of jobs, run times, slots in use and load.",
        arguments: json!({}),
        required: &[],
        answer: json!({
            "jobs": {"type": "object"},
            "queued": {"type": "integer"},
            "run_seconds": {"type": "object"},
            "stored_bytes": {"type": "integer"},
            "slots": {"type": "object"},
            "load": {"type": "object"}
        }),
        effect: Effect::ReadOnly,
    }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    arguments: Arguments,
) -> ToolResult<CallToolResult> {
    arguments.finish("none")?;
    let metrics = access.metrics().await.map_err(|error| failed(follow_up, error))?;
    let mut answer = of_jobs(&metrics);
    // The slots and the machine are those of all clients.
    if access.sees_all() {
        let slots = slots(access).await.map_err(|error| failed(follow_up, error))?;
        answer.insert("slots".to_owned(), slots);
        answer.insert("load".to_owned(), load(access).await);
    }
    Ok(success(Value::Object(answer)))
}

fn of_jobs(metrics: &JobMetrics) -> Map<String, Value> {
    let jobs = metrics.by_status.iter().map(|(status, count)| (status.to_string(), json!(count)));
    let run_times = metrics.run_times.iter().map(|(tool, times)| {
        let times =
            json!({"runs": times.runs, "mean": seconds(times.mean), "p95": seconds(times.p95)});
        (tool.clone(), times)
    });
    let mut answer = Map::new();
    answer.insert("jobs".to_owned(), jobs.collect::<Map<_, _>>().into());
    answer.insert("queued".to_owned(), metrics.queued.into());
    answer.insert("run_seconds".to_owned(), run_times.collect::<Map<_, _>>().into());
    answer.insert("stored_bytes".to_owned(), metrics.stored_bytes.into());
    answer
}

async fn slots(access: &Access) -> Result<Value, Error> {
    let manager = access.manager();
    let slots = manager.jobs().slots_in_use().await?;
    let of_tools = slots.of_tools.iter().filter(|((server, _), _)| server == manager.server());
    let of_tools = of_tools.map(|((_, tool), (in_use, limit))| {
        (tool.clone(), json!({"in_use": in_use, "limit": limit}))
    });
    let limit = manager.runner().limit_on_jobs();
    Ok(json!({
        "jobs": {"in_use": slots.jobs, "limit": limit},
        "tools": of_tools.collect::<Map<_, _>>(),
    }))
}

async fn load(access: &Access) -> Value {
    let load = access.manager().runner().load().await;
    let percent = |share: Option<f64>| share.map(|share| (share * 100.0).round());
    let mut answer = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        answer.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("memory_percent", percent(load.memory).map(|percent| json!(percent as u64)));
    add("cpu_percent", percent(load.cpu).map(|percent| json!(percent as u64)));
    add("disk_free_bytes", load.disk.map(|(free, _)| json!(free)));
    Value::Object(answer)
}
