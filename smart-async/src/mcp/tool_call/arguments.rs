//! The arguments that every annotated tool takes beside its own: in the schema that clients see, and in a call.

use rmcp::model::{CallToolResult, JsonObject};
use serde_json::{Map, Value, json};

use super::AnnotatedTool;
use crate::mcp::tools::arguments::{flag, has_same_letters, label};

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
            taken.async_mode = flag(arguments, ASYNC_MODE)?.unwrap_or(false);
        }
        if !annotated.own_job_label {
            taken.label = label(arguments, JOB_LABEL)?;
        }
        Ok(taken)
    }
}

/// Returns whether a tool has an argument of this name itself, however spelt.
pub(super) fn has_own(input: &JsonObject, name: &str) -> bool {
    let properties = input.get("properties").and_then(Value::as_object);
    properties.is_some_and(|properties| properties.keys().any(|own| has_same_letters(own, name)))
}

/// Adds the arguments of the job to the schema of a tool, except those that the tool has itself.
pub(in crate::mcp) fn with_job_arguments(input: &JsonObject) -> JsonObject {
    let (own_async_mode, own_job_label) = (has_own(input, ASYNC_MODE), has_own(input, JOB_LABEL));
    let mut input = input.clone();
    let properties = input.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(properties) = properties {
        if !own_async_mode {
            let description = "Run as a background job at once; answers with a job_id";
            let schema = json!({"type": "boolean", "description": description});
            properties.insert(ASYNC_MODE.to_owned(), schema);
        }
        if !own_job_label {
            let schema = json!({"type": "string", "description": "A name for the job"});
            properties.insert(JOB_LABEL.to_owned(), schema);
        }
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
        let own = json!({"type": "object", "properties": {"asyncMode": {"type": "integer"}}});
        let widened = with_job_arguments(own.as_object().unwrap());
        assert_eq!(widened["properties"].get("async_mode"), None, "however it is spelt");
    }

    #[test]
    fn the_arguments_are_taken_however_they_are_spelt() {
        let annotated = AnnotatedTool { own_async_mode: false, own_job_label: false, rerun: false };
        for spelt in [
            json!({"async_mode": true, "job_label": " nightly "}),
            json!({"asyncmode": "true", "jobLabel": "nightly"}),
            json!({"asyncMode": 1, "job-label": "nightly"}),
        ] {
            let mut arguments: JsonObject = serde_json::from_value(spelt).unwrap();
            let taken = JobArguments::take(annotated, Some(&mut arguments)).unwrap();
            assert!(taken.async_mode && arguments.is_empty());
            assert_eq!(taken.label.as_deref(), Some("nightly"));
        }
        let mut empty = serde_json::from_value(json!({"async_mode": "", "job_label": ""})).unwrap();
        let taken = JobArguments::take(annotated, Some(&mut empty)).unwrap();
        assert!(!taken.async_mode && taken.label.is_none(), "an empty text is no value");
    }
}
