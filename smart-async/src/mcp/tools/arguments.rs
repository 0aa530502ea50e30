//! The arguments of a job tool, as hosts and models really send them: a number, a flag, a list or an object as text, an empty text
//! for no value, another spelling of a name. Where the meaning is certain the value counts; every refusal begins with the name
//! of the argument and says which values are allowed.

use std::ops::RangeInclusive;
use std::time::Duration;

use rmcp::model::JsonObject;
use serde_json::Value;

use super::response::{ToolResult, in_band_error, refusal};
use crate::core::job::{JobId, JobStatus, MalformedJobId};
use crate::core::text::{is_unseen, quoted};

/// The most jobs that one call may name.
const MAX_JOBS: usize = 100;

/// The longest label, in characters.
const MAX_LABEL: usize = 200;

/// The most labels that one list may have.
const MAX_LABELS: usize = 32;

/// The argument that names one job.
const JOB_ID: &str = "job_id";

/// The argument that names several jobs.
const JOB_IDS: &str = "job_ids";

/// The arguments of a call. Each method removes one of them; `null` and an empty text count as absent.
#[derive(Debug)]
pub(super) struct Arguments {
    given: JsonObject,
    /// The call that finds a job, for a caller that names none.
    find: Option<String>,
}

fn refuse<T>(name: &str, reason: &str) -> ToolResult<T> {
    Err(in_band_error(&format!("{name}: {reason}"), None))
}

/// The end of a refusal that quotes the value.
fn it_is(value: &str) -> String {
    format!("; it is \"{}\"", quoted(value))
}

impl Arguments {
    pub(super) const fn new(given: JsonObject, find: Option<String>) -> Self {
        Self { given, find }
    }

    /// Refuses arguments that are left over: a misspelt filter must not count as an absent one.
    pub(super) fn finish(self, allowed: &str) -> ToolResult<()> {
        match self.given.keys().next() {
            Some(name) => refuse(&quoted(name), &format!("unknown argument; allowed: {allowed}")),
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        take(&mut self.given, name)
    }

    /// The argument `job_id`. The argument `job_ids` with one id counts as it.
    pub(super) fn job_id(&mut self) -> ToolResult<JobId> {
        let Some(value) = self.take(JOB_ID).or_else(|| self.take(JOB_IDS)) else {
            return refuse(JOB_ID, "required; must be the job_id of a ticket");
        };
        match items(value).as_slice() {
            [id] => self.id(JOB_ID, id),
            _ => refuse(JOB_ID, "must be a single job_id"),
        }
    }

    /// The argument `job_ids`: one id or more. The argument `job_id` counts as it.
    pub(super) fn job_ids(&mut self) -> ToolResult<Vec<JobId>> {
        let ids = self.take(JOB_IDS).or_else(|| self.take(JOB_ID)).map(items).unwrap_or_default();
        if ids.is_empty() || ids.len() > MAX_JOBS {
            return refuse(JOB_IDS, &format!("must be a list of 1 to {MAX_JOBS} job ids"));
        }
        ids.iter().map(|id| self.id(JOB_IDS, id)).collect()
    }

    fn id(&self, name: &str, value: &Value) -> ToolResult<JobId> {
        let Some(text) = value.as_str() else {
            return refuse(name, "must be a string, the job_id of a ticket");
        };
        text.trim().parse().map_err(|error: MalformedJobId| {
            refusal(&format!("Job {} not found: {error}", quoted(text)), None, self.find.clone())
        })
    }

    pub(super) fn text(&mut self, name: &str) -> ToolResult<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => refuse(name, "must be a string"),
        }
    }

    pub(super) fn object(&mut self, name: &str) -> ToolResult<Option<JsonObject>> {
        match self.take(name).map(parsed) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => refuse(name, "must be an object"),
        }
    }

    pub(super) fn one_of(&mut self, name: &str, allowed: &[&str]) -> ToolResult<Option<String>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let meant = text.trim().to_ascii_lowercase();
        if allowed.contains(&meant.as_str()) {
            return Ok(Some(meant));
        }
        refuse(name, &format!("must be one of {}{}", allowed.join(", "), it_is(&text)))
    }

    /// One status or a list of them; empty where the argument is absent.
    pub(super) fn statuses(&mut self, name: &str) -> ToolResult<Vec<JobStatus>> {
        let read =
            |value: &Value| match value.as_str().map(|text| text.to_ascii_lowercase().parse()) {
                Some(Ok(status)) => Ok(status),
                _ => {
                    let allowed = JobStatus::ALL.map(JobStatus::as_str).join(", ");
                    let it_is = value.as_str().map(it_is).unwrap_or_default();
                    refuse(name, &format!("must be one of {allowed}{it_is}"))
                }
            };
        self.take(name).map(items).unwrap_or_default().iter().map(read).collect()
    }

    pub(super) fn flag(&mut self, name: &str) -> ToolResult<Option<bool>> {
        flag(&mut self.given, name)
    }

    pub(super) fn count(
        &mut self,
        name: &str,
        from: usize,
        to: usize,
    ) -> ToolResult<Option<usize>> {
        let Some(value) = self.take(name).map(parsed) else { return Ok(None) };
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
        let Some(value) = self.take(name).map(parsed) else { return Ok(None) };
        let time = value
            .as_f64()
            .and_then(|units| Duration::try_from_secs_f64(units * unit.as_secs_f64()).ok());
        match time {
            Some(time) => Ok(Some(time)),
            None => refuse(name, "must be a number of 0 or more"),
        }
    }
}

