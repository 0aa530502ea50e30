//! The keywords of one schema in the portable form: its type, and those of its constraints that all APIs read.

use rmcp::model::JsonObject;
use serde_json::{Map, Value, json};

use super::portable::{Rewriter, any_value};
use super::union::{is_any, union};

/// The formats that each API knows: those of `OpenAI`'s strict mode.
const FORMATS: [&str; 9] =
    ["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"];

/// The part of a schema that its own keywords say, apart from references and unions; `Some(None)` where they say nothing.
#[expect(clippy::option_option, reason = "the outer one says that the result is too large")]
pub(super) fn own(rewriter: &mut Rewriter<'_>, schema: &JsonObject) -> Option<Option<Value>> {
    let kinds = kinds(schema);
    let mut own = Map::new();
    for kind in &kinds {
        match *kind {
            "object" => object(rewriter, schema, &mut own)?,
            "array" => array(rewriter, schema, &mut own)?,
            "string" => string(schema, &mut own),
            "integer" | "number" => number(schema, kind, &mut own),
            _ => {}
        }
    }
    match kinds.as_slice() {
        [] => return Some(None),
        [kind] => own.insert("type".to_owned(), json!(kind)),
        // An enum lacks `null`, which the type allows.
        [_, _, ..] if own.contains_key("enum") => {
            own.insert("type".to_owned(), json!("string"));
            let others = kinds.iter().filter(|kind| **kind != "string");
            let mut branches = vec![Value::Object(own)];
            branches.extend(others.map(|kind| match *kind {
                "object" | "array" => any_value(),
                kind => json!({"type": kind}),
            }));
            return Some(Some(union(branches)));
        }
        kinds => own.insert("type".to_owned(), json!(kinds)),
    };
    Some(Some(Value::Object(own)))
}

/// The types of a schema, where it names none by its other keywords.
fn kinds(schema: &JsonObject) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => return vec![kind],
        Some(Value::Array(kinds)) => return kinds.iter().filter_map(Value::as_str).collect(),
        _ => {}
    }
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
    if has(&["properties", "required", "additionalProperties", "patternProperties"]) {
        return vec!["object"];
    }
    if has(&["items", "prefixItems"]) {
        return vec!["array"];
    }
    let mut kinds = Vec::new();
    for value in choices(schema) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// The values of `enum` and `const`.
fn choices(schema: &JsonObject) -> impl Iterator<Item = &Value> {
    schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const"))
}

fn object(rewriter: &mut Rewriter<'_>, schema: &JsonObject, own: &mut JsonObject) -> Option<()> {
    let mut properties = Map::new();
    for (name, property) in schemas(schema, "properties") {
        properties.insert(name.clone(), rewriter.rewrite(property)?);
    }
    let mut others = Vec::new();
    for (_, property) in schemas(schema, "patternProperties") {
        others.push(rewriter.rewrite(property)?);
    }
    match schema.get("additionalProperties") {
        Some(Value::Object(property)) if !property.is_empty() => {
            others.push(rewriter.rewrite(&Value::Object(property.clone()))?);
        }
        Some(Value::Bool(false)) => {}
        Some(_) => others.push(any_value()),
        None if schema.get("unevaluatedProperties") == Some(&Value::Bool(false)) => {}
        None if !schema.contains_key("properties") => others.push(any_value()),
        None => {}
    }
    let is_open = others.iter().any(is_any);
    let is_closed = ["additionalProperties", "unevaluatedProperties"]
        .iter()
        .any(|keyword| schema.get(*keyword) == Some(&Value::Bool(false)));
    own.insert("properties".to_owned(), Value::Object(properties));
    if is_open {
        own.insert("additionalProperties".to_owned(), Value::Bool(true));
    } else if !others.is_empty() {
        own.insert("additionalProperties".to_owned(), union(others));
    } else if is_closed {
        own.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    copy(schema, own, &["required"]);
    Some(())
}

fn schemas<'a>(
    schema: &'a JsonObject,
    keyword: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema.get(keyword).and_then(Value::as_object).into_iter().flatten()
}

