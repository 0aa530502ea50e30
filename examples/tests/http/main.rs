//! The demo server over Streamable HTTP, in processes of its own: every kind of client, with and without sessions, alone
//! and behind a load balancer, and clients that go away.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]
#![cfg(unix)]

mod client;
mod own_server;
mod proxy;
mod server;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use smart_async::job::JobQuery;
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

use client::{Client, Era, Exchange, TASKS};
use own_server::Escort;
use proxy::round_robin;
use server::Server;

/// Every way in which a client without tasks can speak to a server.
fn every_way(test: impl Fn(&mut Client)) {
    for stateless in [false, true] {
        let home = TempDir::new().unwrap();
        let arguments: &[&str] = if stateless { &["--stateless"] } else { &[] };
        let server = Server::start(home.path(), arguments);
        let mut client = Client::initialize(&server.address);
        assert_eq!(client.session.is_none(), stateless);
        test(&mut client);
        test(&mut Client::per_request(&server.address, json!({})));
    }
}

/// Arguments of a `count` that takes longer than any test.
fn for_ever() -> Value {
    json!({"to": 1_000_000, "step_ms": 10})
}

/// Waits until there is a job in the folder, and returns it as the client is shown it, who has to know its id.
fn only_job(home: &TempDir, client: &mut Client) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = runtime.block_on(JournalStore::open(home.path())).unwrap();
    for _ in 0..1500 {
        let list = runtime.block_on(store.list(JobQuery::default())).unwrap();
        if let [job] = &list.jobs[..] {
            // A line of the journal is seen here before it is synced, and the server knows no such job until then.
            let mut status = client.structured("job_status", json!({"job_id": job.id}));
            if status["job"].is_object() {
                return status["job"].take();
            }
        }
        assert!(list.jobs.len() <= 1, "{list:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("there is no job after half a minute");
}

/// Reads until the first progress has come, so that the call has begun for certain.
fn until_progress(exchange: &mut Exchange) -> Value {
    let message = exchange.message().unwrap();
    assert_eq!(message["method"], "notifications/progress", "{message}");
    message
}

#[test]
fn a_quick_call_is_answered_as_ever() {
    every_way(|client| {
        let tools = client.tools();
        assert!(["add", "wait_job"].iter().all(|tool| tools.iter().any(|name| name == tool)));
        let result = client.call("add", json!({"a": 2, "b": 3}));
        assert_eq!(result["structuredContent"], json!({"sum": 5}));
        assert_eq!(client.structured("list_jobs", json!({}))["total"], 0);
    });
}

#[test]
fn a_slow_call_becomes_a_job_whose_result_is_fetched() {
    every_way(|client| {
        let (id, counted) = client.counting_job();
        let status = client.structured("job_status", json!({"job_id": id}));
        assert_eq!(status["job"]["tool"], "count");
        assert_eq!(client.ended(&id)["status"], "completed");
        let fetched = client.structured("job_result", json!({"job_id": id}));
        assert_eq!(fetched["result"], counted);
    });
}

#[test]
fn a_job_that_was_asked_for_is_cancelled() {
    every_way(|client| {
        let id = client.job("crunch", json!({"ms": 600_000, "async_mode": true}));
        let answer = client.structured("cancel_job", json!({"job_id": id}));
        assert_eq!(answer["status"], "cancelled");
    });
}

#[test]
fn progress_comes_on_the_stream_of_its_call_and_before_the_answer() {
    every_way(|client| {
        let mut exchange = client.open_call("count", for_ever());
        let (answer, notes) = exchange.answer_and_notes();
        assert!(answer["result"]["structuredContent"]["job_id"].is_string(), "{answer}");
        assert!(!notes.is_empty());
        for note in notes {
            assert_eq!(note["method"], "notifications/progress", "{note}");
            assert_eq!(note["params"]["progressToken"], "steps");
        }
        assert_eq!(exchange.message(), None, "nothing comes after the answer");
    });
}

#[test]
fn a_client_that_knows_tasks_gets_one_and_polls_it() {
    for arguments in [&[][..], &["--stateless"]] {
        let home = TempDir::new().unwrap();
        let server = Server::start(home.path(), arguments);
        let mut client = Client::with_tasks(&server.address);
        let discovered = client.ask("server/discover", json!({}));
        assert!(
            discovered["result"]["capabilities"]["extensions"][TASKS].is_object(),
            "{discovered}"
        );
        let (task, to) = client.count_beyond_budget();
        assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")));
        let ended = client.ended_task(task["taskId"].as_str().unwrap());
        assert_eq!(ended["status"], "completed");
        assert_eq!(ended["result"]["structuredContent"], json!({"counted": to}));
    }
}

#[test]
fn a_task_is_cancelled() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &[]);
    let mut client = Client::with_tasks(&server.address);
    let task = client.call("crunch", json!({"ms": 600_000}));
    let id = task["taskId"].as_str().unwrap();
    let answer = client.ask("tasks/cancel", json!({"taskId": id}));
    assert_eq!(answer["result"], json!({"resultType": "complete"}));
    assert_eq!(client.ended_task(id)["status"], "cancelled");
}

