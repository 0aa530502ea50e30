//! `answer_job`: answers a question of a running job.

use rmcp::model::CallToolResult;
use serde_json::json;

use super::arguments::Arguments;
use super::question_view::next_answer;
use super::response::{ToolResult, failed, in_band_error, refusal, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::jobs::AnswerError;
use crate::mcp::client::access::Access;

pub(super) fn definition() -> Definition {
    Definition {
        title: "Answer job",
        description: "Answer the question of a job that is `input_required`. Ask the user; do not make the answer up.",
        arguments: json!({
            "job_id": {"type": "string"},
            "key": {"type": "string", "description": "which question, if several"},
            "action": {"type": "string", "enum": ["accept", "decline", "cancel"]},
            "content": {
                "type": "object",
                "description": "as the question's schema says",
                "properties": {},
                "additionalProperties": true
            }
        }),
        required: &["job_id"],
        answer: json!({
            "job_id": {"type": "string"},
            "status": {"type": "string"},
            "terminal": {"type": "boolean"},
            "message": {"type": "string"},
            "next": {"type": "string"}
        }),
        effect: Effect::Additive,
    }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    mut arguments: Arguments,
) -> ToolResult<CallToolResult> {
    let id = arguments.job_id()?;
    let key = arguments.text("key")?;
    let action = arguments.one_of("action", &["accept", "decline", "cancel"])?;
    let content = arguments.object("content")?;
    arguments.finish("job_id, key, action, content")?;

    let job = access.status(id).await.map_err(|error| failed(follow_up, error))?;
    let open: Vec<_> = job.open_questions().map(|(key, _)| key).collect();
    let key = match (key, open.as_slice()) {
        (Some(key), _) => key,
        (None, [only]) => (*only).to_owned(),
        (None, []) => {
            let error = AnswerError::NothingAsked { id, status: job.status() };
            let next = match job.status().is_terminal() {
                true => follow_up.result(id, 0),
                false => follow_up.next(&[id]),
            };
            return Err(refusal(&error.to_string(), Some(id), next));
        }
        (None, several) => {
            let message = format!("key: must be one of {}", several.join(", "));
            return Err(in_band_error(&message, Some(id)));
        }
    };
    let action = action.as_deref().unwrap_or("accept");
    let answer = match content {
        Some(content) => json!({"action": action, "content": content}),
        None => json!({"action": action}),
    };
    let job = match access.answer(id, &key, answer).await {
        Ok(job) => job,
        Err(AnswerError::Job(error)) => return Err(failed(follow_up, error)),
        Err(error) => return Err(in_band_error(&error.answer_text(), Some(id))),
    };
    let next = next_answer(follow_up, &job).or_else(|| follow_up.next(&[id]));
    Ok(success(json!({
        "job_id": id,
        "status": job.status(),
        "terminal": job.status().is_terminal(),
        "message": "The work has the answer.",
        "next": next,
    })))
}
