//! `list_jobs`: the jobs of this server, newest first, in short.

use rmcp::model::CallToolResult;
use serde_json::{Map, Value, json};

use super::answer::{answer, failed};
use super::arguments::{Arguments, Taken};
use super::{Changes, Definition};
use crate::core::clock;
use crate::core::job::{JobQuery, JobRecord};
use crate::mcp::client::access::Access;

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
    let mut fields = Map::new();
    fields.insert("jobs".to_owned(), page.jobs.iter().map(|job| row(job)).collect());
    fields.insert("total".to_owned(), page.total.into());
    Ok(answer(fields.into()))
}

/// The row of a job. It is made field by field: through a type that is serialized, a page would cost twice as much.
fn row(job: &JobRecord) -> Value {
    let mut row = Map::new();
    let mut say = |name: &str, value: Value| row.insert(name.to_owned(), value);
    say("id", job.id.to_string().into());
    say("tool", job.spec.tool.clone().into());
    say("label", job.spec.label.clone().into());
    say("status", job.status().as_str().into());
    say("terminal", job.status().is_terminal().into());
    if let Some(percentage) = job.progress.as_ref().and_then(|progress| progress.percentage) {
        say("percentage", percentage.into());
    }
    say("updated_at", clock::rfc3339(job.updated_at).into());
    Value::Object(row)
}
