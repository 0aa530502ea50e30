//! `list_jobs`: the jobs of this server, newest first, with a few fields each.

use rmcp::model::CallToolResult;
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::response::{ToolResult, failed, success};
use super::{ANSWER_BYTES, Definition, Effect};
use crate::core::clock;
use crate::core::job::{JobQuery, JobRecord};
use crate::mcp::client::access::Access;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;

pub(super) fn definition() -> Definition {
    Definition {
        title: "List jobs",
        description: "Background jobs, newest first. `total` counts before the limit.",
        arguments: json!({
            "status_filter": {
                "type": "string",
                "enum": ["pending", "running", "input_required", "completed", "failed", "cancelled"]
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            "label": {"type": "string"},
            "tag": {"type": "string", "description": "key or key=value"},
            "session": {"type": "string"}
        }),
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

pub(super) async fn call(access: &Access, mut arguments: Arguments) -> ToolResult<CallToolResult> {
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
    arguments.finish("status_filter, limit, label, tag, session")?;
    let page = access.list(query).await.map_err(failed)?;
    let mut rows = Vec::with_capacity(page.jobs.len());
    let mut left = ANSWER_BYTES;
    for job in &page.jobs {
        let row = row(job);
        let Some(rest) = left.checked_sub(row.to_string().len()) else { break };
        left = rest;
        rows.push(row);
    }
    let omitted = page.jobs.len() - rows.len();
    let advice = "the rest does not fit: filter by status_filter, label, tag or session";
    Ok(success(json!({
        "jobs": rows,
        "total": page.total,
        "omitted": (omitted > 0).then_some(omitted),
        "note": (omitted > 0).then_some(advice),
    })))
}

fn row(job: &JobRecord) -> Value {
    let mut row = Map::new();
    row.insert("id".to_owned(), job.id.to_string().into());
    row.insert("tool".to_owned(), job.spec.tool.as_str().into());
    row.insert("label".to_owned(), job.spec.label.as_str().into());
    row.insert("status".to_owned(), job.status().as_str().into());
    row.insert("terminal".to_owned(), job.status().is_terminal().into());
    if let Some(percentage) = job.progress.as_ref().and_then(|progress| progress.percentage) {
        row.insert("percentage".to_owned(), percentage.into());
    }
    row.insert("updated_at".to_owned(), clock::rfc3339(job.updated_at).into());
    Value::Object(row)
}
