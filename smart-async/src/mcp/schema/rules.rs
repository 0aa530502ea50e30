//! Rules of the APIs of large models that a tool may break, for a warning to the operator: the library can rewrite the schemas of
//! annotated tools only, and never names. `portable` has the reports of what is refused.

use rmcp::model::{JsonObject, Tool};
use serde_json::{Value, json};

/// The longest name of a tool that each API takes, in bytes.
pub(in crate::mcp) const LONGEST_NAME: usize = 64;

/// Returns whether each API takes this name for a tool, or the beginning of one. Claude and `OpenAI` take letters, digits, `_` and
/// `-`, and Gemini wants a letter or `_` at the beginning.
pub(in crate::mcp) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// The rules that the tool breaks, each as the end of a sentence about the tool.
pub(in crate::mcp) fn broken_rules(tool: &Tool) -> Vec<String> {
    let mut broken = Vec::new();
    if !is_name(&tool.name) || tool.name.len() > LONGEST_NAME {
        broken.push(format!(
            "its name is not of 1 to {LONGEST_NAME} letters, digits, `_` and `-` with a letter or `_` first"
        ));
    }
    of_input(&tool.input_schema, &mut broken);
    if let Some(output) = &tool.output_schema {
        if output.get("type") != Some(&json!("object")) {
            broken.push("its output schema has no `\"type\": \"object\"` at the root".to_owned());
        }
        nested(&Value::Object((**output).clone()), "its output schema", &mut broken);
    }
    broken
}

fn of_input(schema: &JsonObject, broken: &mut Vec<String>) {
    if schema.get("type") != Some(&json!("object")) {
        broken.push("its input schema has no `\"type\": \"object\"` at the root".to_owned());
    }
    for keyword in ["anyOf", "oneOf", "allOf", "not", "enum", "const", "$ref"] {
        if schema.contains_key(keyword) {
            broken.push(format!("its input schema has `{keyword}` at the root"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    if properties.is_none() {
        broken.push("its input schema has no `properties`".to_owned());
    }
    let allowed = |name: &str| {
        (1..=LONGEST_NAME).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    };
    if let Some(name) = properties.and_then(|all| all.keys().find(|name| !allowed(name))) {
        broken.push(format!(
            "its argument `{name}` is not named with 1 to {LONGEST_NAME} letters, digits, `_`, `.` and `-`"
        ));
    }
    nested(&Value::Object(schema.clone()), "its input schema", broken);
}

/// Adds the first of each kind of fault within a schema.
fn nested(schema: &Value, of: &str, broken: &mut Vec<String>) {
    let mut add = |text: &str, path: &str| {
        let begin = format!("{of} has {text}");
        if !broken.iter().any(|known| known.starts_with(&begin)) {
            broken.push(format!("{begin} at `{path}`"));
        }
    };
    visit(schema, "", &mut |schema, path| match schema {
        Value::Object(schema) => {
            let is_array = schema.get("type") == Some(&json!("array"));
            if is_array && !schema.contains_key("items") {
                add("an array without `items`", path);
            }
        }
        _ => add("`true` or `false` in place of a schema", path),
    });
}

/// Shows each schema within a schema, with its path.
fn visit(schema: &Value, path: &str, see: &mut dyn FnMut(&Value, &str)) {
    see(schema, if path.is_empty() { "/" } else { path });
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(all)) => {
                for (name, schema) in all {
                    visit(schema, &format!("{path}/{keyword}/{name}"), see);
                }
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(all)) => {
                for (at, schema) in all.iter().enumerate() {
                    visit(schema, &format!("{path}/{keyword}/{at}"), see);
                }
            }
            ("items" | "not", schema) | ("additionalProperties", schema @ Value::Object(_)) => {
                visit(schema, &format!("{path}/{keyword}"), see);
            }
            _ => {}
        }
    }
}
