//! The outcome of work that has ended by itself.

use serde_json::{Map, Value};

use super::JobFailure;

/// The result of a job that completed.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct JobOutput {
    /// The result as a person sees it: the structured content of a tool's answer, else its text.
    pub result: Value,
    /// The tool's whole answer (a `CallToolResult`), where `result` alone cannot bring it back.
    pub tool_result: Option<Value>,
    /// Data of the work about its result: counts, file names, versions.
    pub metadata: Map<String, Value>,
}

impl JobOutput {
    /// A result without metadata.
    pub fn new(result: impl Into<Value>) -> Self {
        Self { result: result.into(), tool_result: None, metadata: Map::new() }
    }

    /// Adds one entry of metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

/// The outcome of work that ended by itself.
pub type Outcome = Result<JobOutput, JobFailure>;

/// The deepest nesting of an outcome, in levels. A store reads back what it wrote, and readers of JSON stop at 128.
const DEEPEST: usize = 100;

/// The outcome as a store can keep it: one that is nested too deeply becomes a failure of that job alone.
pub(crate) fn check_depth(outcome: Outcome) -> Outcome {
    let too_deep = |value: &Value| is_deeper_than(value, DEEPEST);
    let refused = match &outcome {
        Ok(output) => {
            let metadata = output.metadata.values().any(too_deep);
            metadata
                || too_deep(&output.result)
                || output.tool_result.as_ref().is_some_and(too_deep)
        }
        Err(failure) => {
            failure.details.as_ref().is_some_and(too_deep)
                || failure.tool_result.as_deref().is_some_and(too_deep)
        }
    };
    if refused {
        let message = format!(
            "the work ended, but its result is nested deeper than the {DEEPEST} levels that can be kept"
        );
        return Err(JobFailure::error(message));
    }
    outcome
}

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    match (value, levels.checked_sub(1)) {
        (Value::Array(values), Some(left)) => {
            values.iter().any(|value| is_deeper_than(value, left))
        }
        (Value::Object(fields), Some(left)) => {
            fields.values().any(|value| is_deeper_than(value, left))
        }
        (Value::Array(_) | Value::Object(_), None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
    }

    #[test]
    fn what_is_nested_too_deeply_fails_its_job_alone() {
        assert!(check_depth(Ok(JobOutput::new(nested(DEEPEST)))).is_ok());
        assert!(check_depth(Ok(JobOutput::new(nested(DEEPEST + 1)))).is_err());
        assert!(check_depth(Ok(JobOutput::new(1).with_metadata("deep", nested(1000)))).is_err());
        let failure =
            check_depth(Err(JobFailure::error("no").with_details(nested(1000)))).unwrap_err();
        assert!(failure.message.contains("nested deeper than the 100 levels"), "{failure}");
    }
}
