//! The form of a schema that the APIs of all large models take. Each step describes the same values or more, never fewer, so that a
//! client's check of arguments or answers accepts what it accepted before.
//!
//! Why each step, with the report that shows the refusal:
//!
//! - A schema is an object with a type, never `true` or `{}`: <https://github.com/anthropics/claude-code/issues/92900> (2026-09-08),
//!   <https://github.com/anomalyco/opencode/issues/49464> (2026-09-17).
//! - Nothing but an object with properties at the root of an input schema:
//!   <https://github.com/anthropics/claude-code/issues/27337> (2026-02-21), <https://github.com/langchain-ai/langchainjs/issues/9804>
//!   (2026-01-14). Objects have `properties`: <https://github.com/openai/openai-agents-python/pull/454> (2025-04-07).
//! - Arrays have `items`, and no `prefixItems`: <https://github.com/microsoft/vscode/issues/248810> (2025-05-13),
//!   <https://github.com/diegosouzapw/OmniRoute/pull/12872> (2026-09-06).
//! - References only where a type contains itself, under `#/$defs/` and alone:
//!   <https://github.com/google-gemini/gemini-cli/issues/13326> (2025-11-18), <https://github.com/Softeria/ms-365-mcp-server/pull/576>
//!   (2026-07-21), <https://github.com/su-kaka/gcli2api/pull/374> (2026-05-09).
//! - `enum` of texts in place of `const` and of enums of numbers, `anyOf` alone in place of `oneOf` and `allOf`, and none of the rarer
//!   keywords: <https://github.com/anomalyco/opencode/pull/12911> (2026-02-10), <https://github.com/zendev-sh/goai/pull/108> (2026-06-20),
//!   <https://github.com/makenotion/notion-mcp-server/issues/102> (2025-08-07).
//! - Only formats that `OpenAI`'s strict mode knows: <https://github.com/anomalyco/opencode/issues/31002> (2026-08-18).
//! - No `$schema`: <https://github.com/google-gemini/gemini-cli/pull/21963> (2026-03-11).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rmcp::model::JsonObject;
use serde_json::{Value, json};

use super::keywords::{annotated, own};
use super::union::{intersection, merged, union};

/// The most schemas that a rewritten schema has with all references replaced; more of them, and the references stay.
const LARGEST_INLINE: usize = 1_000;

/// The most schemas that a rewritten schema has at all. A larger one stays as it is.
const LARGEST: usize = 20_000;

/// The schema of arguments in the portable form, with an object of properties at its root. A schema that cannot be brought into
/// it stays as it is.
pub(in crate::mcp) fn portable_input(schema: &JsonObject) -> JsonObject {
    let Some((root, definitions)) = portable(schema) else { return schema.clone() };
    let Value::Object(mut root) = merged(root) else { return schema.clone() };
    if root.get("type") != Some(&json!("object")) {
        return schema.clone();
    }
    // An object without arguments is no map of any arguments.
    if !schema.contains_key("additionalProperties")
        && root.get("additionalProperties") == Some(&true.into())
    {
        root.remove("additionalProperties");
    }
    if !definitions.is_empty() {
        root.insert("$defs".to_owned(), Value::Object(definitions));
    }
    root
}

/// A schema in the portable form, apart from the definitions that it refers to; `None` where it would be too large.
pub(super) fn portable(schema: &JsonObject) -> Option<(Value, JsonObject)> {
    let root = Value::Object(schema.clone());
    let inlined = Rewriter::new(&root, LARGEST_INLINE, false).run();
    inlined.or_else(|| Rewriter::new(&root, LARGEST, true).run())
}

/// Any value, with a type for each of its kinds.
pub(super) fn any_value() -> Value {
    json!({"anyOf": [
        {"type": "string"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"type": "object", "properties": {}, "additionalProperties": true},
        {"type": "array", "items": {}}
    ]})
}

/// The reference to the root of a document.
const ROOT: &str = "#";

/// One pass over a schema. Its methods return `None` where the result would be too large.
pub(super) struct Rewriter<'a> {
    root: &'a Value,
    /// References to schemas that contain themselves.
    recursive: BTreeSet<String>,
    /// The references that stay, each with the name of its definition.
    names: BTreeMap<String, String>,
    /// The references whose schemas are being put together with others.
    expanding: Vec<String>,
    /// How many more schemas the result may have.
    left: usize,
    keeps_references: bool,
}

impl<'a> Rewriter<'a> {
    fn new(root: &'a Value, limit: usize, keeps_references: bool) -> Self {
        Self {
            root,
            recursive: recursive(root),
            names: BTreeMap::new(),
            expanding: Vec::new(),
            left: limit,
            keeps_references,
        }
    }

    /// The rewritten root and its definitions.
    fn run(mut self) -> Option<(Value, JsonObject)> {
        let root = self.rewrite(self.root)?;
        let root = self.spelled_out(root)?;
        let mut definitions = JsonObject::new();
        // A definition may refer to further ones.
        while let Some((reference, name)) = self.undefined(&definitions) {
            let body = match target(self.root, &reference) {
                Some(target) => self.rewrite(target)?,
                None => any_value(),
            };
            definitions.insert(name, body);
        }
        Some((root, definitions))
    }

