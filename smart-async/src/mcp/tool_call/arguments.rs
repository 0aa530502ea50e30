//! The arguments that every annotated tool takes beside its own: in the schema that clients see, and in a call. `misspelt` finds
//! those that a caller spells otherwise.

use std::collections::BTreeMap;

use rmcp::model::{CallToolResult, JsonObject};
use serde_json::{Map, Value, json};

use super::AnnotatedTool;
use super::misspelt::is_nearly;
use crate::core::job::Priority;
use crate::core::runner::CallerMarks;
use crate::core::text::quoted;
use crate::mcp::tools::CallerMay;
use crate::mcp::tools::arguments::{flag, has_same_letters, label, labels, whole_number};
use crate::mcp::tools::response::in_band_error;

/// The argument that makes a job of the call at once.
const ASYNC_MODE: &str = "async_mode";
/// The argument that names the job.
const JOB_LABEL: &str = "job_label";
/// The argument with the tags of the job.
const JOB_TAGS: &str = "job_tags";
/// The argument with the group of the job.
const JOB_SESSION: &str = "job_session";
/// The argument with the urgency of the job.
const JOB_PRIORITY: &str = "job_priority";
/// The argument under which the caller finds the answer again.
const IDEMPOTENCY_KEY: &str = "idempotency_key";

/// The caller's arguments for the job.
#[derive(Debug, Default)]
pub(super) struct JobArguments {
    pub(super) async_mode: bool,
    pub(super) marks: CallerMarks,
    /// The word under which the caller finds the answer again.
    pub(super) key: Option<String>,
}

/// Which of the arguments for the job a tool has itself. Its own one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnArguments {
    async_mode: bool,
    label: bool,
    tags: bool,
    session: bool,
    priority: bool,
    key: bool,
}

impl OwnArguments {
    pub(super) fn of(input: &JsonObject) -> Self {
        let properties = input.get("properties").and_then(Value::as_object);
        // However it is spelt.
        let has = |name: &str| {
            properties
                .is_some_and(|properties| properties.keys().any(|own| has_same_letters(own, name)))
        };
        Self {
            async_mode: has(ASYNC_MODE),
            label: has(JOB_LABEL),
            tags: has(JOB_TAGS),
            session: has(JOB_SESSION),
            priority: has(JOB_PRIORITY),
            key: has(IDEMPOTENCY_KEY),
        }
    }
}

