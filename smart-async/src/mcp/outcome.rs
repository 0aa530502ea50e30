//! Between the result of a tool and the outcome of a job, both ways, without loss.
//!
//! Most results say the same thing twice: the structured content, and its text. A record keeps what a person would
//! call the result, and the whole `CallToolResult` only where that cannot be made of it again.

use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ErrorCode};
use serde_json::Value;

use crate::core::job::{
    FailureKind, JobEvent, JobFailure, JobOutput, JobRecord, JobState, Outcome,
};
use crate::core::jobs::why_gone;

/// What a tool's result means to a job.
pub(crate) fn of_tool<R: IntoCallToolResult>(result: R) -> Outcome {
    match result.into_call_tool_result() {
        Ok(CallToolResponse::Complete(result)) => of_result(&result),
        Ok(CallToolResponse::InputRequired(_)) => Err(JobFailure::error(
            "the tool asked for input by returning InputRequiredResult, which only a call that is still open can do",
        )),
        Ok(_) => Err(JobFailure::error(
            "the tool returned a task of its own, which a job cannot end with",
        )),
        Err(error) => Err(of_error(&error)),
    }
}

/// What a result of a tool means to a job.
pub(super) fn of_result(result: &CallToolResult) -> Outcome {
    let kept = |usual: &CallToolResult| {
        if usual == result { None } else { serde_json::to_value(result).ok() }
    };
    if result.is_error == Some(true) {
        let message = spoken(result);
        let mut failure = JobFailure::error(message);
        failure.tool_result = kept(&usual_error(&failure.message)).map(Box::new);
        failure.details.clone_from(&result.structured_content);
        Err(failure)
    } else {
        let mut output = JobOutput::new(
            result.structured_content.clone().unwrap_or_else(|| Value::String(text(result))),
        );
        output.tool_result = kept(&usual_result(&output.result));
        Ok(output)
    }
}

fn of_error(error: &ErrorData) -> JobFailure {
    let mut failure = JobFailure::error(&*error.message);
    failure.rpc_code = Some(error.code.0.into());
    failure.details.clone_from(&error.data);
    failure
}

/// How work ended whose call was answered with this, to those who share it.
pub(super) fn of_answer(answer: &Result<CallToolResponse, ErrorData>) -> JobEvent {
    let outcome = match answer {
        Ok(CallToolResponse::Complete(result)) => of_result(result),
        Ok(_) => Err(JobFailure::error(
            "the same call was running, and asked its caller for something; make this call again",
        )),
        Err(error) => Err(of_error(error)),
    };
    match outcome {
        Ok(output) => JobEvent::Complete(output),
        Err(failure) => JobEvent::Fail(failure),
    }
}

/// What a tool would have answered with inline, whose work ended as this job did.
pub(super) fn of_ending(ending: &JobEvent) -> Result<CallToolResult, ErrorData> {
    match ending {
        JobEvent::Complete(output) => Ok(to_result(output)),
        JobEvent::Fail(failure) | JobEvent::Interrupt(failure) => to_error_response(failure),
        _ => Ok(usual_error("the work was cancelled")),
    }
}

/// What a tool would have answered with inline, whose job ended like this.
pub(super) fn of_record(job: &JobRecord) -> Result<CallToolResult, ErrorData> {
    if let Some(reason) = why_gone(job) {
        return Err(ErrorData::internal_error(reason, None));
    }
    match &job.state {
        JobState::Completed { output, .. } => Ok(to_result(output)),
        JobState::Failed { failure, .. } => to_error_response(failure),
        _ => Ok(usual_error("the work was cancelled")),
    }
}

fn to_error_response(failure: &JobFailure) -> Result<CallToolResult, ErrorData> {
    match failure.rpc_code.and_then(|code| i32::try_from(code).ok()) {
        Some(code) => {
            Err(ErrorData::new(ErrorCode(code), failure.message.clone(), failure.details.clone()))
        }
        None => Ok(to_error_result(failure)),
    }
}

/// The stored result of a job that ended, as one that a caller can read: an error of the protocol becomes one of the
/// tool, so that the model sees it. `None` where the job has not ended.
pub(super) fn stored_result(job: &JobRecord) -> Option<CallToolResult> {
    match &job.state {
        JobState::Completed { output, .. } => Some(to_result(output)),
        JobState::Failed { failure, .. } => Some(to_error_result(failure)),
        JobState::Cancelled { .. } => Some(CallToolResult::error(vec![ContentBlock::text(
            format!("Job {} was cancelled", job.id),
        )])),
        JobState::Pending { .. } | JobState::Running { .. } | JobState::InputRequired { .. } => {
            None
        }
    }
}

