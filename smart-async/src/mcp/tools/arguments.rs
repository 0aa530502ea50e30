//! The arguments of a job tool. Every refusal begins with the name of the argument and says which values are allowed.

use std::time::Duration;

use rmcp::model::JsonObject;
use serde_json::Value;

use super::response::{ToolResult, in_band_error};
use crate::core::job::{JobId, JobStatus, MalformedJobId};
use crate::core::text::quoted;

/// The most jobs that one call may name.
const MAX_JOBS: usize = 100;

/// The longest label, in characters.
const MAX_LABEL: usize = 200;

/// The arguments of a call. Each method removes one of them, and `null` counts as absent.
#[derive(Debug)]
pub(super) struct Arguments(JsonObject);

fn refuse<T>(name: &str, reason: &str) -> ToolResult<T> {
    Err(in_band_error(&format!("{name}: {reason}"), None))
}

impl Arguments {
    pub(super) const fn new(arguments: JsonObject) -> Self {
        Self(arguments)
    }

    /// Refuses arguments that are left over: a misspelt filter must not count as an absent one.
    pub(super) fn finish(self, allowed: &str) -> ToolResult<()> {
        match self.0.keys().next() {
            Some(name) => refuse(&quoted(name), &format!("unknown argument; allowed: {allowed}")),
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn job_id(&mut self, name: &str) -> ToolResult<JobId> {
        match self.take(name) {
            Some(value) => job_id(name, &value),
            None => refuse(name, "required; must be the job_id of a ticket"),
        }
    }

    /// A list of one id or more. A single string counts as a list of one.
    pub(super) fn job_ids(&mut self, name: &str) -> ToolResult<Vec<JobId>> {
        let ids = match self.take(name) {
            Some(Value::Array(ids)) => ids,
            Some(id @ Value::String(_)) => vec![id],
            _ => Vec::new(),
        };
        if ids.is_empty() || ids.len() > MAX_JOBS {
            return refuse(name, &format!("must be a list of 1 to {MAX_JOBS} job ids"));
        }
        ids.iter().map(|id| job_id(name, id)).collect()
    }

    pub(super) fn text(&mut self, name: &str) -> ToolResult<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => refuse(name, "must be a string"),
        }
    }

    pub(super) fn object(&mut self, name: &str) -> ToolResult<Option<JsonObject>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            // Some models send the object as a string of JSON.
            Some(Value::String(text)) if let Ok(object) = serde_json::from_str(&text) => {
                Ok(Some(object))
            }
            Some(_) => refuse(name, "must be an object"),
        }
    }

    pub(super) fn one_of(&mut self, name: &str, allowed: &[&str]) -> ToolResult<Option<String>> {
        match self.text(name)? {
            Some(text) if !allowed.contains(&text.as_str()) => {
                let reason =
                    format!("must be one of {}, not {}", allowed.join(", "), quoted(&text));
                refuse(name, &reason)
            }
            text => Ok(text),
        }
    }

    /// One status or a list of them; empty where the argument is absent.
    pub(super) fn statuses(&mut self, name: &str) -> ToolResult<Vec<JobStatus>> {
        let values = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
        };
        let read = |value: &Value| match value.as_str().map(str::parse) {
            Some(Ok(status)) => Ok(status),
            _ => {
                let allowed = JobStatus::ALL.map(JobStatus::as_str).join(", ");
                let not = value.as_str().map(|text| format!(", not {}", quoted(text)));
                refuse(name, &format!("must be one of {allowed}{}", not.unwrap_or_default()))
            }
        };
        values.iter().map(read).collect()
    }

    pub(super) fn flag(&mut self, name: &str) -> ToolResult<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => refuse(name, "must be true or false"),
        }
    }

    pub(super) fn count(
        &mut self,
        name: &str,
        from: usize,
        to: usize,
    ) -> ToolResult<Option<usize>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        // Some models write 20.0 for 20.
        let whole = value
            .as_u64()
            .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64));
        let count = whole.and_then(|count| usize::try_from(count).ok());
        match count.filter(|count| (from..=to).contains(count)) {
            Some(count) => Ok(Some(count)),
            None if to == usize::MAX => {
                refuse(name, &format!("must be a whole number of {from} or more"))
            }
            None => refuse(name, &format!("must be a whole number from {from} to {to}")),
        }
    }

    /// A length of time. `unit` is the unit in which the argument counts.
    pub(super) fn time(&mut self, name: &str, unit: Duration) -> ToolResult<Option<Duration>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let time = value
            .as_f64()
            .and_then(|units| Duration::try_from_secs_f64(units * unit.as_secs_f64()).ok());
        match time {
            Some(time) => Ok(Some(time)),
            None => refuse(name, "must be a number of 0 or more"),
        }
    }
}

fn job_id(name: &str, value: &Value) -> ToolResult<JobId> {
    let Some(text) = value.as_str() else {
        return refuse(name, "must be a string, the job_id of a ticket");
    };
    text.parse().map_err(|error: MalformedJobId| {
        in_band_error(&format!("Job {} not found: {error}", quoted(text)), None)
    })
}

/// The label that a caller gives a job, without blanks around it.
///
/// # Errors
/// The text that refuses the argument `name`.
pub(in crate::mcp) fn job_label(name: &str, label: &Value) -> Result<String, String> {
    let Some(label) = label.as_str() else { return Err(format!("{name}: must be a string")) };
    if label.trim().is_empty() || label.chars().count() > MAX_LABEL {
        return Err(format!("{name}: must be a string from 1 to {MAX_LABEL} characters"));
    }
    if label.chars().any(char::is_control) {
        return Err(format!("{name}: must be without control characters, not {}", quoted(label)));
    }
    Ok(label.trim().to_owned())
}
