//! A request that cannot be decoded is answered under its id, over stdio and over HTTP, and the connection goes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use smart_async::{JobManager, WithJobs};
use smart_async_tests::{GatedTools, Library, Wire};

use super::http_scopes::caller::House;

const PARSE: i64 = -32700;
const REQUEST: i64 = -32600;
const PARAMS: i64 = -32602;

/// Requests with the id 7 that the SDK cannot decode, with the code and some words of the answer.
fn broken() -> Vec<(Vec<u8>, i64, &'static str)> {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let call = |arguments: &str| {
        let params = format!(r#"{{"name":"quick","arguments":{arguments}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#)
    };
    let text = |text: &str| text.as_bytes().to_vec();
    let id_last = r#"{"method":"tools/call","params":{"name":"quick","arguments":{"id":5,"x":"\udc00"}},"jsonrpc":"2.0","id":7}"#;
    let mut no_utf8 = text(&call(r#"{"x":"?"}"#));
    let at = no_utf8.iter().position(|byte| *byte == b'?').unwrap();
    no_utf8[at] = 0xFF;
    let with = |part: &str| text(&format!(r#"{{"jsonrpc":"2.0","id":7,"method":"ping",{part}}}"#));
    let long = format!(r#"{{"x":"\ud83d{}"}}"#, "x".repeat(2 << 20));
    vec![
        (text(&call(r#"{"x":"\ud83d"}"#)), PARSE, "without lone surrogates"),
        (text(&call(r#"{"\ud83d":1}"#)), PARSE, "parse error"),
        (text(&call(r#"{"x":"\ud83d and more"}"#)), PARSE, "parse error"),
        (text(id_last), PARSE, "parse error"),
        (text(&call(&long)), PARSE, "parse error"),
        (no_utf8, PARSE, "unicode"),
        (text(&call(&format!(r#"{{"x":{deep}}}"#))), PARSE, "recursion"),
        (text(&call(r#"{"x":1e999}"#)), PARSE, "out of range"),
        (text(&call(r#"{"x":NaN}"#)), PARSE, "parse error"),
        (text(&call("{\"x\":\"\u{1}\"}")), PARSE, "control character"),
        (text(&call(r#"{"x":1},"#)), PARSE, "parse error"),
        (text(&call("{")[..70]), PARSE, "EOF"),
        (text(&format!("{} x", call("{}"))), PARSE, "trailing"),
        (text(&format!("{}\0", call("{}"))), PARSE, "trailing"),
        (with(r#""params":5"#), PARAMS, "`params` must be an object"),
        (with(r#""params":[]"#), PARAMS, "`params` must be an object"),
        (with(r#""params":"x""#), PARAMS, "`params` must be an object"),
        (with(r#""params":{"_meta":5}"#), PARAMS, "`_meta`"),
        (with(r#""method":"ping""#), REQUEST, "duplicate field `method`"),
        (with(r#""result":{}"#), REQUEST, "neither `result` nor `error`"),
        (text(r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#), REQUEST, "`jsonrpc` must be"),
        (text(r#"{"id":7,"method":"ping"}"#), REQUEST, "`jsonrpc` must be"),
        (text(r#"{"jsonrpc":"2.0","id":7,"method":5}"#), REQUEST, "`method` must be a string"),
        (text(r#"{"jsonrpc":"2.0","id":7}"#), REQUEST, "invalid request"),
        (
            text(r#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#),
            REQUEST,
            "one JSON-RPC 2.0 message",
        ),
    ]
}

/// Requests with the id 7 whose parameters do not fit their method, with some words of the answer.
fn misfit() -> Vec<(Value, &'static str)> {
    let request = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    vec![
        (request("tools/call", json!({"name": "quick", "arguments": "x"})), "tools/call: invalid"),
        (request("tools/call", json!({"name": "quick", "arguments": [1]})), "tools/call: invalid"),
        (request("tools/call", json!({"name": 5})), "tools/call: invalid type"),
        (request("tools/call", json!({})), "missing field `name`"),
        (json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call"}), "tools/call: "),
        (request("prompts/get", json!({"name": 5})), "prompts/get: "),
        (request("resources/read", json!({})), "missing field `uri`"),
        (request("logging/setLevel", json!({"level": "loud"})), "logging/setLevel: "),
        (request("completion/complete", json!({"ref": 5})), "completion/complete: "),
        (request("initialize", json!({"protocolVersion": 5})), "initialize: "),
    ]
}

/// Bytes that name no id, and are answered by an error without one where they are meant as a message.
const ANONYMOUS: [(&[u8], bool); 9] = [
    (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, true),
    (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, true),
    (br#"{"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}"#, true),
    (br#"{"jsonrpc":"2.0","id":"\ud83d","method":"ping"}"#, true),
    (br#"{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}"#, true),
    (br#"{"jsonrpc":"2.0","met"#, true),
    (b"[]", true),
    (b"hello", false),
    (b"\xFF\xFE{\0", false),
];

/// Notifications that cannot be decoded. Nothing answers them.
const NOTIFICATIONS: [&[u8]; 3] = [
    br#"{"jsonrpc":"2.0","method":"notifications/a","params":{"x":"\ud83d"}}"#,
    br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":5}"#,
    br#"{"jsonrpc":"1.0","method":"notifications/a"}"#,
];

fn is_refused(answer: &Value, id: Value, code: i64, words: &str) -> bool {
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    answer["id"] == id
        && answer["error"]["code"] == code
        && message.contains(words)
        && message.len() < 300
}

/// A process that speaks over stdin and stdout.
struct Process {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start() -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_stdio_server"))
            .arg("jobs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = server.stdin.take().unwrap();
        let output = BufReader::new(server.stdout.take().unwrap());
        Self { server, input, output }
    }

    fn send(&mut self, line: &[u8]) {
        self.input.write_all(line).unwrap();
        self.input.write_all(b"\n").unwrap();
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("stdout has the protocol alone")
    }

    fn ask(&mut self, line: &[u8]) -> Value {
        self.send(line);
        self.read()
    }

    /// That nothing more stands on stdout, and the next request is answered.
    fn goes_on(&mut self) {
        let pong = self.ask(br#"{"jsonrpc":"2.0","id":"on","method":"ping"}"#);
        assert_eq!(pong, json!({"jsonrpc": "2.0", "id": "on", "result": {}}));
    }

    fn greet(&mut self) {
        let info = json!({"name": "test", "version": "1"});
        let params =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
        let greeting = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let greeted = self.ask(greeting.to_string().as_bytes());
        assert_eq!((&greeted["id"], greeted.get("error")), (&json!(0), None), "{greeted}");
        self.send(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    }

    /// Ends the input, and returns what the server wrote to stderr.
    fn end(mut self) -> String {
        drop(self.input);
        let mut said = String::new();
        self.server.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.server.wait().unwrap().success(), "{said}");
        said
    }
}

#[test]
fn a_process_answers_each_broken_request_under_its_id_and_goes_on() {
    let mut process = Process::start();
    process.greet();
    for (line, code, words) in broken() {
        let answer = process.ask(&line);
        let shown = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
        assert!(is_refused(&answer, json!(7), code, words), "{shown}\n{answer}");
        process.goes_on();
    }
    for (request, words) in misfit() {
        let answer = process.ask(request.to_string().as_bytes());
        assert!(is_refused(&answer, json!(7), PARAMS, words), "{request}\n{answer}");
        process.goes_on();
    }
    assert_eq!(process.end(), "", "the client was told");
}

#[test]
fn a_process_answers_a_line_that_is_too_long_under_its_id() {
    let mut process = Process::start();
    process.greet();
    let long = "x".repeat(17 << 20);
    let call = |begin: &str, end: &str| {
        let params = format!(r#"{{"name":"quick","arguments":{{"x":"{long}"}}}}"#);
        format!(r#"{{"jsonrpc":"2.0",{begin}"method":"tools/call","params":{params}{end}}}"#)
    };
    for line in [call(r#""id":7,"#, ""), call("", r#","id":7"#)] {
        let answer = process.ask(line.as_bytes());
        assert!(is_refused(&answer, json!(7), REQUEST, "longer than 16 MiB"), "{answer}");
        process.goes_on();
    }
    process.end();
}

#[test]
fn a_process_answers_without_an_id_where_none_can_be_read_and_no_notification() {
    let mut process = Process::start();
    process.greet();
    for (line, is_message) in ANONYMOUS {
        process.send(line);
        if is_message {
            let answer = process.read();
            assert!(is_refused(&answer, Value::Null, REQUEST, "Invalid request"), "{answer}");
        }
        process.goes_on();
    }
    for line in NOTIFICATIONS {
        process.send(line);
        process.goes_on();
    }
    let said = process.end();
    assert_eq!(said.matches("names no id for an answer").count(), 1, "{said}");
}

#[test]
fn a_process_answers_a_broken_request_before_the_first_one_that_can_be_decoded() {
    let mut process = Process::start();
    for (line, code, words) in broken() {
        let answer = process.ask(&line);
        assert!(is_refused(&answer, json!(7), code, words), "{answer}");
    }
    let greeting = br#"{"jsonrpc":"2.0","id":7,"method":"initialize","params":{}}"#;
    let answer = process.ask(greeting);
    assert!(is_refused(&answer, json!(7), PARAMS, "initialize: missing field"), "{answer}");
    for line in NOTIFICATIONS {
        process.send(line);
    }
    process.greet();
    process.goes_on();
    process.end();
}

#[test]
fn several_requests_on_one_line_are_answered_each() {
    let mut process = Process::start();
    process.greet();
    let ping = |id: i64| json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string();
    for line in [format!("[{},{}]", ping(7), ping(8)), format!("{}{}", ping(7), ping(8))] {
        process.send(line.as_bytes());
        let mut answered = [process.read(), process.read()].map(|answer| answer["id"].clone());
        answered.sort_by_key(Value::as_i64);
        assert_eq!(answered, [json!(7), json!(8)]);
        process.goes_on();
    }
    process.end();
}

/// Code that is generic over the server calls the SDK's own `serve`, and so does this client.
#[tokio::test]
async fn a_broken_request_is_answered_where_the_sdks_own_function_serves() {
    let server = || GatedTools::new().with_jobs(JobManager::in_memory());
    let (of_before, today) =
        (Wire::initialize(server(), json!({})).await, Wire::discover(server(), json!({})).await);
    for (mut wire, code) in [(of_before, PARSE), (today, PARAMS)] {
        for _ in 0..2 {
            wire.raw(r#"{"jsonrpc":"2.0","id":77,"method":"ping","params":"\ud83d"}"#).await;
            let answer = wire.answer(77).await;
            assert_eq!(answer["error"]["code"], code, "{answer}");
        }
        wire.result("tools/list", json!({})).await;
    }
}

/// A client's answer to a question that cannot be decoded fails the question, so that the work does not wait for ever.
#[tokio::test]
async fn a_broken_answer_to_a_request_of_the_server_ends_its_wait() {
    let server = super::peer_requests::server();
    let mut wire = Wire::initialize(server, json!({"elicitation": {}})).await;
    let call = wire.request("tools/call", json!({"name": "ask", "arguments": {}})).await;
    let asked = wire.noted().await;
    assert_eq!(asked["method"], "elicitation/create");
    let id = asked["id"].to_string();
    wire.raw(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"x":"\ud83d"}}}}"#)).await;
    let answer = wire.answer(call).await.to_string();
    assert!(answer.contains("cannot be decoded"), "{answer}");
}

#[tokio::test]
async fn a_broken_body_over_http_is_answered_with_an_error_under_its_id() {
    let house = House::in_memory();
    for mut caller in [house.caller(None), house.session(None).await] {
        for (body, code, words) in broken() {
            let (status, answer) = caller.post_bytes(&body).await;
            let answer: Value = serde_json::from_str(&answer).expect(&answer);
            assert_eq!(status, 400, "{answer}");
            assert!(is_refused(&answer, json!(7), code, words), "{answer}");
        }
        for (body, _) in ANONYMOUS {
            let (status, answer) = caller.post_bytes(body).await;
            let answer: Value = serde_json::from_str(&answer).expect(&answer);
            assert_eq!((status, answer.get("id")), (400, None), "{answer}");
            assert!(answer["error"]["code"].is_i64(), "{answer}");
        }
        for body in NOTIFICATIONS {
            assert_eq!(caller.post_bytes(body).await.0, 400);
        }
        let listed = caller.ask("tools/list", json!({})).await;
        assert!(listed.get("result").is_some(), "{listed}");
    }
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_answered_over_http_as_over_stdio() {
    let house = House::in_memory();
    let mut session = house.session(None).await;
    for (request, words) in misfit() {
        let (_, answer) = session.post_bytes(request.to_string().as_bytes()).await;
        assert!(answer.contains(r#""id":7"#) && answer.contains("-32602"), "{request} {answer}");
        assert!(answer.contains(words), "{request} {answer}");
    }
}

/// Methods that a revision of the protocol does not have are not found, whatever their parameters are.
#[tokio::test]
async fn methods_of_another_revision_are_not_found_with_any_parameters() {
    const NOT_FOUND: i64 = -32601;
    let mut of_today =
        Wire::discover(Library::new().with_jobs(JobManager::in_memory()), json!({})).await;
    for method in ["resources/subscribe", "resources/unsubscribe", "logging/setLevel"] {
        let answer = of_today.ask(method, json!({})).await;
        assert_eq!(answer["error"]["code"], NOT_FOUND, "{answer}");
    }
    let answer = of_today.ask("resources/read", json!({})).await;
    assert_eq!(answer["error"]["code"], PARAMS, "{answer}");
    let mut of_sessions =
        Wire::initialize(Library::new().with_jobs(JobManager::in_memory()), json!({})).await;
    let answer = of_sessions.ask("subscriptions/listen", json!({"notifications": 5})).await;
    assert_eq!(answer["error"]["code"], NOT_FOUND, "{answer}");
    let answer = of_sessions.ask("resources/subscribe", json!({})).await;
    assert_eq!(answer["error"]["code"], PARAMS, "{answer}");
}
