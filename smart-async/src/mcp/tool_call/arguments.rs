//! The arguments that every annotated tool takes beside its own: in the schema that clients see, and in a call.

use rmcp::model::{CallToolResult, JsonObject};
use serde_json::{Map, Value, json};

use super::AnnotatedTool;
use crate::mcp::tools::arguments::job_label;
use crate::mcp::tools::response::in_band_error;

/// The argument that makes a job of the call at once.
pub(super) const ASYNC_MODE: &str = "async_mode";
/// The argument that names the job.
pub(super) const JOB_LABEL: &str = "job_label";

/// The caller's arguments for the job.
#[derive(Debug, Default)]
pub(super) struct JobArguments {
    pub(super) async_mode: bool,
    pub(super) label: Option<String>,
}

impl JobArguments {
    /// Takes them out of the arguments, so that the tool never sees them.
    ///
    /// # Errors
    /// The answer to the call, where an argument is invalid. The tool is not called then.
    pub(super) fn take(
        annotated: AnnotatedTool,
        arguments: Option<&mut JsonObject>,
    ) -> Result<Self, CallToolResult> {
        let mut taken = Self::default();
        let Some(arguments) = arguments else { return Ok(taken) };
        if !annotated.own_async_mode {
            taken.async_mode = match arguments.remove(ASYNC_MODE) {
                None | Some(Value::Null | Value::Bool(false)) => false,
                Some(Value::Bool(true)) => true,
                Some(_) => return Err(in_band_error("async_mode: must be true or false", None)),
            };
        }
        if !annotated.own_job_label {
            taken.label = match arguments.remove(JOB_LABEL) {
                None | Some(Value::Null) => None,
                Some(label) => Some(
                    job_label(JOB_LABEL, &label).map_err(|error| in_band_error(&error, None))?,
                ),
            };
        }
        Ok(taken)
    }
}

/// Adds the arguments of the job to the schema of a tool, except those that the tool has itself.
pub(in crate::mcp) fn with_job_arguments(input: &JsonObject) -> JsonObject {
    let mut input = input.clone();
    let properties = input.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(properties) = properties {
        properties.entry(ASYNC_MODE).or_insert_with(|| {
            json!({"type": "boolean", "description": "Run as a background job at once; answers with a job_id"})
        });
        properties
            .entry(JOB_LABEL)
            .or_insert_with(|| json!({"type": "string", "description": "A name for the job"}));
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_own_argument_of_the_same_name_wins() {
        let own = json!({"type": "object", "properties": {"job_label": {"type": "integer"}}});
        let widened = with_job_arguments(own.as_object().unwrap());
        assert_eq!(widened["properties"]["job_label"], json!({"type": "integer"}));
        assert_eq!(widened["properties"]["async_mode"]["type"], "boolean");
    }
}
