//! `prune_jobs`: removes ended jobs of this server.

use std::time::Duration;

use rmcp::model::CallToolResult;
use serde_json::json;

use super::arguments::Arguments;
use super::response::{ToolResult, failed, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::job::{JobStatus, Prune};
use crate::mcp::client::access::Access;

const MAX_AGE_HOURS: u32 = 24;
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn definition() -> Definition {
    Definition {
        title: "Prune jobs",
        description: "Remove jobs ended over 24 h ago; keeps failed ones.",
        arguments: json!({
            "keep_completed": {"type": "boolean"},
            "keep_failed": {"type": "boolean"},
            "max_age_hours": {"type": "number"},
            "keep_count": {"type": "integer"},
            "statuses": {"type": "string"}
        }),
        required: &[],
        answer: json!({"removed": {"type": "integer"}, "remaining": {"type": "integer"}}),
        effect: Effect::Destructive,
    }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    mut arguments: Arguments,
) -> ToolResult<CallToolResult> {
    let keep_completed = arguments.flag("keep_completed")?.unwrap_or(false);
    let keep_failed = arguments.flag("keep_failed")?.unwrap_or(true);
    let max_age = arguments.time("max_age_hours", HOUR)?.unwrap_or(HOUR * MAX_AGE_HOURS);
    let keep_newest = arguments.count("keep_count", 0, usize::MAX)?.unwrap_or(0);
    let mut statuses = arguments.statuses("statuses")?;
    arguments.finish("keep_completed, keep_failed, max_age_hours, keep_count, statuses")?;
    if statuses.is_empty() {
        if !keep_completed {
            statuses.extend([JobStatus::Completed, JobStatus::Cancelled]);
        }
        if !keep_failed {
            statuses.push(JobStatus::Failed);
        }
    }
    let prune = Prune {
        // An empty list of statuses means any status. Here it means that the caller keeps all of them.
        keep_newest: if statuses.is_empty() { usize::MAX } else { keep_newest },
        statuses,
        ended_before: Some(access.manager().jobs().ago(max_age)).filter(|_| !max_age.is_zero()),
        ..Prune::default()
    };
    let pruned = access.prune(prune).await.map_err(|error| failed(follow_up, error))?;
    Ok(success(json!({"removed": pruned.removed, "remaining": pruned.remaining})))
}
