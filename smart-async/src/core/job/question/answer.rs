//! Checks an answer against its question, by the part of JSON Schema that MCP allows in a question: an object of strings,
//! numbers, flags and choices (<https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation>).

use chrono::{DateTime, NaiveDate};
use serde_json::{Map, Value};

use crate::core::text::quoted;

/// The largest answer, in bytes of JSON. The store writes it again with each change of its job.
const LARGEST: usize = 64 * 1024;

/// The actions that a user can take on a question.
const ACTIONS: [&str; 3] = ["accept", "decline", "cancel"];

pub(super) fn check(schema: Option<&Value>, answer: &Value) -> Result<(), String> {
    let action = answer.get("action").and_then(Value::as_str).unwrap_or_default();
    if !ACTIONS.contains(&action) {
        return Err(format!("action: must be one of {}", ACTIONS.join(", ")));
    }
    let bytes = answer.to_string().len();
    if bytes > LARGEST {
        return Err(format!("it has {bytes} bytes; the limit is {LARGEST}"));
    }
    let (Some(schema), "accept") = (schema, action) else { return Ok(()) };
    let nothing = Map::new();
    let content = match answer.get("content") {
        None | Some(Value::Null) => &nothing,
        Some(Value::Object(content)) => content,
        Some(_) => return Err("content: must be an object".to_owned()),
    };
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if content.get(name).is_none_or(Value::is_null) {
            return Err(format!("content: {} is missing", quoted(name)));
        }
    }
    // A field that is null counts as absent.
    for (name, value) in content.iter().filter(|(_, value)| !value.is_null()) {
        if let Some(wanted) = properties.get(name) {
            fits(wanted, value).map_err(|wanted| format!("content.{name}: must be {wanted}"))?;
        }
    }
    Ok(())
}

/// An answer that fits, with whole numbers as integers: 9.0 is an integer in JSON, but not to most code.
pub(super) fn normalize_numbers(schema: Option<&Value>, mut answer: Value) -> Value {
    let Some(properties) = schema.and_then(|schema| schema.get("properties")) else {
        return answer;
    };
    let content = answer.get_mut("content").and_then(Value::as_object_mut);
    for (name, value) in content.into_iter().flatten() {
        let wanted = properties.get(name).and_then(|property| property.get("type"));
        if wanted.and_then(Value::as_str) == Some("integer")
            && let Some(whole) = value.as_f64().filter(|_| value.is_f64())
            && whole.abs() < EXACT
        {
            *value = (whole as i64).into();
        }
    }
    answer
}

/// The whole numbers below this are exact in a floating-point number.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Checks a value; the error names the values that would fit.
fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(choices) = choices(schema) {
        return if choices.contains(&value) {
            Ok(())
        } else {
            Err(format!("one of {}", listed(&choices)))
        };
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => text(schema, value),
        Some("integer") => number(schema, value, "a whole number", |value| {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }),
        Some("number") => number(schema, value, "a number", Value::is_number),
        Some("boolean") if !value.is_boolean() => Err("true or false".to_owned()),
        Some("array") => list(schema, value),
        _ => Ok(()),
    }
}

/// The choices of a schema, spelled as plain values or as constants with titles.
fn choices(schema: &Value) -> Option<Vec<&Value>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Some(values.iter().collect());
    }
    let titled = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)?;
    titled.iter().map(|choice| choice.get("const")).collect()
}