#[test]
fn a_server_of_one_person_lists_their_jobs_in_every_way() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &["--one-user"]);
    let mut session = Client::initialize(&server.address);
    let job =
        |client: &mut Client| client.job("crunch", json!({"ms": 600_000, "async_mode": true}));
    let mut jobs = vec![job(&mut session)];
    for mut client in
        [Client::per_request(&server.address, json!({})), Client::initialize(&server.address)]
    {
        jobs.insert(0, job(&mut client));
        let list = client.structured("list_jobs", json!({}));
        let ids: Vec<_> = list["jobs"].as_array().unwrap().iter().map(|job| &job["id"]).collect();
        assert_eq!(ids, jobs.iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_request_about_a_task_names_it_in_a_header_or_is_refused() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &[]);
    let mut client = Client::with_tasks(&server.address);
    let task = client.call("count", for_ever());
    let about = json!({"taskId": task["taskId"]});
    for method in ["tasks/get", "tasks/cancel"] {
        let mut exchange = client.open_with(method, about.clone(), false);
        assert_eq!(exchange.status, 400);
        assert_eq!(exchange.answer()["error"]["code"], -32020);
    }
    assert_eq!(client.ask("tasks/get", about)["result"]["taskId"], task["taskId"]);
}

/// A session keeps what its client has not read, so that the client can come back for it; and the work is a job by then.
#[test]
fn in_a_session_a_broken_stream_is_resumed_and_its_work_is_a_job() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &[]);
    let mut client = Client::initialize(&server.address);
    let mut exchange = client.open_call("count", for_ever());
    until_progress(&mut exchange);
    let last_event = exchange.last_event.take().unwrap();
    drop(exchange);
    let kept = only_job(&home, &mut client);
    let answer = client.resume(&last_event).answer();
    let ticket = &answer["result"]["structuredContent"];
    assert!(ticket["message"].as_str().unwrap().contains("exceeded 1.0s time budget"), "{answer}");
    assert_eq!((&ticket["job_id"], &kept["status"]), (&kept["id"], &json!("running")));
    // An answer that is ready before the stream is resumed is lost with rmcp's session, and the job has it.
    let mut exchange = client.open_call("count", json!({"to": 30, "step_ms": 10}));
    until_progress(&mut exchange);
    let kept = |client: &mut Client| {
        let list = client.structured("list_jobs", json!({"status_filter": "completed"}));
        list["jobs"][0]["id"].as_str().map(str::to_owned)
    };
    drop(exchange);
    let id = loop {
        if let Some(id) = kept(&mut client) {
            break id;
        }
    };
    assert_eq!(client.ended(&id)["result"], json!({"counted": 30}));
}

#[test]
fn work_goes_on_as_a_job_when_its_session_ends() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &[]);
    let mut client = Client::initialize(&server.address);
    let mut exchange = client.open_call("count", for_ever());
    until_progress(&mut exchange);
    assert_eq!(client.end_session(), 202);
    drop(exchange);
    let mut other = Client::initialize(&server.address);
    let job = only_job(&home, &mut other);
    assert_eq!((&job["tool"], &job["status"]), (&json!("count"), &json!("running")));
    assert_eq!(other.structured("list_jobs", json!({}))["total"], 0, "it is another session's");
}

