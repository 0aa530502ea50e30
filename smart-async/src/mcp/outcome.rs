//! Converts a tool result to the outcome of a job and back, without loss.
//!
//! Most results have the same value twice, as structured content and as its text. A record keeps the value once, and the whole
//! `CallToolResult` only where it cannot be rebuilt from the value.

use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ErrorCode};
use serde::Deserialize;
use serde_json::Value;

use crate::core::job::{
    FailureKind, JobEvent, JobFailure, JobOutput, JobRecord, JobState, Outcome, ResultLocation,
};
use crate::core::jobs::why_gone;

/// The outcome of a job whose function returned this.
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

/// The outcome of a job whose tool answered with this.
pub(super) fn of_result(result: &CallToolResult) -> Outcome {
    let unless_usual = |usual: &CallToolResult| {
        if usual == result { None } else { serde_json::to_value(result).ok() }
    };
    if result.is_error == Some(true) {
        let message = error_text(result);
        let mut failure = JobFailure::error(message);
        failure.tool_result = unless_usual(&usual_error(&failure.message)).map(Box::new);
        failure.details.clone_from(&result.structured_content);
        Err(failure)
    } else {
        let mut output = JobOutput::new(
            result.structured_content.clone().unwrap_or_else(|| Value::String(text(result))),
        );
        output.tool_result = unless_usual(&usual_result(&output.result));
        Ok(output)
    }
}

fn of_error(error: &ErrorData) -> JobFailure {
    let mut failure = JobFailure::error(&*error.message);
    failure.rpc_code = Some(error.code.0.into());
    failure.details.clone_from(&error.data);
    failure
}

/// The end of a run whose call was answered with this, for the callers that share the run.
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

/// The inline answer to a call whose work ended so.
pub(super) fn of_ending(ending: &JobEvent) -> Result<CallToolResult, ErrorData> {
    match ending {
        JobEvent::Complete(output) => Ok(to_result(output)),
        JobEvent::Fail(failure) | JobEvent::Interrupt(failure) => to_error_response(failure),
        _ => Ok(usual_error("the work was cancelled")),
    }
}

/// The inline answer to a call whose job ended so.
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

/// The result of an ended job as a tool result; `None` where the job has not ended. An error of the protocol becomes an error
/// of the tool, so that the model sees it.
pub(super) fn stored_result(job: &JobRecord) -> Option<CallToolResult> {
    match &job.state {
        JobState::Completed { output, .. } => Some(to_result(output)),
        JobState::Failed { failure, .. } => Some(to_error_result(failure)),
        JobState::Cancelled { .. } => Some(usual_error(&format!("Job {} was cancelled", job.id))),
        JobState::Pending { .. } | JobState::Running { .. } | JobState::InputRequired { .. } => {
            None
        }
    }
}

/// The largest result that one answer carries, in bytes of its file. A host takes no larger message, and a client that asks for many
/// of them at once would take the server's memory.
const LARGEST_ANSWER: u64 = 4 * 1024 * 1024;

/// Returns whether the result of an ended job is too large for one answer.
pub(super) const fn is_too_large(job: &JobRecord) -> bool {
    matches!(job.result_location, ResultLocation::InFile { file_bytes, .. } if file_bytes > LARGEST_ANSWER)
}

/// The advice for a client that asks for a result which is too large for one answer.
pub(super) fn too_large(job: &JobRecord) -> String {
    let bytes = match job.result_location {
        ResultLocation::InFile { file_bytes, .. } => file_bytes,
        ResultLocation::InRecord | ResultLocation::InMemory => 0,
    };
    let id = job.id;
    format!(
        "the result takes {bytes} bytes, and one answer carries {LARGEST_ANSWER}; read it by pages: job_result {{\"job_id\":\"{id}\"}}"
    )
}

/// The tool's whole answer, where the record has it.
fn whole_answer(stored: Option<&Value>) -> Option<CallToolResult> {
    CallToolResult::deserialize(stored?).ok()
}

fn to_result(output: &JobOutput) -> CallToolResult {
    whole_answer(output.tool_result.as_ref()).unwrap_or_else(|| usual_result(&output.result))
}

fn to_error_result(failure: &JobFailure) -> CallToolResult {
    whole_answer(failure.tool_result.as_deref()).unwrap_or_else(|| {
        let message = match (&failure.kind, failure.rpc_code) {
            (FailureKind::Error, None) => failure.message.clone(),
            (FailureKind::Error, Some(code)) => format!("{} (error {code})", failure.message),
            (kind, _) => format!("{} ({kind})", failure.message),
        };
        usual_error(&message)
    })
}

/// The answer of a tool that returns this value: text for a string, structured content for any other value.
fn usual_result(result: &Value) -> CallToolResult {
    match result {
        Value::String(text) => CallToolResult::success(vec![ContentBlock::text(text.as_str())]),
        other => CallToolResult::structured(other.clone()),
    }
}

fn usual_error(message: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(message)])
}

/// The text blocks of a result, a line each.
fn text(result: &CallToolResult) -> String {
    let texts = result.content.iter().filter_map(|block| block.as_text());
    texts.map(|text| text.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// The text of an error result, or else its structured content.
pub(super) fn error_text(result: &CallToolResult) -> String {
    let text = text(result);
    if !text.is_empty() {
        return text;
    }
    result
        .structured_content
        .as_ref()
        .map_or_else(|| "the tool failed without a message".to_owned(), Value::to_string)
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