    fn undefined(&self, definitions: &JsonObject) -> Option<(String, String)> {
        let mut names = self.names.iter();
        let (reference, name) = names.find(|(_, name)| !definitions.contains_key(*name))?;
        Some((reference.clone(), name.clone()))
    }

    pub(super) fn rewrite(&mut self, schema: &Value) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        let Value::Object(schema) = schema else { return Some(any_value()) };
        let mut parts = Vec::new();
        parts.extend(own(self, schema)?);
        if let Some(Value::String(reference)) = schema.get("$ref") {
            parts.push(self.refer(reference)?);
        }
        for unions in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(unions).and_then(Value::as_array) {
                parts.push(union(self.rewrite_all(branches)?));
            }
        }
        if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
            parts.extend(self.rewrite_all(all)?);
        }
        let mut parts = parts.into_iter();
        let mut whole = parts.next().unwrap_or_else(any_value);
        for part in parts {
            whole = intersection(self.spelled_out(whole)?, self.spelled_out(part)?);
        }
        Some(annotated(whole, schema))
    }

    fn rewrite_all(&mut self, schemas: &[Value]) -> Option<Vec<Value>> {
        schemas.iter().map(|schema| self.rewrite(schema)).collect()
    }

    /// The schema behind a reference, or the reference where it has to stay.
    fn refer(&mut self, reference: &str) -> Option<Value> {
        let Some(target) = target(self.root, reference) else { return Some(any_value()) };
        if !self.keeps_references && !self.recursive.contains(reference) {
            return self.rewrite(target);
        }
        let name = match self.names.get(reference) {
            Some(name) => name.clone(),
            None => {
                let name = free_name(reference, &self.names);
                self.names.insert(reference.to_owned(), name.clone());
                name
            }
        };
        Some(json!({"$ref": format!("{DEFINITIONS}{name}")}))
    }

    /// The schema itself in place of a reference, because only a schema that is spelled out can be put together with another.
    fn spelled_out(&mut self, schema: Value) -> Option<Value> {
        if let Some(branches) = schema.get("anyOf").and_then(Value::as_array)
            && branches.iter().any(|branch| branch.get("$ref").is_some())
        {
            let branches: Option<Vec<_>> =
                branches.iter().map(|branch| self.spelled_out(branch.clone())).collect();
            return Some(union(branches?));
        }
        let name = schema.get("$ref").and_then(Value::as_str);
        let Some(name) = name.and_then(|name| name.strip_prefix(DEFINITIONS)) else {
            return Some(schema);
        };
        let known = self.names.iter().find(|(_, known)| *known == name);
        let known = known.map(|(reference, _)| reference.clone());
        let Some(reference) = known.filter(|reference| !self.expanding.contains(reference)) else {
            return Some(any_value());
        };
        let Some(target) = target(self.root, &reference) else { return Some(any_value()) };
        self.expanding.push(reference);
        let body = self.rewrite(target)?;
        let body = self.spelled_out(body);
        self.expanding.pop();
        body
    }
}

/// How references to definitions begin.
const DEFINITIONS: &str = "#/$defs/";

/// A name for the definition behind a reference that no other definition has.
fn free_name(reference: &str, names: &BTreeMap<String, String>) -> String {
    let wanted = match reference.rsplit('/').next() {
        None | Some(ROOT) => "Root",
        Some(name) => name,
    };
    let mut name = wanted.to_owned();
    while names.values().any(|taken| *taken == name) {
        name.push('_');
    }
    name
}

/// The schema behind a reference within a document.
fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix(ROOT)?)
}

/// The references to schemas that contain themselves.
fn recursive(root: &Value) -> BTreeSet<String> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut found: Vec<String> = references(root).into_iter().collect();
    while let Some(reference) = found.pop() {
        if let Entry::Vacant(unknown) = edges.entry(reference) {
            let next = target(root, unknown.key()).map(references).unwrap_or_default();
            found.extend(next.iter().cloned());
            unknown.insert(next);
        }
    }
    let reaches_itself = |start: &&String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
        while let Some(reference) = open.pop() {
            for next in edges.get(reference).into_iter().flatten() {
                if next == *start {
                    return true;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    };
    edges.keys().filter(reaches_itself).cloned().collect()
}

/// The references in a schema, apart from those in its definitions and in values that are no schemas.
fn references(schema: &Value) -> BTreeSet<String> {
    const NO_SCHEMAS: [&str; 6] = ["$defs", "definitions", "default", "enum", "const", "examples"];
    match schema {
        Value::Object(schema) => schema
            .iter()
            .filter(|(key, _)| !NO_SCHEMAS.contains(&key.as_str()))
            .flat_map(|(key, value)| match value {
                Value::String(reference) if key == "$ref" => BTreeSet::from([reference.clone()]),
                value => references(value),
            })
            .collect(),
        Value::Array(schemas) => schemas.iter().flat_map(references).collect(),
        _ => BTreeSet::new(),
    }
}
