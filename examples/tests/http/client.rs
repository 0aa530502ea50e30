//! A client of Streamable HTTP that shows what stands on the wire: each request is a connection of its own, whose answer is
//! read message by message, and which can be dropped in the middle.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The identifier of the Tasks extension.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// No answer takes as long as this: a test fails then, and does not hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// The protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25: says once who it is; with a session where the server gives one.
    Initialize,
    /// 2026-07-28: says so with each request.
    PerRequest,
}

/// One client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: String,
    era: Era,
    capabilities: Value,
    /// The session that the server gave.
    pub(crate) session: Option<String>,
    /// The `Authorization` header of each request.
    authorization: Option<String>,
    asked: i64,
}

impl Client {
    /// A client of 2025-11-25, which has introduced itself.
    pub(crate) fn initialize(address: &str) -> Self {
        Self::initialize_with(address, json!({}))
    }

    /// A client of 2025-11-25 that can do something.
    pub(crate) fn initialize_with(address: &str, capabilities: Value) -> Self {
        let mut client = Self::new(address, Era::Initialize, capabilities);
        let greeting = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": client.capabilities,
            "clientInfo": {"name": "test", "version": "1"}
        });
        let mut exchange = client.open("initialize", greeting);
        assert!(exchange.answer().get("result").is_some());
        client.session = exchange.headers.get("mcp-session-id").cloned();
        assert_eq!(client.note("notifications/initialized", json!({})), 202);
        client
    }

    /// A client of 2026-07-28.
    pub(crate) fn per_request(address: &str, capabilities: Value) -> Self {
        Self::new(address, Era::PerRequest, capabilities)
    }

    /// The same client, which sends an `Authorization` header with each request.
    pub(crate) fn authorized(mut self, authorization: &str) -> Self {
        self.authorization = Some(authorization.to_owned());
        self
    }

    /// A client of 2026-07-28 that knows tasks.
    pub(crate) fn with_tasks(address: &str) -> Self {
        Self::per_request(address, json!({"extensions": {TASKS: {}}}))
    }

    fn new(address: &str, era: Era, capabilities: Value) -> Self {
        let address = address.to_owned();
        Self { address, era, capabilities, session: None, authorization: None, asked: 0 }
    }

    /// Sends a request; its answer is still to be read.
    pub(crate) fn open(&mut self, method: &str, params: Value) -> Exchange {
        self.open_with(method, params, true)
    }

    /// Sends a request, with or without the header that repeats the name of what it is about.
    pub(crate) fn open_with(&mut self, method: &str, mut params: Value, named: bool) -> Exchange {
        self.asked += 1;
        let mut headers = Vec::new();
        if self.era == Era::PerRequest {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
            meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
            meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
            headers.push(("mcp-method", method.to_owned()));
            let name = ["name", "taskId", "uri"].iter().find_map(|key| params[key].as_str());
            if let Some(name) = name.filter(|_| named) {
                headers.push(("mcp-name", name.to_owned()));
            }
        }
        let id = self.asked;
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.post(&body, &headers)
    }

    /// Sends a notification, and returns the status.
    pub(crate) fn note(&self, method: &str, params: Value) -> u16 {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.post(&body, &[]).status
    }

    /// Answers a request of the server's, and returns the status.
    pub(crate) fn respond(&self, request: &Value, result: Value) -> u16 {
        let body = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        self.post(&body, &[]).status
    }

    fn post(&self, body: &Value, headers: &[(&str, String)]) -> Exchange {
        let body = body.to_string();
        self.send("POST", headers, &body)
    }

    /// Reads on where a stream broke off.
    pub(crate) fn resume(&self, last_event: &str) -> Exchange {
        self.send("GET", &[("last-event-id", last_event.to_owned())], "")
    }

    /// Ends the session, and returns the status.
    pub(crate) fn end_session(&self) -> u16 {
        self.send("DELETE", &[], "").status
    }

    fn send(&self, method: &str, headers: &[(&str, String)], body: &str) -> Exchange {
        let version = match self.era {
            Era::Initialize => "2025-11-25",
            Era::PerRequest => "2026-07-28",
        };
        let mut head = format!(
            "{method} /mcp HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: {version}\r\n\
             content-length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(authorization) = &self.authorization {
            head += &format!("authorization: {authorization}\r\n");
        }
        if let Some(session) = &self.session {
            head += &format!("mcp-session-id: {session}\r\n");
        }
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        Exchange::read_head(stream)
    }

    /// Sends a request, and waits for its answer, whole.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.open(method, params).answer()
    }

    /// Calls a tool, and returns the result.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let mut answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].take()
    }

    /// Calls a tool, and leaves the answer to be read; progress is told.
    pub(crate) fn open_call(&mut self, tool: &str, arguments: Value) -> Exchange {
        let meta = json!({"progressToken": "steps"});
        self.open("tools/call", json!({"name": tool, "arguments": arguments, "_meta": meta}))
    }

    /// Calls a tool, and returns the structured content.
    pub(crate) fn structured(&mut self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments)["structuredContent"].take()
    }

    /// Calls a tool that becomes a job, and returns the job's id.
    pub(crate) fn job(&mut self, tool: &str, arguments: Value) -> String {
        id_of(&self.structured(tool, arguments))
    }

    /// Calls `count` so that it outlives its budget, and returns the result, which names the job, and how far that counts.
    ///
    /// Work that ends while its record is being written is answered inline. On a busy disk that may take longer than the
    /// shortest work, so the call is made again with longer work then.
    pub(crate) fn count_beyond_budget(&mut self) -> (Value, u64) {
        let mut to = 4;
        loop {
            let result = self.call("count", json!({"to": to, "step_ms": 300}));
            if result["structuredContent"] != json!({"counted": to}) {
                return (result, to);
            }
            to *= 2;
        }
    }

    /// As [`count_beyond_budget`](Self::count_beyond_budget), of which the job's id and its result are returned.
    pub(crate) fn counting_job(&mut self) -> (String, Value) {
        let (mut result, to) = self.count_beyond_budget();
        (id_of(&result["structuredContent"].take()), json!({"counted": to}))
    }

    /// The job, as `wait_job` shows it at its end.
    pub(crate) fn ended(&mut self, id: &str) -> Value {
        loop {
            let mut waited = self.structured("wait_job", json!({"job_ids": [id]}));
            if waited["jobs"][0]["terminal"] == true {
                return waited["jobs"][0].take();
            }
        }
    }

    /// `tasks/get`, until the task has ended.
    pub(crate) fn ended_task(&mut self, id: &str) -> Value {
        loop {
            let mut answer = self.ask("tasks/get", json!({"taskId": id}));
            assert!(answer.get("result").is_some(), "{answer}");
            if answer["result"]["status"] != "working" {
                return answer["result"].take();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The tools by name.
    pub(crate) fn tools(&mut self) -> Vec<String> {
        let answer = self.ask("tools/list", json!({}));
        let tools = answer["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }
}

fn id_of(ticket: &Value) -> String {
    ticket["job_id"].as_str().expect("a ticket names its job").to_owned()
}

/// A request that was sent, and its answer as far as it was read. Dropped, it closes the connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    stream: BufReader<TcpStream>,
    /// The status of HTTP.
    pub(crate) status: u16,
    /// The headers, in lower case.
    pub(crate) headers: HashMap<String, String>,
    /// Bytes that were read and not parsed yet.
    text: String,
    /// The id of the event that was read last.
    pub(crate) last_event: Option<String>,
    began: Instant,
}

impl Exchange {
    fn read_head(stream: TcpStream) -> Self {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer of HTTP: {line:?}"));
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let (text, last_event, began) = (String::new(), None, Instant::now());
        Self { stream, status, headers, text, last_event, began }
    }

    /// The next message of the stream; `None` at its end.
    pub(crate) fn message(&mut self) -> Option<Value> {
        if self.headers.get("content-type").is_some_and(|kind| kind.starts_with("application/json"))
        {
            while self.read_more() {}
            let text = std::mem::take(&mut self.text);
            return (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap());
        }
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (mut data, mut id) = (String::new(), None);
                for line in event.lines() {
                    match line.split_once(':') {
                        Some(("data", value)) => data += value.trim(),
                        Some(("id", value)) => id = Some(value.trim().to_owned()),
                        _ => {}
                    }
                }
                self.text = rest.to_owned();
                self.last_event = id.or(self.last_event.take());
                if data.is_empty() {
                    continue;
                }
                return Some(serde_json::from_str(&data).unwrap());
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// Reads the next piece of the body; `false` at its end.
    fn read_more(&mut self) -> bool {
        // A stream that is kept alive says something every now and then, and never what is waited for.
        assert!(self.began.elapsed() < PATIENCE, "nothing came for {PATIENCE:?}");
        let length = match self.headers.get("content-length") {
            Some(length) => length.parse().unwrap(),
            None => {
                let mut size = String::new();
                self.stream.read_line(&mut size).unwrap();
                usize::from_str_radix(size.trim(), 16).unwrap_or(0)
            }
        };
        let mut piece = vec![0; length];
        self.stream.read_exact(&mut piece).unwrap();
        self.text += &String::from_utf8(piece).unwrap();
        match self.headers.get_mut("content-length") {
            Some(length) => {
                *length = "0".to_owned();
                !self.text.is_empty() && length.is_empty()
            }
            None => {
                self.stream.read_line(&mut String::new()).unwrap();
                length > 0
            }
        }
    }

    /// Reads on until the answer, and returns it.
    pub(crate) fn answer(&mut self) -> Value {
        self.answer_and_notes().0
    }

    /// Reads on until the answer, and returns it with what came before.
    pub(crate) fn answer_and_notes(&mut self) -> (Value, Vec<Value>) {
        let mut notes = Vec::new();
        loop {
            let message = self.message().expect("the stream ended without an answer");
            if message.get("result").is_some() || message.get("error").is_some() {
                return (message, notes);
            }
            notes.push(message);
        }
    }
}
