//! `list_jobs`: the jobs of this server, newest first, in short.

use rmcp::model::CallToolResult;
use serde::Serialize;
use serde_json::json;

use super::answer::{answer, failed};
use super::arguments::{Arguments, Taken};
use super::{Changes, Definition};
use crate::clock;
use crate::job::{JobId, JobQuery, JobRecord, JobStatus};
use crate::mcp::access::Access;

pub(super) const NAME: &str = "list_jobs";

const LIMIT: usize = 20;
const MOST: usize = 1000;

pub(super) fn definition() -> Definition {
    Definition {
        name: NAME,
        title: "List jobs",
        description: "Background jobs, newest first. `total` counts before the limit.",
        arguments: json!({
            "status_filter": {
                "type": "string",
                "enum": ["pending", "running", "input_required", "completed", "failed", "cancelled"]
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT},
            "label": {"type": "string"},
            "tag": {"type": "string", "description": "key or key=value"},
            "session": {"type": "string"}
        }),
        required: &[],
        answer: json!({"jobs": {"type": "array", "items": {"type": "object"}}, "total": {"type": "integer"}}),
        changes: Changes::Nothing,
    }
}

pub(super) async fn call(access: &Access, mut arguments: Arguments) -> Taken<CallToolResult> {
    let query = JobQuery {
        statuses: arguments.statuses("status_filter")?,
        limit: Some(arguments.count("limit", 1, MOST)?.unwrap_or(LIMIT)),
        label: arguments.text("label")?,
        tag: arguments.text("tag")?.map(|tag| match tag.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (tag, None),
        }),
        session: arguments.text("session")?,
        ..JobQuery::default()
    };
    arguments.finish("status_filter, limit, label, tag, session")?;
    let page = access.list(query).await.map_err(|error| failed(&error))?;
    let jobs: Vec<_> = page.jobs.iter().map(|job| Row::from(&**job)).collect();
    Ok(answer(json!({"jobs": jobs, "total": page.total})))
}

/// A job in short.
#[derive(Serialize)]
struct Row<'a> {
    id: JobId,
    tool: &'a str,
    label: &'a str,
    status: JobStatus,
    terminal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    percentage: Option<f64>,
    updated_at: String,
}

impl<'a> From<&'a JobRecord> for Row<'a> {
    fn from(job: &'a JobRecord) -> Self {
        Self {
            id: job.id,
            tool: &job.tool,
            label: &job.label,
            status: job.status(),
            terminal: job.status().is_terminal(),
            percentage: job.progress.as_ref().and_then(|progress| progress.percentage),
            updated_at: clock::rfc3339(job.updated_at),
        }
    }
}