/// Returns whether two names have the same letters and digits: models write `asyncMode` or `async-mode` for `async_mode`.
pub(in crate::mcp) fn has_same_letters(name: &str, other: &str) -> bool {
    let letters = |name: &'_ str| {
        name.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    letters(name) == letters(other)
}

/// Removes an argument, under its name or else under one of the same letters.
fn take(arguments: &mut JsonObject, name: &str) -> Option<Value> {
    let value = arguments.remove(name).or_else(|| {
        let other = arguments.keys().find(|other| has_same_letters(other, name))?.clone();
        arguments.remove(&other)
    })?;
    let is_absent = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
    (!is_absent).then_some(value)
}

/// Removes the argument `name`, which is true or false.
///
/// # Errors
/// The answer to the call, where the argument is something else.
pub(in crate::mcp) fn flag(arguments: &mut JsonObject, name: &str) -> ToolResult<Option<bool>> {
    let is = |value: &Value, text: &str| {
        value.as_str().is_some_and(|value| value.trim().eq_ignore_ascii_case(text))
    };
    match take(arguments, name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(value) if is(&value, "true") || value == 1 => Ok(Some(true)),
        Some(value) if is(&value, "false") || value == 0 => Ok(Some(false)),
        Some(_) => refuse(name, "must be true or false"),
    }
}

/// Removes the argument `name`, the label that a caller gives a job; without blanks around it.
///
/// # Errors
/// The answer to the call, where the argument is no label.
pub(in crate::mcp) fn label(arguments: &mut JsonObject, name: &str) -> ToolResult<Option<String>> {
    take(arguments, name).map(|label| checked_label(name, label)).transpose()
}

/// Removes the argument `name`, a list of labels; empty where it is absent.
///
/// # Errors
/// The answer to the call, where the argument is no such list.
pub(in crate::mcp) fn labels(arguments: &mut JsonObject, name: &str) -> ToolResult<Vec<String>> {
    let labels = take(arguments, name).map(items).unwrap_or_default();
    if labels.len() > MAX_LABELS {
        return refuse(name, &format!("must be a list of at most {MAX_LABELS} strings"));
    }
    labels.into_iter().map(|label| checked_label(name, label)).collect()
}

fn checked_label(name: &str, label: Value) -> ToolResult<String> {
    let Value::String(label) = label else { return refuse(name, "must be a string") };
    if label.chars().count() > MAX_LABEL {
        return refuse(name, &format!("must be a string from 1 to {MAX_LABEL} characters"));
    }
    if label.chars().any(is_unseen) {
        return refuse(name, &format!("must be without control characters{}", it_is(&label)));
    }
    Ok(label.trim().to_owned())
}

/// Removes the argument `name`, a whole number in this range.
///
/// # Errors
/// The answer to the call, where the argument is something else.
pub(in crate::mcp) fn whole_number(
    arguments: &mut JsonObject,
    name: &str,
    range: RangeInclusive<u64>,
) -> ToolResult<Option<u64>> {
    let Some(value) = take(arguments, name).map(parsed) else { return Ok(None) };
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0);
    match number.map(|number| number as u64).filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => {
            let (first, last) = (range.start(), range.end());
            refuse(name, &format!("must be a whole number from {first} to {last}"))
        }
    }
}

