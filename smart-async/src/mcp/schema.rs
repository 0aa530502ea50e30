//! The schemas that clients see: the output schema of an annotated tool, which answers with its own result, with a ticket or with
//! an error of this library; the portable form of schemas; and the `_meta` marker of annotated tools.

mod keywords;
mod portable;
mod rules;
mod union;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use rmcp::handler::server::tool::schema_for_output;
use rmcp::model::{JsonObject, MetaObject};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use self::portable::portable;
pub(super) use self::portable::portable_input;
pub(super) use self::rules::{LONGEST_NAME, broken_rules, is_name};
use crate::core::sync::Mutex;

/// The key in a tool's `_meta` that marks the tool as annotated.
const MARKER: &str = "smart-async/annotated";

/// The key in a tool's `_meta` that says what a later server does with jobs that outlived theirs.
const RESTART: &str = "smart-async/restart";

/// The one value of [`RESTART`]: a later server calls the tool again.
const RERUN: &str = "rerun";

/// The key in a tool's `_meta` that says that its callers may give keys under which they find answers again.
const IDEMPOTENT: &str = "smart-async/idempotent";

/// The metadata of an annotated tool whose author wrote none.
pub fn marker() -> MetaObject {
    marked(MetaObject::new())
}

/// The author's metadata, and the marker.
pub fn marked(mut meta: MetaObject) -> MetaObject {
    meta.insert(MARKER.to_owned(), Value::Bool(true));
    meta
}

/// The metadata of an annotated tool that may be called again after a restart, and whose author wrote none.
pub fn rerun_marker() -> MetaObject {
    rerun_marked(MetaObject::new())
}

/// The author's metadata, the marker, and that the tool may be called again after a restart.
pub fn rerun_marked(meta: MetaObject) -> MetaObject {
    let mut meta = marked(meta);
    meta.insert(RESTART.to_owned(), Value::String(RERUN.to_owned()));
    meta
}

/// The metadata, and that callers of the tool may give keys under which they find answers again.
pub fn idempotent_marked(mut meta: MetaObject) -> MetaObject {
    meta.insert(IDEMPOTENT.to_owned(), Value::Bool(true));
    meta
}

/// Returns whether callers of a tool with this metadata may give keys.
pub(super) fn is_idempotent(meta: Option<&MetaObject>) -> bool {
    meta.and_then(|meta| meta.get(IDEMPOTENT)) == Some(&Value::Bool(true))
}

/// Returns whether a tool with this metadata may be called again after a restart.
pub(super) fn is_rerun(meta: Option<&MetaObject>) -> bool {
    meta.and_then(|meta| meta.get(RESTART)).and_then(Value::as_str) == Some(RERUN)
}

/// Returns whether a tool with this metadata is annotated.
pub(super) fn is_marked(meta: Option<&MetaObject>) -> bool {
    meta.and_then(|meta| meta.get(MARKER)) == Some(&Value::Bool(true))
}

/// The output schema of an annotated tool that returns `Json<T>`. It is kept: a handler that the SDK generates builds its tools
/// anew for each request.
pub(crate) fn output_schema<T: JsonSchema + Any>() -> Arc<JsonObject> {
    static KEPT: LazyLock<Mutex<HashMap<TypeId, Arc<JsonObject>>>> = LazyLock::new(Mutex::default);
    let kept = KEPT.lock().get(&TypeId::of::<T>()).cloned();
    kept.unwrap_or_else(|| {
        let schema = widened_schema(schema_for_output::<T>());
        KEPT.lock().insert(TypeId::of::<T>(), Arc::clone(&schema));
        schema
    })
}

/// The schema of an answer that is the tool's own result, a ticket, or an error that this library answers in its place, in the
/// form that all hosts take.
///
/// Clients check answers against the schema, errors as well, and several reject a whole list of tools for one schema without
/// `"type": "object"` at its root. With that and `anyOf`, all clients accept each of these answers. A schema of other values than
/// objects cannot be written so; it is returned unchanged, and `JobServer` leaves it out.
pub fn widened_schema(own: impl Into<Arc<JsonObject>>) -> Arc<JsonObject> {
    let own = own.into();
    let Some((own, definitions)) = portable(&own).filter(|_| describes_object(&own)) else {
        return own;
    };
    let mut widened = Map::new();
    widened.insert("type".to_owned(), json!("object"));
    widened.insert("anyOf".to_owned(), Value::Array(vec![own, TICKET.clone(), ERROR.clone()]));
    if !definitions.is_empty() {
        widened.insert("$defs".to_owned(), Value::Object(definitions));
    }
    Arc::new(widened)
}

