//! The elicitation schema of a Rust type. The protocol allows an object of strings, numbers, flags and choices, and no more.
//! Where schemars writes such a field in another way, it is rewritten.

use rmcp::model::{ElicitRequest, ElicitRequestParams, ElicitationSchema};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The request for a form with the fields of `T`.
pub(super) fn request<T: JsonSchema>(message: String) -> Result<Value, String> {
    let requested_schema = ElicitationSchema::from_json_schema(schema::<T>()?)
        .map_err(|error| format!("its type must be a struct of plain fields: {error}"))?;
    let params =
        ElicitRequestParams::FormElicitationParams { meta: None, message, requested_schema };
    serde_json::to_value(ElicitRequest::new(params)).map_err(|error| error.to_string())
}

fn schema<T: JsonSchema>() -> Result<Map<String, Value>, String> {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let Ok(Value::Object(mut schema)) = serde_json::to_value(schema) else {
        return Err("its type must be a struct".to_owned());
    };
    // These describe the type, and mean nothing to the user.
    for of_the_type in ["$schema", "title", "description"] {
        schema.remove(of_the_type);
    }
    for property in
        schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
    {
        if let Value::Object(property) = property.1 {
            make_plain(property);
        }
    }
    Ok(schema)
}

/// Rewrites the schema of a field with the keywords that the protocol allows.
fn make_plain(property: &mut Map<String, Value>) {
    // An optional field is not required, so that its type need not allow null too.
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    if let Some(Value::Array(mut kinds)) = property.remove("anyOf") {
        kinds.retain(|kind| kind.get("type") != Some(&json!("null")));
        match kinds.as_slice() {
            [Value::Object(only)] => {
                let mut only = only.clone();
                only.append(property);
                *property = only;
            }
            _ => {
                property.insert("anyOf".to_owned(), kinds.into());
            }
        }
    }
    if let Some(Value::Array(variants)) = property.get("oneOf")
        && let Some(titled) = variants.iter().map(titled).collect::<Option<Vec<_>>>()
    {
        property.insert("oneOf".to_owned(), titled.into());
        property.insert("type".to_owned(), "string".into());
    }
    if let Some((least, most)) = property.get("format").and_then(Value::as_str).and_then(bounds) {
        property.remove("format");
        property.entry("minimum").or_insert_with(|| least.into());
        property.entry("maximum").or_insert_with(|| most.into());
    }
}

/// A variant of an enum as a choice with a title: its doc comment, or else its name.
fn titled(variant: &Value) -> Option<Value> {
    let choices = variant.get("enum").and_then(Value::as_array).map(Vec::as_slice);
    let name = match (variant.get("const"), choices) {
        (Some(name), _) => name,
        (None, Some([only])) => only,
        _ => return None,
    };
    let title = variant.get("description").or_else(|| variant.get("title")).unwrap_or(name);
    Some(json!({"const": name, "title": title}))
}

/// The range of an integer format, within the integers that JSON readers take exactly.
fn bounds(format: &str) -> Option<(i64, i64)> {
    const EXACT: i64 = (1 << 53) - 1;
    Some(match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" | "int" => (-EXACT, EXACT),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint64" | "uint" => (0, EXACT),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way to travel.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum Transport {
        /// By train
        Train,
        Boat,
    }

    #[derive(serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Plain {
        Yes,
        No,
    }

    /// A journey.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Journey {
        /// Where to?
        to: String,
        by: Transport,
        back_by: Option<Transport>,
        sure: Plain,
        insured: Option<Plain>,
        people: u8,
        days: Option<u32>,
        seat: Option<String>,
        price: f64,
        alone: bool,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Nested {
        journey: Journey,
    }

    #[test]
    fn the_elicitation_schema_of_a_type_is_a_promise() {
        insta::assert_json_snapshot!(request::<Journey>("Where do you go?".into()).unwrap());
    }

    #[test]
    fn a_type_without_an_elicitation_schema_is_refused() {
        let no_struct = request::<String>("?".into()).unwrap_err();
        assert!(no_struct.starts_with("its type must be a struct"), "{no_struct}");
        let nested = request::<Nested>("?".into()).unwrap_err();
        assert!(nested.starts_with("its type must be a struct of plain fields"), "{nested}");
        let anything = request::<Value>("?".into()).unwrap_err();
        assert!(anything.starts_with("its type must be a struct"), "{anything}");
    }
}