/// The value that a text of JSON stands for; any other value is the value itself.
fn parsed(value: Value) -> Value {
    match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

/// The items of a list: of an array, of an array as text, or of a text with commas. Any other value is a list of one.
fn items(value: Value) -> Vec<Value> {
    match parsed(value) {
        Value::Array(items) => items,
        Value::String(text) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(Value::from).collect()
        }
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "009c0e60-1b5e-4f31-9d8e-7f2f0a3d5c11";
    const OTHER: &str = "10d70b2c-9f0e-4a55-8a39-2f6c5e0d7b42";

    fn arguments(arguments: Value) -> Arguments {
        Arguments::new(serde_json::from_value(arguments).unwrap(), None)
    }

    fn refusal<T: std::fmt::Debug>(refused: ToolResult<T>) -> String {
        refused.unwrap_err().structured_content.unwrap()["error"].as_str().unwrap().to_owned()
    }

    #[test]
    fn ids_are_read_in_each_form_in_which_hosts_send_them() {
        for both in [
            json!({"job_ids": [ID, OTHER]}),
            json!({"job_ids": format!("[\"{ID}\",\"{OTHER}\"]")}),
            json!({"job_ids": format!("{ID}, {OTHER}")}),
            json!({"jobIds": [ID, format!(" {OTHER} ")]}),
            json!({"job_id": [ID, OTHER]}),
        ] {
            let ids = arguments(both.clone()).job_ids().unwrap();
            assert_eq!(
                ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
                [ID, OTHER],
                "{both}"
            );
        }
        for one in [
            json!({"job_id": ID}),
            json!({"jobId": ID}),
            json!({"job_ids": [ID]}),
            json!({"job_ids": ID}),
            json!({"job_id": format!("[\"{ID}\"]")}),
        ] {
            assert_eq!(arguments(one.clone()).job_id().unwrap().to_string(), ID, "{one}");
            assert_eq!(arguments(one.clone()).job_ids().unwrap().len(), 1, "{one}");
        }
        for none in
            [json!({}), json!({"job_ids": []}), json!({"job_ids": ""}), json!({"job_ids": "[]"})]
        {
            assert_eq!(
                refusal(arguments(none).job_ids()),
                "job_ids: must be a list of 1 to 100 job ids"
            );
        }
        assert_eq!(
            refusal(arguments(json!({"job_ids": [ID, OTHER]})).job_id()),
            "job_id: must be a single job_id"
        );
        assert_eq!(
            refusal(arguments(json!({"job_id": ""})).job_id()),
            "job_id: required; must be the job_id of a ticket"
        );
        assert!(
            refusal(arguments(json!({"job_ids": [7]})).job_ids())
                .starts_with("job_ids: must be a string")
        );
    }

    #[test]
    fn an_argument_under_two_spellings_is_refused() {
        let mut both = arguments(json!({"job_id": ID, "jobId": OTHER}));
        assert_eq!(both.job_id().unwrap().to_string(), ID);
        assert_eq!(refusal(both.finish("job_id")), "jobId: unknown argument; allowed: job_id");
    }

    #[test]
    fn an_empty_text_counts_as_absent() {
        for absent in [json!({}), json!({"a": null}), json!({"a": ""}), json!({"a": "  "})] {
            assert_eq!(arguments(absent.clone()).text("a").unwrap(), None);
            assert_eq!(arguments(absent.clone()).flag("a").unwrap(), None);
            assert_eq!(arguments(absent.clone()).count("a", 1, 9).unwrap(), None);
            assert_eq!(arguments(absent.clone()).time("a", Duration::from_secs(1)).unwrap(), None);
            assert_eq!(arguments(absent.clone()).object("a").unwrap(), None);
            assert_eq!(arguments(absent.clone()).one_of("a", &["b"]).unwrap(), None);
            assert_eq!(arguments(absent.clone()).statuses("a").unwrap(), []);
            let Value::Object(mut absent) = absent else { unreachable!("an object") };
            assert_eq!(label(&mut absent, "a").unwrap(), None);
        }
    }

    #[test]
    fn numbers_flags_lists_and_objects_may_come_as_text() {
        let one = |value: Value| arguments(json!({"a": value}));
        for yes in [json!(true), json!("true"), json!("True"), json!(1)] {
            assert_eq!(one(yes).flag("a").unwrap(), Some(true));
        }
        for no in [json!(false), json!("false"), json!("FALSE "), json!(0)] {
            assert_eq!(one(no).flag("a").unwrap(), Some(false));
        }
        for twenty in [json!(20), json!(20.0), json!("20"), json!(" 20.0 ")] {
            assert_eq!(one(twenty.clone()).count("a", 1, 50).unwrap(), Some(20));
            let time = one(twenty).time("a", Duration::from_secs(60)).unwrap();
            assert_eq!(time, Some(Duration::from_secs(1200)));
        }
        for statuses in [
            json!(["running", "failed"]),
            json!("[\"running\",\"failed\"]"),
            json!("Running, failed"),
        ] {
            assert_eq!(
                one(statuses).statuses("a").unwrap(),
                [JobStatus::Running, JobStatus::Failed]
            );
        }
        assert_eq!(one(json!("{\"b\":1}")).object("a").unwrap().unwrap()["b"], 1);
        assert_eq!(one(json!("ALL")).one_of("a", &["any", "all"]).unwrap().as_deref(), Some("all"));
    }

    #[test]
    fn a_value_whose_meaning_is_not_certain_is_refused() {
        let one = |value: Value| arguments(json!({"a": value}));
        assert_eq!(refusal(one(json!("maybe")).flag("a")), "a: must be true or false");
        assert_eq!(refusal(one(json!(2)).flag("a")), "a: must be true or false");
        assert_eq!(
            refusal(one(json!("soon")).time("a", Duration::from_secs(1))),
            "a: must be a number of 0 or more"
        );
        assert_eq!(
            refusal(one(json!("-1")).count("a", 0, 9)),
            "a: must be a whole number from 0 to 9"
        );
        assert_eq!(refusal(one(json!("[1]")).object("a")), "a: must be an object");
        assert_eq!(refusal(one(json!(5)).text("a")), "a: must be a string");
        assert!(refusal(one(json!("done")).statuses("a")).starts_with("a: must be one of pending"));
    }
}
