//! The demo server as a process of its own tells a client of its tasks, over stdio.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

struct Server {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(home: &std::path::Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_demo_server"))
            .arg("stdio")
            .env("JOB_MCP_HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output }
    }

    fn send(&mut self, id: u64, method: &str, mut params: Value) {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
        });
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.input, "{message}").unwrap();
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the server has ended");
        serde_json::from_str(&line).unwrap()
    }
}

/// No process is left behind, however a test ends.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_client_over_stdio_is_told_of_its_tasks() {
    let home = tempfile::TempDir::new().unwrap();
    let mut server = Server::start(home.path());
    let arguments = json!({"to": 5, "step_ms": 50, "async_mode": true});
    server.send(1, "tools/call", json!({"name": "count", "arguments": arguments}));
    let task = server.read()["result"]["taskId"].clone();
    server.send(2, "subscriptions/listen", json!({"notifications": {"taskIds": [task]}}));
    let first = server.read();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({"taskIds": [task]}));
    loop {
        let told = server.read();
        assert_eq!(told["method"], "notifications/tasks");
        if told["params"]["status"] == "completed" {
            assert_eq!(told["params"]["result"]["structuredContent"], json!({"counted": 5}));
            break;
        }
    }
}
