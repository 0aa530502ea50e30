//! Unions and intersections of schemas in the portable form: a union is `anyOf` alone, and everything else has one type.

use rmcp::model::JsonObject;
use serde_json::{Map, Value, json};

use super::portable::any_value;

/// The most branches of an intersection of unions. One with more describes only what the first of the two says.
const MOST_BRANCHES: usize = 64;

/// The values of each branch.
pub(super) fn union(branches: Vec<Value>) -> Value {
    let mut all: Vec<Value> = Vec::new();
    let mut texts: Option<usize> = None;
    for branch in branches.into_iter().flat_map(flat) {
        if all.contains(&branch) {
            continue;
        }
        match texts.and_then(|at| all.get_mut(at)) {
            Some(known) if is_choice(&branch) => *known = both_choices(known, &branch),
            _ => {
                if is_choice(&branch) {
                    texts = Some(all.len());
                }
                all.push(branch);
            }
        }
    }
    if all.len() == 1 {
        return all.pop().unwrap_or_else(any_value);
    }
    if all.is_empty() { any_value() } else { json!({"anyOf": all}) }
}

/// The branches of a union without annotations, and anything else as a single branch.
fn flat(schema: Value) -> Vec<Value> {
    match schema {
        Value::Object(mut union) if union.len() == 1 && union.contains_key("anyOf") => {
            match union.remove("anyOf") {
                Some(Value::Array(branches)) => branches,
                _ => Vec::new(),
            }
        }
        schema => vec![schema],
    }
}

/// Returns whether the schema is a choice of texts and nothing else.
fn is_choice(schema: &Value) -> bool {
    schema.as_object().is_some_and(|schema| {
        schema.contains_key("enum")
            && schema.keys().all(|key| ["type", "enum", "description"].contains(&key.as_str()))
    })
}

/// One choice of the texts of both. The description of a single text moves to the choice, behind the text.
fn both_choices(one: &Value, other: &Value) -> Value {
    let texts = |schema: &Value| -> Vec<Value> {
        schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let mut choice: Vec<Value> = texts(one);
    choice.extend(texts(other).into_iter().filter(|text| !texts(one).contains(text)));
    let described = |schema: &Value| -> Option<String> {
        let description = schema.get("description")?.as_str()?.trim_end_matches('.').to_owned();
        match texts(schema).as_slice() {
            [Value::String(text)] => Some(format!("{text}: {description}")),
            _ => Some(description),
        }
    };
    let descriptions: Vec<_> = [described(one), described(other)].into_iter().flatten().collect();
    let mut merged = Map::new();
    if !descriptions.is_empty() {
        merged.insert("description".to_owned(), descriptions.join("; ").into());
    }
    merged.insert("type".to_owned(), "string".into());
    merged.insert("enum".to_owned(), Value::Array(choice));
    Value::Object(merged)
}

/// The values of both schemas, or more.
pub(super) fn intersection(one: Value, other: Value) -> Value {
    if is_any(&one) {
        return other;
    }
    if is_any(&other) {
        return one;
    }
    let (ones, others) = (branches(&one), branches(&other));
    if ones.len() * others.len() > MOST_BRANCHES {
        return one;
    }
    let mut all = Vec::new();
    for one in &ones {
        all.extend(others.iter().filter_map(|other| both(one, other)));
    }
    if all.is_empty() { one } else { union(all) }
}

/// Returns whether the schema describes any value.
pub(super) fn is_any(schema: &Value) -> bool {
    schema.get("anyOf") == any_value().get("anyOf")
}

/// The branches of a union, and of the unions in it.
fn branches(schema: &Value) -> Vec<Value> {
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(inner) => inner.iter().flat_map(branches).collect(),
        None => vec![schema.clone()],
    }
}