#[test]
fn without_a_session_a_closed_connection_is_a_departure_and_the_work_goes_on_as_a_job() {
    for era in [Era::Initialize, Era::PerRequest] {
        let home = TempDir::new().unwrap();
        let server = Server::start(home.path(), &["--stateless"]);
        let mut client = match era {
            Era::Initialize => Client::initialize(&server.address),
            Era::PerRequest => Client::per_request(&server.address, json!({})),
        };
        let mut exchange = client.open_call("count", json!({"to": 200, "step_ms": 10}));
        until_progress(&mut exchange);
        drop(exchange);
        let job = only_job(&home, &mut client);
        let id = job["id"].as_str().unwrap();
        assert_eq!(client.ended(id)["result"], json!({"counted": 200}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_may_stop_where_its_caller_closes_the_connection() {
    let (address, jobs, mut stopped) = Escort::serve().await;
    let leave = move || {
        let mut client = Client::per_request(&address, json!({}));
        until_progress(&mut client.open_call("accompany", json!({})));
    };
    tokio::task::spawn_blocking(leave).await.unwrap();
    stopped.wait_for(|stopped| *stopped).await.unwrap();
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 0);
}

#[test]
fn a_call_that_is_cancelled_by_its_client_in_a_session_stops() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &[]);
    let mut client = Client::initialize(&server.address);
    let mut exchange = client.open_call("count", for_ever());
    until_progress(&mut exchange);
    let why = json!({"requestId": 2, "reason": "the person pressed Esc"});
    assert_eq!(client.note("notifications/cancelled", why), 202);
    assert_eq!(exchange.message(), None, "what was cancelled is not answered");
    assert_eq!(client.structured("list_jobs", json!({}))["total"], 0);
}

#[test]
fn servers_behind_a_load_balancer_answer_for_each_others_jobs_and_tasks() {
    let home = TempDir::new().unwrap();
    let servers: Vec<_> = (0..2).map(|_| Server::start(home.path(), &["--stateless"])).collect();
    let address = round_robin(servers.iter().map(|server| server.address.clone()).collect());
    for mut client in [Client::initialize(&address), Client::per_request(&address, json!({}))] {
        // Two requests in a row go to different servers, whichever comes first.
        let (id, counted) = client.counting_job();
        for _ in 0..2 {
            let status = client.structured("job_status", json!({"job_id": id}));
            assert_eq!(status["job"]["id"], json!(id));
        }
        assert_eq!(client.ended(&id)["result"], counted);
        let id = client.job("crunch", json!({"ms": 600_000}));
        client.tools();
        client.structured("cancel_job", json!({"job_id": id}));
        assert_eq!(client.ended(&id)["status"], "cancelled");
    }
    let mut client = Client::with_tasks(&address);
    let (task, to) = client.count_beyond_budget();
    let ended = client.ended_task(task["taskId"].as_str().unwrap());
    assert_eq!(ended["result"]["structuredContent"], json!({"counted": to}));
    let task = client.call("crunch", json!({"ms": 600_000}));
    let id = task["taskId"].as_str().unwrap();
    client.tools();
    assert!(client.ask("tasks/cancel", json!({"taskId": id})).get("result").is_some());
    assert_eq!(client.ended_task(id)["status"], "cancelled");
}

#[test]
fn sigterm_answers_open_calls_writes_the_rest_down_and_ends_without_an_error() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &[]);
    let mut client = Client::initialize_with(&server.address, json!({"elicitation": {}}));
    let id = client.job("count", for_ever());
    let mut exchange = client.open_call("ask_name", json!({}));
    let question = exchange.message().unwrap();
    server.terminate();
    let said = json!({"action": "accept", "content": {"name": "Ada"}});
    assert_eq!(client.respond(&question, said), 202);
    let answer = exchange.answer();
    assert_eq!(answer["result"]["content"][0]["text"], "Hello, Ada!", "{answer}");
    assert!(server.ended().success());
    let text = fs::read_to_string(home.path().join("meta/jobs.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["jobs"].as_array().unwrap().len(), 1, "{document}");
    let job = &document["jobs"][0];
    assert_eq!(
        (&job["id"], &job["status"], &job["error_kind"]),
        (&json!(id), &json!("failed"), &json!("interrupted"))
    );
}

#[test]
fn tools_answer_with_json_of_the_size_asked_for_and_with_errors_of_the_protocol() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &[]);
    let mut client = Client::initialize(&server.address);
    let large = client.structured("slow_json", json!({"ms": 0, "kb": 64}));
    let bytes = large.to_string().len();
    assert!((48 * 1024..80 * 1024).contains(&bytes), "{bytes}");
    let refused = client.ask("tools/call", json!({"name": "fail_rpc", "arguments": {}}));
    assert_eq!(refused["error"]["code"], -32050);
    let mut with_tasks = Client::with_tasks(&server.address);
    let task = with_tasks.call("fail_rpc", json!({"async_mode": true}));
    let ended = with_tasks.ended_task(task["taskId"].as_str().unwrap());
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!(-32050)));
}

