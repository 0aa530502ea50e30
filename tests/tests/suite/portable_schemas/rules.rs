//! What each API refuses of a tool, as far as it is documented or was reported, by November 2026. Each check names the faults.
//!
//! - **Claude**: the name and `input_schema` of a tool,
//!   <https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools>: JSON Schema 2020-12 with an object at the root
//!   (<https://github.com/anthropics/claude-code/issues/86665>, 2026-08-14), no union there
//!   (<https://github.com/anthropics/claude-code/issues/27337>, 2026-02-21), names of top-level properties
//!   (<https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/709>, 2026-08-31).
//! - **`OpenAI`**: <https://platform.openai.com/docs/guides/function-calling>: an object without unions at the root
//!   (<https://github.com/langchain-ai/langchainjs/issues/9804>, 2026-01-14), `properties`
//!   (<https://github.com/openai/openai-agents-python/pull/454>, 2025-04-07) and `items`
//!   (<https://github.com/microsoft/vscode/issues/248810>, 2025-05-13). In strict mode also what
//!   <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas> lists. Clients bring a schema into it or do
//!   without; [`openai_strict`] does as `openai-agents-python` (`strict_schema.py`, 2025-05).
//! - **Gemini**: `parametersJsonSchema` of <https://ai.google.dev/api/caching#FunctionDeclaration>, and the keywords of the older
//!   `parameters`, to which clients still convert: references resolve and stand alone
//!   (<https://github.com/su-kaka/gcli2api/pull/374>, 2026-05-09), enums are of texts
//!   (<https://github.com/JetBrains/mcp-jetbrains/issues/71>, 2026-05-15), every schema has a type
//!   (<https://github.com/google-gemini/gemini-cli/pull/5694>, 2025-08-06), `anyOf` is alone, and there are no keywords but these
//!   (<https://github.com/pizza-bot-app/pizza-bot/issues/62>, 2026-09-07).
//! - **Strict clients**: a schema is an object (<https://github.com/anthropics/claude-code/issues/92900>, 2026-09-08), and its format
//!   is one that Ajv knows (<https://github.com/anomalyco/opencode/issues/31002>, 2026-08-18).

use serde_json::{Map, Value, json};

type Faults = Vec<String>;

/// Calls `see` with each schema in a schema and its path.
fn visit(schema: &Value, path: &str, see: &mut dyn FnMut(&str, &Value)) {
    see(path, schema);
    let Some(schema) = schema.as_object() else { return };
    for (keyword, value) in schema {
        let path = format!("{path}/{keyword}");
        match keyword.as_str() {
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    visit(schema, &format!("{path}/{name}"), see);
                }
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
                for (at, schema) in value.as_array().into_iter().flatten().enumerate() {
                    visit(schema, &format!("{path}/{at}"), see);
                }
            }
            "items" | "not" | "if" | "then" | "else" | "contains" | "propertyNames" => {
                visit(value, &path, see);
            }
            "additionalProperties" | "unevaluatedProperties" if value.is_object() => {
                visit(value, &path, see);
            }
            _ => {}
        }
    }
}

fn each(schema: &Value, check: impl Fn(&str, &Map<String, Value>) -> Option<String>) -> Faults {
    let mut faults = Faults::new();
    visit(schema, "", &mut |path, schema| {
        faults.extend(schema.as_object().and_then(|schema| check(path, schema)));
    });
    faults
}

fn name(name: &str, first: impl Fn(char) -> bool) -> Faults {
    let fits = (1..=64).contains(&name.len())
        && name.starts_with(first)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if fits { Faults::new() } else { vec![format!("the name {name}")] }
}

fn root(schema: &Value) -> Faults {
    let mut faults = Faults::new();
    if schema["type"] != "object" || !schema["properties"].is_object() {
        faults.push(format!("the root is no object with properties: {schema}"));
    }
    for keyword in ["oneOf", "anyOf", "allOf", "enum", "const", "not", "$ref"] {
        if schema.get(keyword).is_some() {
            faults.push(format!("{keyword} at the root"));
        }
    }
    faults
}

fn booleans(schema: &Value) -> Faults {
    let mut faults = Faults::new();
    visit(schema, "", &mut |path, schema| {
        if !schema.is_object() {
            faults.push(format!("{path} is {schema}"));
        }
    });
    faults
}

fn references(schema: &Value) -> Faults {
    each(schema, |path, node| {
        let reference = node.get("$ref")?.as_str()?;
        let resolves = reference.starts_with("#/$defs/")
            && schema.pointer(reference.trim_start_matches('#')).is_some();
        let alone =
            node.keys().all(|key| ["$ref", "description", "default"].contains(&key.as_str()));
        (!resolves || !alone).then(|| format!("{path} refers to {reference}"))
    })
}

pub fn claude(tool: &str, schema: &Value) -> Faults {
    let mut faults = name(tool, |_| true);
    faults.extend(root(schema));
    if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
        faults.push(format!("no JSON Schema: {error}"));
    }
    for key in schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
        let fits = (1..=64).contains(&key.len())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if !fits {
            faults.push(format!("the property {key}"));
        }
    }
    faults
}

pub fn openai(tool: &str, schema: &Value) -> Faults {
    let mut faults = name(tool, |_| true);
    faults.extend(root(schema));
    faults.extend(booleans(schema));
    faults.extend(each(schema, |path, schema| {
        let missing = match schema.get("type").and_then(Value::as_str) {
            Some("object") => "properties",
            Some("array") => "items",
            _ => return None,
        };
        (!schema.contains_key(missing)).then(|| format!("{path} without {missing}"))
    }));
    faults
}

