//! The schemas that a server hands out are taken by the APIs of the large models, whatever Rust types the tools have.

mod rules;
mod types;

use rmcp::ServerHandler;
use rmcp::model::{JsonObject, Tool};
use serde_json::Value;
use smart_async::{JobManager, WithJobs};
use smart_async_tests::Client;
use tempfile::NamedTempFile;
use tracing_subscriber::util::SubscriberInitExt;

use self::rules::{claude, gemini, openai, openai_strict, strict_clients};
use self::types::{Plain, SAMPLES, Shapes};

async fn tools(server: impl ServerHandler) -> Vec<Tool> {
    Client::connect(server.with_jobs(JobManager::in_memory())).await.tools().await
}

fn value(schema: &JsonObject) -> Value {
    Value::Object(schema.clone())
}

/// What an API refuses of a tool, with the API's name.
fn faults(tool: &Tool) -> Vec<String> {
    let input = value(&tool.input_schema);
    let mut faults = Vec::new();
    for (api, broken) in [
        ("Claude", claude(&tool.name, &input)),
        ("OpenAI", openai(&tool.name, &input)),
        ("OpenAI, strict", openai_strict(&input)),
        ("Gemini", gemini(&tool.name, &input)),
        ("strict clients", strict_clients(&input)),
    ] {
        faults.extend(broken.into_iter().map(|fault| format!("{}: {api}: {fault}", tool.name)));
    }
    if let Some(output) = &tool.output_schema {
        let broken = strict_clients(&value(output)).into_iter();
        faults.extend(broken.map(|fault| format!("{}: its answers: {fault}", tool.name)));
    }
    faults
}

#[tokio::test]
async fn each_api_takes_each_schema_of_an_annotated_tool_and_of_the_job_tools() {
    let tools = tools(Shapes).await;
    assert!(tools.len() > 40, "{} tools", tools.len());
    let faults: Vec<_> = tools.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rules bite: of the same types without the annotation, each API refuses some.
#[tokio::test]
async fn some_api_refuses_schemas_as_they_are_derived() {
    let faults: Vec<_> = tools(Plain).await.iter().flat_map(faults).collect();
    for expected in [
        "flat_internal: Claude: oneOf at the root",
        "flat_internal: OpenAI: oneOf at the root",
        "any: strict clients: /properties/raw is true",
        "any: its answers: /properties/raw is true",
        "tuples: OpenAI: /properties/pair without items",
        "integers: strict clients: /properties/a has the format uint8",
        "tree: its answers: /properties/children/items refers to #",
        "names.with.dots: OpenAI: the name names.with.dots",
        "odd_arguments: Claude: the property filter[name]",
    ] {
        let found = faults.iter().any(|fault| fault.starts_with(expected));
        assert!(found, "{expected} in\n{}", faults.join("\n"));
    }
}

/// Every value that the tool's own schema takes is taken by the schema that clients see, both ways.
#[tokio::test]
async fn a_value_of_the_type_fits_the_schema_of_arguments_and_the_schema_of_answers() {
    let manager = JobManager::in_memory();
    let client = Client::connect(Shapes.with_jobs(manager)).await;
    let tools = client.tools().await;
    for (name, text) in SAMPLES {
        let sample: Value = serde_json::from_str(text).unwrap();
        let tool = tools.iter().find(|tool| tool.name == *name).unwrap();
        let fits = |schema: &JsonObject, value: &Value| {
            let validator = jsonschema::validator_for(&Value::Object(schema.clone())).unwrap();
            let faults: Vec<_> = validator.iter_errors(value).map(|e| e.to_string()).collect();
            assert!(faults.is_empty(), "{name}: {value} does not fit {schema:?}: {faults:?}");
        };
        fits(&tool.input_schema, &sample);
        let answer = client.ask(name, sample).await;
        fits(tool.output_schema.as_ref().unwrap(), &answer);
    }
    assert!(SAMPLES.len() >= 30);
}

#[tokio::test]
async fn a_schema_still_says_what_the_type_is() {
    let tools = tools(Shapes).await;
    let shown = |name: &str| {
        let tool = tools.iter().find(|tool| tool.name == name).unwrap();
        value(&tool.input_schema)
    };
    let names = [
        "any",
        "chain",
        "closed",
        "constrained",
        "enums",
        "flat_internal",
        "flat_optional",
        "flat_two",
        "maps",
        "tuples",
    ];
    let shown: serde_json::Map<_, _> =
        names.into_iter().map(|name| (name.to_owned(), shown(name))).collect();
    insta::assert_json_snapshot!(shown);
}

/// Serves and lists the tools of a server, and returns the log meanwhile.
async fn log_of(server: impl ServerHandler + Clone) -> String {
    let log = NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time();
    let _guard = subscriber.with_writer(log.reopen().unwrap()).finish().set_default();
    let server = server.with_jobs(JobManager::in_memory());
    for _ in 0..2 {
        Client::connect(server.clone()).await.tools().await;
    }
    std::fs::read_to_string(log.path()).unwrap()
}

#[tokio::test]
async fn the_operator_is_warned_once_of_a_tool_that_cannot_be_rewritten() {
    let log = log_of(Plain).await;
    for (tool, rule) in [
        ("flat_internal", "its input schema has `oneOf` at the root"),
        ("any", "its input schema has `true` or `false` in place of a schema at `/properties/"),
        ("any", "its output schema has `true` or `false` in place of a schema at `/properties/"),
        ("tuples", "its input schema has an array without `items` at `/properties/"),
        ("names.with.dots", "its name is not of 1 to 64 letters"),
        ("odd_arguments", "its argument `filter[name]` is not named with"),
    ] {
        let lines: Vec<_> = log
            .lines()
            .filter(|line| line.contains(&format!("tool={tool}")) && line.contains(rule))
            .collect();
        assert_eq!(lines.len(), 1, "{tool}: {rule}: in\n{log}");
    }
    assert!(!log.contains("tool=inner"), "a tool that all take: {log}");
    let log = log_of(Shapes).await;
    assert!(!log.contains("some model APIs refuse"), "{log}");
}

#[tokio::test]
async fn a_prefix_that_makes_names_which_apis_refuse_is_an_error() {
    let served = async |prefix: &str| {
        let server = Shapes.with_jobs(JobManager::in_memory()).tool_prefix(prefix);
        Client::try_connect(server).await.map(|_| ())
    };
    let longest = format!("a{}", "-".repeat(52));
    for prefix in ["", "bg_", "Jobs-1_", "_", &longest] {
        assert_eq!(served(prefix).await, Ok(()), "{prefix}");
    }
    let too_long = format!("{longest}-");
    for prefix in ["my jobs ", "jobs.", "jobs/", "jöbs_", "1_", "-", "\n", &too_long] {
        let refused = served(prefix).await.unwrap_err();
        assert!(refused.contains("cannot be used, because model APIs refuse"), "{refused}");
        assert!(refused.contains("at most 53 letters"), "{refused}");
    }
}
