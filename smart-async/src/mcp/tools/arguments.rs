//! Reading a job tool's arguments: every complaint names the argument and what is allowed.

use std::time::Duration;

use rmcp::model::{CallToolResult, JsonObject};
use serde_json::Value;

use super::answer::in_band_error;
use crate::core::job::{JobId, JobStatus};
use crate::core::text::quoted;

/// The most jobs that one call may name.
const JOBS: usize = 100;

/// The arguments of a call, taken one by one.
#[derive(Debug)]
pub(super) struct Arguments(JsonObject);

/// An argument, or the answer that complains about it.
pub(super) type Taken<T> = Result<T, CallToolResult>;

fn complain<T>(message: &str) -> Taken<T> {
    Err(in_band_error(message, None))
}

impl Arguments {
    pub(super) const fn new(arguments: JsonObject) -> Self {
        Self(arguments)
    }

    /// Refuses arguments that nobody took: a misspelt filter must not pass for none.
    pub(super) fn finish(self, allowed: &str) -> Taken<()> {
        match self.0.keys().next() {
            Some(name) => complain(&format!(
                "{}: there is no such argument; allowed: {allowed}",
                quoted(name)
            )),
            None => Ok(()),
        }
    }

    /// An argument that is there and is not `null`.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn job_id(&mut self, name: &str) -> Taken<JobId> {
        match self.take(name) {
            Some(value) => one_job_id(name, &value),
            None => {
                complain(&format!("{name}: missing; give the id of a job, as its ticket names it"))
            }
        }
    }

    /// One id or more; a single text is taken for a list of one.
    pub(super) fn job_ids(&mut self, name: &str) -> Taken<Vec<JobId>> {
        let ids = match self.take(name) {
            Some(Value::Array(ids)) => ids,
            Some(id @ Value::String(_)) => vec![id],
            _ => return complain(&format!("{name}: missing; give a list of job ids")),
        };
        if ids.is_empty() || ids.len() > JOBS {
            return complain(&format!("{name}: give from 1 to {JOBS} job ids"));
        }
        ids.iter().map(|id| one_job_id(name, id)).collect()
    }

    pub(super) fn text(&mut self, name: &str) -> Taken<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => complain(&format!("{name}: give a text")),
        }
    }

    pub(super) fn object(&mut self, name: &str) -> Taken<Option<JsonObject>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            // Models write an object as its text at times.
            Some(Value::String(text)) if let Ok(object) = serde_json::from_str(&text) => {
                Ok(Some(object))
            }
            Some(_) => complain(&format!("{name}: give an object")),
        }
    }

    pub(super) fn one_of(&mut self, name: &str, allowed: &[&str]) -> Taken<Option<String>> {
        match self.text(name)? {
            Some(text) if !allowed.contains(&text.as_str()) => complain(&format!(
                "{name}: {} is not known; allowed: {}",
                quoted(&text),
                allowed.join(", ")
            )),
            text => Ok(text),
        }
    }

    /// One status or a list of them; empty where none is named.
    pub(super) fn statuses(&mut self, name: &str) -> Taken<Vec<JobStatus>> {
        let values = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
        };
        let allowed = || JobStatus::ALL.map(JobStatus::as_str).join(", ");
        let read = |value: &Value| match value.as_str().map(str::parse) {
            Some(Ok(status)) => Ok(status),
            Some(Err(_)) => {
                let text = quoted(value.as_str().unwrap_or_default());
                complain(&format!("{name}: {text} is no status; allowed: {}", allowed()))
            }
            None => complain(&format!("{name}: give a status; allowed: {}", allowed())),
        };
        values.iter().map(read).collect()
    }

    pub(super) fn flag(&mut self, name: &str) -> Taken<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => complain(&format!("{name}: give true or false")),
        }
    }

    pub(super) fn count(&mut self, name: &str, from: usize, to: usize) -> Taken<Option<usize>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        // Models write 20.0 where they mean 20.
        let whole = value
            .as_u64()
            .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64));
        match whole
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| (from..=to).contains(count))
        {
            Some(count) => Ok(Some(count)),
            None if to == usize::MAX => {
                complain(&format!("{name}: give a whole number, {from} or more"))
            }
            None => complain(&format!("{name}: give a whole number from {from} to {to}")),
        }
    }

    /// A length of time in the unit of the argument.
    pub(super) fn time(&mut self, name: &str, unit: Duration) -> Taken<Option<Duration>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let time = value
            .as_f64()
            .and_then(|units| Duration::try_from_secs_f64(units * unit.as_secs_f64()).ok());
        match time {
            Some(time) => Ok(Some(time)),
            None => complain(&format!("{name}: give a number, 0 or more")),
        }
    }
}

fn one_job_id(name: &str, value: &Value) -> Taken<JobId> {
    let Some(text) = value.as_str() else {
        return complain(&format!("{name}: give the id of a job as a text"));
    };
    let malformed =
        |error| format!("Job {} not found: {error}, as its ticket names it", quoted(text));
    text.parse().or_else(|error: crate::core::job::MalformedJobId| complain(&malformed(error)))
}