/// What is wrong with the schema once a client has brought it into strict mode; nothing where the client finds that it cannot,
/// because it leaves strict mode off then.
pub fn openai_strict(schema: &Value) -> Faults {
    let booleans = booleans(schema);
    if !booleans.is_empty() {
        return booleans;
    }
    let mut strict = schema.clone();
    if converted(&mut strict, schema, 0).is_none() {
        return Faults::new();
    }
    each(&strict, |path, schema| {
        const REFUSED: [&str; 12] = [
            "oneOf",
            "allOf",
            "not",
            "if",
            "then",
            "else",
            "dependentRequired",
            "dependentSchemas",
            "patternProperties",
            "unevaluatedProperties",
            "propertyNames",
            "prefixItems",
        ];
        const FORMATS: [&str; 9] =
            ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
        if let Some(keyword) = REFUSED.iter().find(|keyword| schema.contains_key(**keyword)) {
            return Some(format!("{path} has {keyword}"));
        }
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && !FORMATS.contains(&format)
        {
            return Some(format!("{path} has the format {format}"));
        }
        let typed = ["type", "anyOf", "$ref", "enum"].iter().any(|key| schema.contains_key(*key));
        if !typed {
            return Some(format!("{path} has no type"));
        }
        if schema.get("type") == Some(&json!("object")) {
            let names: Vec<_> = schema
                .get("properties")
                .and_then(Value::as_object)?
                .keys()
                .map(|key| json!(key))
                .collect();
            if schema["additionalProperties"] != false || schema["required"] != json!(names) {
                return Some(format!("{path} is open"));
            }
        }
        None
    })
}

/// Brings a schema into strict mode; `None` where that cannot be done.
fn converted(schema: &mut Value, root: &Value, depth: usize) -> Option<()> {
    assert!(depth < 64, "the client would not end");
    let object = schema.as_object_mut().expect("a client takes no boolean for a schema");
    for definitions in ["$defs", "definitions"] {
        for (_, schema) in
            object.get_mut(definitions).and_then(Value::as_object_mut).into_iter().flatten()
        {
            converted(schema, root, depth + 1)?;
        }
    }
    if object.get("type") == Some(&json!("object")) {
        match object.get("additionalProperties") {
            None => {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            Some(Value::Bool(false)) => {}
            Some(_) => return None,
        }
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        let names: Vec<_> = properties.keys().cloned().collect();
        for (_, schema) in properties {
            converted(schema, root, depth + 1)?;
        }
        object.insert("required".to_owned(), json!(names));
    }
    if let Some(items) = object.get_mut("items") {
        converted(items, root, depth + 1)?;
    }
    if let Some(branches) = object.remove("oneOf") {
        object.insert("anyOf".to_owned(), branches);
    }
    for branch in object.get_mut("anyOf").and_then(Value::as_array_mut).into_iter().flatten() {
        converted(branch, root, depth + 1)?;
    }
    if object.len() > 1
        && let Some(reference) = object.remove("$ref")
    {
        let reference = reference.as_str().and_then(|reference| reference.strip_prefix("#/"));
        let reference = reference?;
        let target = root.pointer(&format!("/{reference}")).expect("a reference resolves");
        for (key, value) in target.as_object().expect("a schema is an object") {
            object.entry(key).or_insert_with(|| value.clone());
        }
        return converted(schema, root, depth + 1);
    }
    Some(())
}

pub fn gemini(tool: &str, schema: &Value) -> Faults {
    const KNOWN: [&str; 21] = [
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
    ];
    let mut faults = name(tool, |first| first.is_ascii_alphabetic() || first == '_');
    faults.extend(root(schema));
    faults.extend(booleans(schema));
    faults.extend(references(schema));
    faults.extend(each(schema, |path, schema| {
        if let Some(keyword) = schema.keys().find(|keyword| !KNOWN.contains(&keyword.as_str())) {
            return Some(format!("{path} has {keyword}"));
        }
        let any_item = path.ends_with("/items") && schema.is_empty();
        if !any_item && !["type", "anyOf", "$ref"].iter().any(|key| schema.contains_key(*key)) {
            return Some(format!("{path} has no type"));
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array)
            && (schema.get("type") != Some(&json!("string"))
                || !values.iter().all(Value::is_string))
        {
            return Some(format!("{path} is an enum of other values than texts"));
        }
        let beside = |key: &String| ["anyOf", "description", "default"].contains(&key.as_str());
        if schema.contains_key("anyOf") && !schema.keys().all(beside) {
            return Some(format!("{path} has other keywords beside anyOf"));
        }
        let is_array = schema.get("type") == Some(&json!("array"));
        (is_array && !schema.contains_key("items")).then(|| format!("{path} without items"))
    }));
    faults
}

pub fn strict_clients(schema: &Value) -> Faults {
    const AJV_FORMATS: [&str; 25] = [
        "date",
        "time",
        "date-time",
        "iso-time",
        "iso-date-time",
        "duration",
        "uri",
        "uri-reference",
        "uri-template",
        "url",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "regex",
        "uuid",
        "json-pointer",
        "json-pointer-uri-fragment",
        "relative-json-pointer",
        "byte",
        "int32",
        "int64",
        "float",
        "double",
        "binary",
    ];
    let mut faults = booleans(schema);
    if schema["type"] != "object" {
        faults.push("no object at the root".to_owned());
    }
    faults.extend(references(schema));
    faults.extend(each(schema, |path, schema| {
        let format = schema.get("format")?.as_str()?;
        (!AJV_FORMATS.contains(&format)).then(|| format!("{path} has the format {format}"))
    }));
    faults
}