/// There is no other stream on which the question could come.
#[test]
fn what_a_body_asks_its_client_comes_on_the_stream_of_its_call() {
    let home = TempDir::new().unwrap();
    let server = Server::start_asking(home.path());
    let mut client = Client::initialize_with(&server.address, json!({"elicitation": {}}));
    let mut exchange = client.open_call("test_elicitation", json!({"message": "Who are you?"}));
    let question = exchange.message().unwrap();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    assert_eq!(question["params"]["message"], "Who are you?");
    let said = json!({"action": "accept", "content": {"username": "ada", "email": "a@b.c"}});
    assert_eq!(client.respond(&question, said), 202);
    let answer = exchange.answer();
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("ada"), "{answer}");
}

#[test]
fn a_question_comes_on_the_stream_of_its_call_and_its_answer_belongs_to_that_call() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &["--one-user"]);
    let sessions = ["Ada", "Grace"].map(|name| {
        let mut client = Client::initialize_with(&server.address, json!({"elicitation": {}}));
        let mut exchange = client.open_call("ask_name", json!({}));
        let question = exchange.message().unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(question["params"]["message"], "What is your name?");
        (name, client, exchange, question)
    });
    for (name, client, mut exchange, question) in sessions {
        let said = json!({"action": "accept", "content": {"name": name}});
        assert_eq!(client.respond(&question, said), 202);
        let answer = exchange.answer();
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(text, &json!(format!("Hello, {name}!")), "{answer}");
    }
    let mut client = Client::initialize(&server.address);
    assert_eq!(client.structured("list_jobs", json!({}))["total"], 0, "no job was needed");
}

#[test]
fn a_call_made_again_with_its_answer_finds_its_work_behind_a_load_balancer() {
    let home = TempDir::new().unwrap();
    let servers: Vec<_> = (0..2).map(|_| Server::start(home.path(), &["--one-user"])).collect();
    let address = round_robin(servers.iter().map(|server| server.address.clone()).collect());
    let mut client = Client::per_request(&address, json!({"elicitation": {}}));
    let asked = client.call("ask_name", json!({}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let again = json!({
        "name": "ask_name", "arguments": {},
        "inputResponses": {"name": {"action": "accept", "content": {"name": "Ada"}}},
        "requestState": asked["requestState"]
    });
    let answer = client.ask("tools/call", again);
    assert_eq!(answer["result"]["content"][0]["text"], "Hello, Ada!", "{answer}");
    assert_eq!(client.structured("list_jobs", json!({}))["total"], 1, "nothing was done twice");
}

#[test]
fn who_cannot_be_asked_gets_a_ticket_and_answers_with_the_job_tools() {
    every_way(|client| {
        let id = client.job("ask_name", json!({}));
        let said = json!({"job_id": id, "content": {"name": "Ada"}});
        client.structured("answer_job", said);
        assert_eq!(client.ended(&id)["result"], "Hello, Ada!");
    });
}

/// There is no way back to a client without a session, whatever it can do.
#[test]
fn without_a_session_a_client_of_2025_11_25_cannot_be_asked() {
    let home = TempDir::new().unwrap();
    let server = Server::start(home.path(), &["--stateless"]);
    let mut client = Client::initialize_with(&server.address, json!({"elicitation": {}}));
    let ticket = client.structured("ask_name", json!({}));
    assert_eq!(ticket["status"], "input_required", "{ticket}");
}

#[test]
fn the_example_of_scopes_shows_each_client_its_own_jobs_only() {
    let home = TempDir::new().unwrap();
    let server = Server::start_scopes(home.path());
    let unknown = Client::per_request(&server.address, json!({}));
    let mut first = unknown.clone().authorized("Bearer token-1");
    let mut second = unknown.clone().authorized("Bearer token-2");
    assert_eq!(unknown.note("notifications/initialized", json!({})), 401);

    let id = first.job("write_report", json!({}));
    assert_eq!(first.ended(&id)["result"], "the report");
    assert_eq!(first.structured("list_jobs", json!({}))["total"], 1);
    assert_eq!(second.structured("list_jobs", json!({}))["total"], 0);
    let refused = second.call("job_result", json!({"job_id": id}));
    assert_eq!(refused["structuredContent"]["error"], format!("Job {id} not found"));

    server.interrupt();
    assert!(server.ended().success());

    let server = Server::start_scopes(home.path());
    let mut again = Client::per_request(&server.address, json!({})).authorized("Bearer token-1");
    assert_eq!(again.structured("list_jobs", json!({}))["total"], 1);
    server.terminate();
    assert!(server.ended().success(), "it is not the signal that ends the process");
}
