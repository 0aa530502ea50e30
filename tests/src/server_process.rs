//! A server in a process of its own, and a client that speaks to it line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

/// The protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// The one of 2025-11-25, which begins with `initialize`.
    Initialize,
    /// The one of 2026-07-28, which begins with `server/discover`.
    Discover,
}

/// The process. It is killed when this is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    asked: i64,
    era: Era,
}

impl ServerProcess {
    /// Starts `server`, and asks it for its version.
    pub fn start(server: &mut Command, era: Era) -> Self {
        server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = server.spawn().expect("the server should start");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("the output is piped"));
        let mut server = Self { process, input, output, asked: 0, era };
        let answer = match era {
            Era::Initialize => server.ask(
                "initialize",
                json!({
                    "protocolVersion": "2025-11-25",
                    "capabilities": {},
                    "clientInfo": {"name": "test", "version": "1"}
                }),
            ),
            Era::Discover => server.ask("server/discover", json!({})),
        };
        assert!(answer.get("result").is_some(), "{answer}");
        server
    }

    /// Sends a notification.
    pub fn note(&mut self, method: &str) {
        self.send(&json!({"jsonrpc": "2.0", "method": method}));
    }

    /// Sends a request, and returns its answer, whole.
    pub fn ask(&mut self, method: &str, mut params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        if self.era == Era::Discover {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {}
            });
        }
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("the output can be read");
            assert!(read > 0, "the server has ended: {:?}", self.process.wait());
            let message: Value =
                serde_json::from_str(&line).expect("stdout has the protocol alone");
            if message["id"] == id {
                return message;
            }
        }
    }

    /// Calls a tool, and returns its result.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))["result"].take()
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("the input is open");
        writeln!(input, "{message}").expect("the server should listen");
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills the process.
    pub fn kill(self) {
        drop(self);
    }

    /// Closes the input, as a host does at its end, and waits. Returns how the process ended, and what it wrote to stderr.
    pub fn end(mut self) -> (ExitStatus, String) {
        drop(self.input.take());
        let mut said = String::new();
        let stderr = self.process.stderr.as_mut().expect("stderr is piped");
        stderr.read_to_string(&mut said).expect("stderr is text");
        (self.process.wait().expect("the process should end"), said)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