fn array(rewriter: &mut Rewriter<'_>, schema: &JsonObject, own: &mut JsonObject) -> Option<()> {
    let mut items = Vec::new();
    let first = schema.get("prefixItems").and_then(Value::as_array);
    for item in first.into_iter().flatten() {
        items.push(rewriter.rewrite(item)?);
    }
    let longest = schema.get("maxItems").and_then(Value::as_u64);
    let is_all = first.is_some_and(|first| Some(first.len() as u64) == longest);
    match schema.get("items") {
        Some(Value::Bool(false)) => {}
        Some(rest) if !is_all => items.push(rewriter.rewrite(rest)?),
        None if !is_all => items.push(any_value()),
        _ => {}
    }
    own.insert("items".to_owned(), union(items));
    copy(schema, own, &["minItems", "maxItems"]);
    Some(())
}

fn string(schema: &JsonObject, own: &mut JsonObject) {
    copy(schema, own, &["minLength", "maxLength", "pattern"]);
    let format = schema.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| FORMATS.contains(&format)) {
        copy(schema, own, &["format"]);
    }
    let texts: Vec<_> = choices(schema).filter(|value| value.is_string()).cloned().collect();
    if !texts.is_empty() {
        own.insert("enum".to_owned(), Value::Array(texts));
    }
}

fn number(schema: &JsonObject, kind: &str, own: &mut JsonObject) {
    copy(schema, own, &["minimum", "maximum"]);
    for (exclusive, inclusive, step) in
        [("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)]
    {
        let limit = schema.get(exclusive).filter(|limit| limit.is_number());
        if let Some(limit) = limit {
            let next = limit.as_i64().filter(|_| kind == "integer");
            let limit =
                next.and_then(|limit| limit.checked_add(step)).map_or(limit.clone(), Value::from);
            own.entry(inclusive).or_insert(limit);
        }
    }
}

fn copy(schema: &JsonObject, own: &mut JsonObject, keywords: &[&str]) {
    for keyword in keywords {
        if let Some(value) = schema.get(*keyword) {
            own.insert((*keyword).to_owned(), value.clone());
        }
    }
}

/// The schema with the annotations of the schema that it was made from. A reference stands alone, so that it gets a union around it.
pub(super) fn annotated(schema: Value, original: &JsonObject) -> Value {
    let mut annotations = Map::new();
    if let Some(text) = description(original) {
        annotations.insert("description".to_owned(), text.into());
    }
    let kept = |key: &str| key == "default" || key.starts_with("x-");
    annotations.extend(
        original
            .iter()
            .filter(|(key, _)| kept(key))
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    match schema {
        schema if annotations.is_empty() => schema,
        Value::Object(reference) if reference.contains_key("$ref") => {
            annotations.insert("anyOf".to_owned(), json!([reference]));
            Value::Object(annotations)
        }
        Value::Object(mut schema) => {
            schema.extend(annotations);
            Value::Object(schema)
        }
        schema => schema,
    }
}

/// The description, with what the form has no keyword for: a choice of numbers, and examples.
fn description(original: &JsonObject) -> Option<String> {
    let mut texts = Vec::new();
    let own = original.get("description").and_then(Value::as_str);
    texts.extend(own.map(|text| text.trim_end_matches('.').to_owned()));
    let numbers: Vec<_> = choices(original).filter(|value| value.is_number()).collect();
    if !numbers.is_empty() {
        texts.push(format!("One of {}", list(numbers)));
    }
    if let Some(examples) = original.get("examples").and_then(Value::as_array)
        && !examples.is_empty()
    {
        texts.push(format!("For example {}", list(examples.iter().collect())));
    }
    match (own, texts.as_slice()) {
        (Some(own), [_]) => Some(own.to_owned()),
        (_, []) => None,
        (_, texts) => Some(texts.join(". ")),
    }
}

fn list(values: Vec<&Value>) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