fn listed(choices: &[&Value]) -> String {
    choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn text(schema: &Value, value: &Value) -> Result<(), String> {
    let Some(text) = value.as_str() else { return Err("a string".to_owned()) };
    let length = text.chars().count() as u64;
    let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
    if let Some(least) = limit("minLength").filter(|least| length < *least) {
        return Err(format!("a string of at least {least} characters"));
    }
    if let Some(most) = limit("maxLength").filter(|most| length > *most) {
        return Err(format!("a string of at most {most} characters"));
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("date") if text.parse::<NaiveDate>().is_err() => {
            Err("a date such as 2026-07-28".into())
        }
        Some("date-time") if DateTime::parse_from_rfc3339(text).is_err() => {
            Err("a time such as 2026-07-28T14:25:00Z".into())
        }
        Some("email") if !is_address(text) => Err("an e-mail address".to_owned()),
        Some("uri") if !is_uri(text) => Err("a URI such as https://example.com".to_owned()),
        _ => Ok(()),
    }
}

/// Returns whether this may be an e-mail address. Only a delivered message could prove more.
fn is_address(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && !text.chars().any(char::is_whitespace)
}

/// Returns whether the text begins with a scheme (RFC 3986, 3.1) and has no blanks.
fn is_uri(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    text.split_once(':').is_some_and(|(name, rest)| scheme(name) && !rest.is_empty())
        && !text.chars().any(char::is_whitespace)
}

fn number(
    schema: &Value,
    value: &Value,
    kind: &str,
    is_kind: impl Fn(&Value) -> bool,
) -> Result<(), String> {
    let Some(number) = value.as_f64().filter(|_| is_kind(value)) else {
        return Err(kind.to_owned());
    };
    let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
    if let Some(least) = limit("minimum").filter(|least| number < *least) {
        return Err(format!("{kind} of {least} or more"));
    }
    if let Some(most) = limit("maximum").filter(|most| number > *most) {
        return Err(format!("{kind} of {most} or less"));
    }
    Ok(())
}

fn list(schema: &Value, value: &Value) -> Result<(), String> {
    let Some(items) = value.as_array() else { return Err("a list".to_owned()) };
    let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
    if let Some(least) = limit("minItems").filter(|least| (items.len() as u64) < *least) {
        return Err(format!("a list of at least {least} items"));
    }
    if let Some(most) = limit("maxItems").filter(|most| items.len() as u64 > *most) {
        return Err(format!("a list of at most {most} items"));
    }
    let Some(of) = schema.get("items") else { return Ok(()) };
    items
        .iter()
        .try_for_each(|item| fits(of, item))
        .map_err(|wanted| format!("a list with each item {wanted}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The refusal of this value by a question with that schema.
    fn said(property: &Value, value: Value) -> String {
        let schema = json!({"type": "object", "properties": {"x": property}, "required": ["x"]});
        let answer = json!({"action": "accept", "content": {"x": value}});
        check(Some(&schema), &answer).err().unwrap_or_default()
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_with_what_would() {
        let text = json!({"type": "string", "minLength": 2, "maxLength": 3});
        let whole = json!({"type": "integer", "minimum": 1, "maximum": 9});
        let many =
            json!({"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2});
        let titled = json!({"type": "string", "oneOf": [{"const": "a", "title": "A"}]});
        let of = |format: &str| json!({"type": "string", "format": format});
        for (schema, fits, others) in [
            (&text, vec![json!("ab"), json!("äöü")], vec![json!("a"), json!("abcd"), json!(7)]),
            (&whole, vec![json!(1), json!(9.0)], vec![json!(0), json!(10), json!(1.5), json!("1")]),
            (&json!({"type": "number"}), vec![json!(1.5)], vec![json!("1.5")]),
            (&json!({"type": "boolean"}), vec![json!(true)], vec![json!("true"), json!(1)]),
            (&json!({"type": "string", "enum": ["a"]}), vec![json!("a")], vec![json!("b")]),
            (&titled, vec![json!("a")], vec![json!("A")]),
            (
                &many,
                vec![json!(["a", "b"])],
                vec![json!([]), json!(["c"]), json!(["a", "a", "a"]), json!("a")],
            ),
            (&of("date"), vec![json!("2026-07-28")], vec![json!("28.7.2026")]),
            (&of("date-time"), vec![json!("2026-07-28T14:25:00Z")], vec![json!("2026-07-28")]),
            (
                &of("email"),
                vec![json!("ann@example.com")],
                vec![json!("ann"), json!("@b"), json!("a b@c")],
            ),
            (
                &of("uri"),
                vec![json!("https://example.com")],
                vec![json!("example"), json!("a b:c")],
            ),
        ] {
            for value in fits {
                assert_eq!(said(schema, value.clone()), "", "{schema} {value}");
            }
            for value in others {
                assert!(
                    said(schema, value.clone()).starts_with("content.x: must be "),
                    "{schema} {value}"
                );
            }
        }
    }

    #[test]
    fn the_complaint_names_what_is_wrong() {
        let schema =
            json!({"type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"]});
        let said = |answer: Value| check(Some(&schema), &answer).unwrap_err();
        assert_eq!(said(json!({})), "action: must be one of accept, decline, cancel");
        assert_eq!(said(json!({"action": "accept"})), "content: x is missing");
        assert_eq!(said(json!({"action": "accept", "content": 7})), "content: must be an object");
        let wrong = json!({"action": "accept", "content": {"x": 3}});
        assert_eq!(said(wrong), "content.x: must be one of 1, 2");
    }

    #[test]
    fn an_optional_field_may_be_left_empty() {
        let property = json!({"type": "string"});
        let schema = json!({"type": "object", "properties": {"x": property}});
        let empty = json!({"action": "accept", "content": {"x": null}});
        assert_eq!(check(Some(&schema), &empty), Ok(()));
        assert_eq!(said(&property, Value::Null), "content: x is missing");
    }

    #[test]
    fn an_answer_that_is_too_large_is_refused() {
        let long = json!({"action": "accept", "content": {"x": "x".repeat(70_000)}});
        assert!(check(None, &long).unwrap_err().ends_with("the limit is 65536"));
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_spelled() {
        let schema = json!({"properties": {"x": {"type": "integer"}, "y": {"type": "number"}}});
        let answer = json!({"content": {"x": 9.0, "y": 9.0}});
        let in_terms = json!({"content": {"x": 9, "y": 9.0}});
        assert_eq!(normalize_numbers(Some(&schema), answer), in_terms);
    }

    #[test]
    fn who_declines_need_not_say_more() {
        let schema = json!({"type": "object", "properties": {}, "required": ["x"]});
        for action in ["decline", "cancel"] {
            assert_eq!(check(Some(&schema), &json!({"action": action})), Ok(()));
        }
        assert_eq!(check(None, &json!({"action": "accept"})), Ok(()), "nothing was asked for");
    }
}
