//! A server that is not wrapped says so once on stderr, and its tickets name only tools that it has.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Calls tools of the server, each also with `async_mode`. Returns the answers and what the server wrote to stderr.
fn calls(tools: &str, names: &[&str]) -> (Vec<Value>, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_stdio_server"))
        .arg(tools)
        .env("SMART_ASYNC_TIMEOUT", "60")
        .env("SMART_ASYNC_WAIT_SECONDS", "soon")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let mut output = BufReader::new(output);
    let mut ask = |message: Value| {
        writeln!(input, "{message}").unwrap();
        if message.get("id").is_none() {
            return Value::Null;
        }
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line).expect("stdout has the protocol alone");
        answer["result"].take()
    };
    let info = json!({"name": "test", "version": "1"});
    let greeting = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
    ask(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": greeting}));
    ask(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let mut answers = Vec::new();
    for name in names {
        for arguments in [json!({}), json!({"async_mode": true})] {
            let params = json!({"name": name, "arguments": arguments});
            answers.push(ask(
                json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}),
            ));
        }
    }
    drop(input);
    let mut said = String::new();
    server.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    server.wait().unwrap();
    (answers, said)
}

#[test]
fn a_server_without_job_tools_says_so_once_and_its_tickets_name_none() {
    let (answers, said) = calls("plain", &["quick", "slow"]);
    assert_eq!(said.matches("is not wrapped with .with_jobs(manager)").count(), 1, "{said}");
    assert!(said.contains("no job tools") && said.contains("ignore async_mode"), "{said}");
    let meant = "SMART_ASYNC_TIMEOUT has no effect: did you mean SMART_ASYNC_TIMEOUT_SECONDS?";
    assert_eq!(said.matches(meant).count(), 1, "{said}");
    // Though this server has no wait_job that would read it.
    assert_eq!(said.matches("SMART_ASYNC_WAIT_SECONDS=\"soon\" is ignored").count(), 1, "{said}");
    let line = "smart_async::WithJobs::with_jobs(server, smart_async::JobManager::open().await?)";
    assert!(said.contains(line), "{said}");
    let message = answers[2]["structuredContent"]["message"].as_str().unwrap();
    assert!(message.ends_with("Do not call slow again."), "{message}");
}

#[test]
fn a_server_with_job_tools_in_its_router_says_that_async_mode_is_missing() {
    let (answers, said) = calls("tools", &["quick", "slow"]);
    assert_eq!(said.matches("is not wrapped with .with_jobs(manager)").count(), 1, "{said}");
    assert!(!said.contains("no job tools") && said.contains("ignore async_mode"), "{said}");
    let message = answers[2]["structuredContent"]["message"].as_str().unwrap();
    assert!(message.ends_with("Next: wait_job with job_id"), "{message}");
}