fn to_result(output: &JobOutput) -> CallToolResult {
    let stored = output.tool_result.clone().and_then(|stored| serde_json::from_value(stored).ok());
    stored.unwrap_or_else(|| usual_result(&output.result))
}

fn to_error_result(failure: &JobFailure) -> CallToolResult {
    let stored = failure
        .tool_result
        .as_deref()
        .cloned()
        .and_then(|stored| serde_json::from_value(stored).ok());
    stored.unwrap_or_else(|| {
        let message = match (&failure.kind, failure.rpc_code) {
            (FailureKind::Error, None) => failure.message.clone(),
            (FailureKind::Error, Some(code)) => format!("{} (error {code})", failure.message),
            (kind, _) => format!("{} ({kind})", failure.message),
        };
        usual_error(&message)
    })
}

/// What a tool answers with whose result is this: text where it is text, else structured content.
fn usual_result(result: &Value) -> CallToolResult {
    match result {
        Value::String(text) => CallToolResult::success(vec![ContentBlock::text(text.as_str())]),
        other => CallToolResult::structured(other.clone()),
    }
}

fn usual_error(message: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(message)])
}

/// The text blocks of a result.
fn text(result: &CallToolResult) -> String {
    let texts = result.content.iter().filter_map(|block| block.as_text());
    texts.map(|text| text.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// What an error result says, in words.
pub(super) fn spoken(result: &CallToolResult) -> String {
    let text = text(result);
    if !text.is_empty() {
        return text;
    }
    result
        .structured_content
        .as_ref()
        .map_or_else(|| "the tool failed without a word".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use rmcp::Json;
    use schemars::JsonSchema;
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    /// A result that went through a record.
    fn to_response(outcome: &Outcome) -> Result<CallToolResult, ErrorData> {
        of_ending(&match outcome {
            Ok(output) => JobEvent::Complete(output.clone()),
            Err(failure) => JobEvent::Fail(failure.clone()),
        })
    }

    #[derive(Serialize, JsonSchema)]
    struct Count {
        counted: u32,
    }

    #[derive(Serialize, JsonSchema)]
    struct Keyed {
        #[serde(serialize_with = "fails")]
        never: u32,
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn fails<S: serde::Serializer>(_: &u32, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }

    #[test]
    fn structured_content_is_the_result_and_is_kept_once() {
        let output = of_tool(Json(Count { counted: 3 })).unwrap();
        assert_eq!((&output.result, &output.tool_result), (&json!({"counted": 3}), &None));
        assert_eq!(to_result(&output), CallToolResult::structured(json!({"counted": 3})));
    }

    #[test]
    fn text_is_the_result_and_is_kept_once() {
        let output = of_tool("done".to_owned()).unwrap();
        assert_eq!((&output.result, &output.tool_result), (&json!("done"), &None));
        assert_eq!(to_result(&output), CallToolResult::success(vec![ContentBlock::text("done")]));
    }

    #[test]
    fn anything_else_comes_back_as_it_was() {
        let image = CallToolResult::success(vec![
            ContentBlock::text("look:"),
            ContentBlock::image("aGk=", "image/png"),
        ]);
        let string = CallToolResult::structured(json!("a string"));
        let nothing = CallToolResult::success(vec![]);
        for result in [image, string, nothing] {
            let outcome = of_tool(result.clone());
            assert_eq!(to_response(&outcome).unwrap(), result);
        }
    }

    #[test]
    fn an_error_result_is_a_failure_and_comes_back_as_it_was() {
        let plain = CallToolResult::error(vec![ContentBlock::text("no such file")]);
        let structured = CallToolResult::structured_error(json!({"why": "no such file"}));
        for result in [plain, structured] {
            let outcome = of_tool(result.clone());
            assert!(outcome.is_err(), "a failed job never reads as completed");
            assert_eq!(to_response(&outcome).unwrap(), result);
        }
    }

    #[test]
    fn an_error_of_the_protocol_keeps_its_code_and_data() {
        let error = ErrorData::invalid_params("bad day", Some(json!({"day": 32})));
        let outcome = of_tool(error.clone());
        assert_eq!(to_response(&outcome).unwrap_err(), error);
    }

    #[test]
    fn a_result_that_cannot_be_serialised_is_a_failure() {
        let outcome = of_tool(Json(Keyed { never: 1 }));
        assert!(outcome.unwrap_err().message.contains("not today"));
    }
}
