//! What work ends with, once it has ended by itself.

use serde_json::{Map, Value};

use super::JobFailure;

/// The result of a job that completed.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct JobOutput {
    /// What a person would call the result: the structured content of a tool's answer, else its text.
    pub result: Value,
    /// The tool's whole answer (a `CallToolResult`), where `result` alone cannot bring it back.
    pub tool_result: Option<Value>,
    /// What the work says about its result: counts, file names, versions.
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

/// How work ended by itself.
pub type Outcome = Result<JobOutput, JobFailure>;