impl JobArguments {
    /// Takes them out of the arguments, so that the tool never sees them; tags, the group and the urgency only where callers may set those.
    /// `is_own` tells whether an argument of some name is, or may be, one of the tool's.
    ///
    /// # Errors
    /// The answer to the call, where an argument is invalid, or misspelt and none of the tool's. The tool is not called then.
    pub(super) fn take(
        annotated: AnnotatedTool,
        may: CallerMay,
        arguments: Option<&mut JsonObject>,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<Self, CallToolResult> {
        let mut taken = Self::default();
        let Some(arguments) = arguments else { return Ok(taken) };
        let own = annotated.own;
        if !own.async_mode {
            taken.async_mode = flag(arguments, ASYNC_MODE)?.unwrap_or(false);
        }
        if !own.label {
            taken.marks.label = label(arguments, JOB_LABEL)?;
        }
        if may.group && !own.tags {
            taken.marks.tags = tags(&labels(arguments, JOB_TAGS)?);
        }
        if may.group && !own.session {
            taken.marks.session = label(arguments, JOB_SESSION)?;
        }
        if may.prioritize && !own.priority {
            let number = whole_number(arguments, JOB_PRIORITY, 1..=10)?;
            taken.marks.priority =
                number.and_then(|number| number.try_into().ok()).map(Priority::new);
        }
        if annotated.idempotent && !own.key {
            taken.key = callers_key(arguments)?;
        }
        // To pass it over would let the caller believe that a second call runs nothing.
        let is_key = |given: &&String| has_same_letters(given, IDEMPOTENCY_KEY);
        if !annotated.idempotent
            && let Some(given) = arguments.keys().find(is_key)
            && !is_own(given)
        {
            let given = quoted(given);
            let message = format!(
                "{given}: this tool keeps no keys, so nothing was run; call again without it, and know that a second call runs again"
            );
            return Err(in_band_error(&message, None));
        }
        let meant = [
            (ASYNC_MODE, !own.async_mode),
            (JOB_LABEL, !own.label),
            (JOB_TAGS, may.group && !own.tags),
            (JOB_SESSION, may.group && !own.session),
            (JOB_PRIORITY, may.prioritize && !own.priority),
            (IDEMPOTENCY_KEY, annotated.idempotent && !own.key),
        ];
        for given in arguments.keys() {
            let nearly = meant.iter().find(|(name, is_ours)| *is_ours && is_nearly(given, name));
            if let Some((name, _)) = nearly
                && !is_own(given)
            {
                let given = quoted(given);
                let message = format!(
                    "{given}: unknown argument, so nothing was run; call again with {name}, or without it"
                );
                return Err(in_band_error(&message, None));
            }
        }
        Ok(taken)
    }
}

/// Takes the word under which the caller finds the answer again. An empty one is refused, since its caller relies on it.
fn callers_key(arguments: &mut JsonObject) -> Result<Option<String>, CallToolResult> {
    let given = arguments.iter().find(|(name, _)| has_same_letters(name, IDEMPOTENCY_KEY));
    let is_blank =
        given.is_some_and(|(_, word)| word.as_str().is_some_and(|w| w.trim().is_empty()));
    if is_blank {
        let message = format!("{IDEMPOTENCY_KEY}: must be a string from 1 to 200 characters");
        return Err(in_band_error(&message, None));
    }
    label(arguments, IDEMPOTENCY_KEY)
}

/// Returns whether an argument of this name is one of a tool with this schema, or may be one, since the tool takes any names.
pub(super) fn is_own(input: &JsonObject, name: &str) -> bool {
    let properties = input.get("properties").and_then(Value::as_object);
    let takes_any = input.get("additionalProperties").is_some_and(|any| *any != Value::Bool(false))
        || ["patternProperties", "$ref", "allOf", "anyOf", "oneOf"]
            .iter()
            .any(|keyword| input.contains_key(*keyword));
    takes_any || properties.is_none_or(|properties| properties.contains_key(name))
}

/// Tags from texts of the form `key=value`, or `key` alone.
fn tags(texts: &[String]) -> BTreeMap<String, String> {
    let tags = texts.iter().map(|text| match text.split_once('=') {
        Some((key, value)) => (key.trim().to_owned(), value.trim().to_owned()),
        None => (text.trim().to_owned(), String::new()),
    });
    tags.collect()
}

/// Adds the arguments of the job to the schema of a tool, except those that the tool has itself.
pub(in crate::mcp) fn with_job_arguments(
    input: &JsonObject,
    may: CallerMay,
    idempotent: bool,
) -> JsonObject {
    let own = OwnArguments::of(input);
    let mut input = input.clone();
    let properties = input.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(properties) = properties {
        let mut add = |name: &str, is_own: bool, schema: Value| {
            if !is_own {
                properties.insert(name.to_owned(), schema);
            }
        };
        let description = "Run as a background job at once; answers with a job_id";
        let schema = json!({"type": "boolean", "description": description});
        add(ASYNC_MODE, own.async_mode, schema);
        let schema = json!({"type": "string", "description": "A name for the job"});
        add(JOB_LABEL, own.label, schema);
        if may.group {
            let items = json!({"type": "string"});
            let schema =
                json!({"type": "array", "items": items, "description": "key or key=value"});
            add(JOB_TAGS, own.tags, schema);
            let schema = json!({"type": "string", "description": "A group for the job"});
            add(JOB_SESSION, own.session, schema);
        }
        if may.prioritize {
            let schema = json!({"type": "integer", "minimum": 1, "maximum": 10, "description": "10 goes first"});
            add(JOB_PRIORITY, own.priority, schema);
        }
        if idempotent {
            let description = "The same key again starts no second run, and gets the first answer";
            let schema = json!({"type": "string", "minLength": 1, "maxLength": 200, "description": description});
            add(IDEMPOTENCY_KEY, own.key, schema);
        }
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: CallerMay = CallerMay { group: true, prioritize: false };

    fn annotated() -> AnnotatedTool {
        AnnotatedTool { own: OwnArguments::of(&JsonObject::new()), rerun: false, idempotent: false }
    }

    #[test]
    fn tags_and_the_group_are_taken_where_callers_may_set_them() {
        let given = || {
            let given = json!({"job_tags": ["night", "of = may"], "jobSession": "s1"});
            serde_json::from_value::<JsonObject>(given).unwrap()
        };
        let mut arguments = given();
        let marks =
            JobArguments::take(annotated(), GROUP, Some(&mut arguments), |_| false).unwrap().marks;
        assert!(arguments.is_empty());
        assert_eq!(marks.session.as_deref(), Some("s1"));
        assert_eq!((&*marks.tags["night"], &*marks.tags["of"]), ("", "may"));
        let mut arguments = given();
        let marks =
            JobArguments::take(annotated(), CallerMay::default(), Some(&mut arguments), |_| false)
                .unwrap()
                .marks;
        assert!(arguments.len() == 2 && marks.tags.is_empty() && marks.session.is_none());
        for refused in [json!(7), json!([7]), json!(["a".repeat(201)]), json!(vec!["a"; 33])] {
            let mut arguments = serde_json::from_value(json!({"job_tags": refused})).unwrap();
            assert!(
                JobArguments::take(annotated(), GROUP, Some(&mut arguments), |_| false).is_err(),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_tools_own_argument_of_the_same_name_wins() {
        let own = json!({"type": "object", "properties": {"job_label": {"type": "integer"}}});
        let widened = with_job_arguments(own.as_object().unwrap(), CallerMay::default(), false);
        assert_eq!(widened["properties"]["job_label"], json!({"type": "integer"}));
        assert_eq!(widened["properties"]["async_mode"]["type"], "boolean");
        let own = json!({"type": "object", "properties": {"asyncMode": {"type": "integer"}}});
        let widened = with_job_arguments(own.as_object().unwrap(), CallerMay::default(), false);
        assert_eq!(widened["properties"].get("async_mode"), None, "however it is spelt");
    }

    #[test]
    fn the_arguments_are_taken_however_they_are_spelt() {
        let annotated = annotated();
        for spelt in [
            json!({"async_mode": true, "job_label": " nightly "}),
            json!({"asyncmode": "true", "jobLabel": "nightly"}),
            json!({"asyncMode": 1, "job-label": "nightly"}),
        ] {
            let mut arguments: JsonObject = serde_json::from_value(spelt).unwrap();
            let taken =
                JobArguments::take(annotated, CallerMay::default(), Some(&mut arguments), |_| {
                    false
                })
                .unwrap();
            assert!(taken.async_mode && arguments.is_empty());
            assert_eq!(taken.marks.label.as_deref(), Some("nightly"));
        }
        let mut empty = serde_json::from_value(json!({"async_mode": "", "job_label": ""})).unwrap();
        let taken =
            JobArguments::take(annotated, CallerMay::default(), Some(&mut empty), |_| false)
                .unwrap();
        assert!(!taken.async_mode && taken.marks.label.is_none(), "an empty text is no value");
    }
}