/// The schema of a ticket.
static TICKET: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "type": "object",
        "description": "The work goes on as a job",
        "properties": {
            "job_id": {"type": "string"},
            "status": {"type": "string"},
            "message": {"type": "string"},
            "poll_after_seconds": {"type": "integer"}
        },
        "required": ["job_id", "status", "message"]
    })
});

/// The schema of an error that this library answers.
static ERROR: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "type": "object",
        "description": "The call failed",
        "properties": {
            "error": {"type": "string"},
            "error_kind": {"type": "string"}
        },
        "required": ["error"]
    })
});

/// Returns whether the schema, or each of its branches, describes objects only.
pub(super) fn describes_object(schema: &JsonObject) -> bool {
    is_object(schema, schema, 0)
}

fn is_object(schema: &JsonObject, root: &JsonObject, depth: usize) -> bool {
    /// Deeper than any real schema. Ends the walk of a schema that refers to itself in a circle.
    const DEEPEST: usize = 32;
    let branch_is = |branch: &Value| {
        branch.as_object().is_some_and(|branch| is_object(branch, root, depth + 1))
    };
    match schema.get("type") {
        _ if depth > DEEPEST => false,
        Some(kind) => kind == "object",
        None => {
            let referred = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|target| definition(root, target));
            let union = ["anyOf", "oneOf"]
                .into_iter()
                .find_map(|union| schema.get(union).and_then(Value::as_array));
            referred.is_some_and(branch_is)
                || union
                    .is_some_and(|branches| !branches.is_empty() && branches.iter().all(branch_is))
        }
    }
}

fn definition<'a>(root: &'a JsonObject, target: &str) -> Option<&'a Value> {
    root.get("$defs")?.get(target.strip_prefix("#/$defs/")?)
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize, JsonSchema)]
    struct Report {
        days: u32,
        parts: Vec<Section>,
    }

    #[derive(Serialize, JsonSchema)]
    struct Section {
        name: String,
    }

    #[derive(Serialize, JsonSchema)]
    struct Tree {
        children: Vec<Tree>,
    }

    #[derive(Serialize, JsonSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Either {
        One { one: u32 },
        Two { two: u32 },
    }

    #[test]
    fn a_tools_shape_the_ticket_and_the_error_stand_side_by_side() {
        insta::assert_json_snapshot!(output_schema::<Report>());
    }

    #[test]
    fn a_recursive_shape_refers_to_its_own_branch() {
        insta::assert_json_snapshot!(output_schema::<Tree>());
    }

    #[test]
    fn an_untagged_enum_of_objects_gets_its_type() {
        let schema = output_schema::<Either>();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["anyOf"][0]["anyOf"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_tool_that_may_run_again_says_so_beside_its_marker_and_its_own_meta() {
        let mut own = MetaObject::new();
        own.insert("own".to_owned(), json!(3));
        let marked_again = rerun_marked(own.clone());
        assert_eq!(marked_again["own"], 3);
        assert!(is_marked(Some(&marked_again)) && is_rerun(Some(&marked_again)));
        assert!(is_marked(Some(&rerun_marker())) && is_rerun(Some(&rerun_marker())));
        assert!(!is_rerun(Some(&marked(own))) && !is_rerun(None));
    }

    #[test]
    fn a_union_is_an_object_where_each_branch_is_one() {
        let union = |branches: Value| {
            let defs = json!({"Object": {"type": "object"}, "Text": {"type": "string"}, "Circle": {"$ref": "#/$defs/Circle"}});
            json!({"$defs": defs, "anyOf": branches}).as_object().is_some_and(describes_object)
        };
        assert!(union(json!([{"type": "object"}, {"$ref": "#/$defs/Object"}])));
        assert!(!union(json!([{"type": "object"}, {"$ref": "#/$defs/Text"}])));
        assert!(!union(json!([{"$ref": "#/$defs/Circle"}])));
        assert!(!union(json!([{"$ref": "#/$defs/Missing"}])));
        assert!(!union(json!([])));
    }

    #[test]
    fn a_schema_of_other_values_stays_as_it_is() {
        assert_eq!(output_schema::<Vec<u32>>(), schema_for_output::<Vec<u32>>());
        assert!(!describes_object(&output_schema::<Vec<u32>>()));
    }
}
