//! What the caller of an annotated tool may wish beside the tool's own arguments: the arguments that every annotated
//! tool gets, in its schema and in its calls.

use rmcp::model::{CallToolResult, JsonObject, Tool};
use serde_json::{Map, Value, json};

use super::schema::{is_marked, is_rerun};
use super::tools::answer::{in_band_error, job_label};

/// The argument of every annotated tool that makes a job of the call at once.
const ASYNC_MODE: &str = "async_mode";
/// The argument of every annotated tool that names the job.
const JOB_LABEL: &str = "job_label";

/// What is remembered of a tool that is annotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Annotated {
    /// The tool has an argument of that name of its own, which is none of our business.
    pub(super) own_async_mode: bool,
    pub(super) own_job_label: bool,
    /// The call may be made again after a restart.
    pub(super) rerun: bool,
}

impl Annotated {
    /// The tool as it is remembered; `None` where it is not annotated.
    pub(super) fn of(tool: &Tool) -> Option<Self> {
        let has = |name: &str| has_property(&tool.input_schema, name);
        is_marked(tool.meta.as_ref()).then(|| Self {
            own_async_mode: has(ASYNC_MODE),
            own_job_label: has(JOB_LABEL),
            rerun: is_rerun(tool.meta.as_ref()),
        })
    }
}

fn has_property(schema: &JsonObject, name: &str) -> bool {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|properties| properties.contains_key(name))
}

/// What the caller of an annotated tool wishes beside the tool's own arguments.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) async_mode: bool,
    pub(super) label: Option<String>,
}

impl Wishes {
    /// Takes them out of the arguments, so that the tool never sees them; a wish that makes no sense is answered in-band,
    /// before anything is started.
    pub(super) fn take(
        annotated: Annotated,
        arguments: Option<&mut JsonObject>,
    ) -> Result<Self, CallToolResult> {
        let mut wishes = Self::default();
        let Some(arguments) = arguments else { return Ok(wishes) };
        if !annotated.own_async_mode {
            wishes.async_mode = match arguments.remove(ASYNC_MODE) {
                None | Some(Value::Null | Value::Bool(false)) => false,
                Some(Value::Bool(true)) => true,
                Some(_) => return Err(in_band_error("async_mode: give true or false", None)),
            };
        }
        if !annotated.own_job_label {
            wishes.label = match arguments.remove(JOB_LABEL) {
                None | Some(Value::Null) => None,
                Some(label) => Some(
                    job_label(JOB_LABEL, &label).map_err(|error| in_band_error(&error, None))?,
                ),
            };
        }
        Ok(wishes)
    }
}

/// Adds the arguments that every annotated tool takes, but for those that it has itself.
pub(super) fn with_job_arguments(input: &JsonObject) -> JsonObject {
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