/// The values of two schemas that are no unions; `None` where they have different types.
fn both(one: &Value, other: &Value) -> Option<Value> {
    let (Value::Object(one), Value::Object(other)) = (one, other) else { return None };
    match (one.get("type"), other.get("type")) {
        (Some(Value::String(one)), Some(Value::String(other))) if one != other => return None,
        _ => {}
    }
    let mut both = other.clone();
    both.extend(one.clone());
    if both.get("type") == Some(&json!("object")) {
        let properties = all_properties(&[one, other], intersection);
        both.insert("properties".to_owned(), Value::Object(properties));
        let required: Vec<_> = required(one).chain(required(other)).collect();
        set_required(&mut both, &required);
        // Each of the two allows what the other names.
        match (one.get("additionalProperties"), other.get("additionalProperties")) {
            (Some(Value::Bool(false)), _) | (_, Some(Value::Bool(false))) => {
                both.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            (Some(Value::Object(others)), None | Some(Value::Bool(true)))
            | (None | Some(Value::Bool(true)), Some(Value::Object(others))) => {
                both.insert("additionalProperties".to_owned(), Value::Object(others.clone()));
            }
            (Some(Value::Bool(true)), Some(Value::Bool(true))) => {}
            _ => {
                both.remove("additionalProperties");
            }
        }
    }
    Some(Value::Object(both))
}

/// An object in place of a union of objects: with the properties of all branches, of which those are required that every branch
/// requires. Branches of other types are left out, because the root of arguments is an object.
pub(super) fn merged(schema: Value) -> Value {
    let all = branches(&schema);
    let objects: Vec<&JsonObject> = all
        .iter()
        .filter_map(Value::as_object)
        .filter(|branch| branch.get("type") == Some(&json!("object")))
        .collect();
    let [first, rest @ ..] = objects.as_slice() else { return schema };
    if all.len() == 1 {
        return Value::Object((*first).clone());
    }
    let mut merged = Map::new();
    if let Some(alternatives) = alternatives(&objects) {
        let text = format!("Give the arguments of one of these: {alternatives}.");
        merged.insert("description".to_owned(), text.into());
    }
    merged.insert("type".to_owned(), "object".into());
    let properties = all_properties(&objects, |one, other| union(vec![one, other]));
    merged.insert("properties".to_owned(), Value::Object(properties));
    let everywhere: Vec<_> = required(first)
        .filter(|name| rest.iter().all(|object| required(object).any(|other| other == *name)))
        .collect();
    set_required(&mut merged, &everywhere);
    if objects.iter().all(|object| object.get("additionalProperties") == Some(&false.into())) {
        merged.insert("additionalProperties".to_owned(), false.into());
    }
    Value::Object(merged)
}

/// The arguments that each branch requires, in words; `None` where all require the same.
fn alternatives(objects: &[&JsonObject]) -> Option<String> {
    let mut all = Vec::new();
    for object in objects {
        let names: Vec<_> = required(object).collect();
        let text = if names.is_empty() { "none".to_owned() } else { names.join(" + ") };
        if !all.contains(&text) {
            all.push(text);
        }
    }
    (all.len() > 1).then(|| all.join(" | "))
}

fn all_properties(objects: &[&JsonObject], join: impl Fn(Value, Value) -> Value) -> JsonObject {
    let mut all = Map::new();
    for (name, property) in objects
        .iter()
        .filter_map(|object| object.get("properties").and_then(Value::as_object))
        .flatten()
    {
        let joined = match all.remove(name) {
            Some(known) if known != *property => join(known, property.clone()),
            _ => property.clone(),
        };
        all.insert(name.clone(), joined);
    }
    all
}

fn required(object: &JsonObject) -> impl Iterator<Item = &str> {
    object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn set_required(object: &mut JsonObject, names: &[&str]) {
    let mut unique: Vec<&str> = Vec::new();
    for name in names {
        if !unique.contains(name) {
            unique.push(name);
        }
    }
    if unique.is_empty() {
        object.remove("required");
    } else {
        object.insert("required".to_owned(), json!(unique));
    }
}
