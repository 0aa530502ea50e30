//! `list_jobs`: the jobs of this server, newest first, with a few fields each.

use rmcp::model::CallToolResult;
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::job_view::{how_far, shown_label};
use super::response::{ToolResult, failed, success};
use super::{ANSWER_BYTES, Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::job::{JobQuery, JobRecord};
use crate::mcp::client::access::Access;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;

/// The filters by tag and session are shown where callers can set these. Jobs of the program have them everywhere.
pub(super) fn definition(groups_jobs: bool) -> Definition {
    let mut arguments = json!({
        "status_filter": {
            "type": "string",
            "enum": ["pending", "running", "input_required", "completed", "failed", "cancelled"]
        },
        "limit": {"type": "integer"},
        "label": {"type": "string"}
    });
    if let Some(arguments) = arguments.as_object_mut().filter(|_| groups_jobs) {
        let tag = json!({"type": "string", "description": "key or key=value"});
        arguments.insert("tag".to_owned(), tag);
        arguments.insert("session".to_owned(), json!({"type": "string"}));
    }
    Definition {
        title: "List jobs",
        description: "Background jobs, newest first. `total` counts before the limit.",
        arguments,
        required: &[],
        answer: json!({
            "jobs": {"type": "array", "items": {"type": "object"}},
            "total": {"type": "integer"},
            "omitted": {"type": "integer"},
            "note": {"type": "string"}
        }),
        effect: Effect::ReadOnly,
    }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    groups_jobs: bool,
    mut arguments: Arguments,
) -> ToolResult<CallToolResult> {
    let query = JobQuery {
        statuses: arguments.statuses("status_filter")?,
        limit: Some(arguments.count("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT)),
        label: arguments.text("label")?,
        tag: arguments.text("tag")?.map(|tag| match tag.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (tag, None),
        }),
        session: arguments.text("session")?,
        with_total: true,
        ..JobQuery::default()
    };
    let (shown, advice) = match groups_jobs {
        true => {
            ("status_filter, limit, label, tag, session", "status_filter, label, tag or session")
        }
        false => ("status_filter, limit, label", "status_filter or label"),
    };
    arguments.finish(shown)?;
    let page = access.list(query).await.map_err(|error| failed(follow_up, error))?;
    let mut rows = Vec::with_capacity(page.jobs.len());
    let mut left = ANSWER_BYTES;
    for job in &page.jobs {
        let row = row(access, job);
        let Some(rest) = left.checked_sub(row.to_string().len()) else { break };
        left = rest;
        rows.push(row);
    }
    let omitted = page.jobs.len() - rows.len();
    let advice = format!("the rest does not fit: filter by {advice}");
    Ok(success(json!({
        "jobs": rows,
        "total": page.total,
        "omitted": (omitted > 0).then_some(omitted),
        "note": (omitted > 0).then_some(advice),
    })))
}

/// A job in a few fields. The label is left out where it is the tool's name, as it is unless a caller gives another.
fn row(access: &Access, job: &JobRecord) -> Value {
    let (tool, label) = (&*job.spec.tool, &*job.spec.label);
    let mut row = Map::new();
    row.insert("id".to_owned(), job.id.to_string().into());
    row.insert("tool".to_owned(), shown_label(tool).into());
    if label != tool {
        row.insert("label".to_owned(), shown_label(label).into());
    }
    row.insert("status".to_owned(), job.status().as_str().into());
    row.extend(how_far(job, access.manager()).map(|(field, value)| (field.to_owned(), value)));
    Value::Object(row)
}
