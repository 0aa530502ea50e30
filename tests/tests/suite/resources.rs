//! Jobs as resources, beside those of the wrapped server, as they stand on the wire.

use std::time::Duration;

use rmcp::ServerHandler;
use serde_json::{Value, json};
use smart_async::job::{FailureKind, JobFailure, JobOutput, JobRecord, JobSpec};
use smart_async::manager::WaitFor;
use smart_async::{JobId, JobManager, JobRequest, WithJobs, job_fn};
use smart_async_tests::{BOOK, Client, GatedTools, Library, Wire, assert_answer};

const LONG: Duration = Duration::from_secs(3600);
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const RESOURCE_NOT_FOUND: i64 = -32002;

/// A server that has nothing of its own.
struct Bare;
impl ServerHandler for Bare {}

fn uri(id: JobId) -> String {
    format!("job://{id}")
}

/// A job that has ended as this says.
async fn ended(jobs: &JobManager, outcome: Result<JobOutput, JobFailure>) -> JobId {
    let work = job_fn(move |_| std::future::ready(outcome.clone()));
    let id = jobs.submit(JobRequest::new("saw").label("a board"), work).await.unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    id
}

fn running() -> impl smart_async::Job {
    job_fn(|job| async move {
        job.progress().report(1, 4, "sawing");
        std::future::pending().await
    })
}

/// One that runs until it is cancelled, and has reported its progress.
async fn live(jobs: &JobManager) -> JobId {
    let id = jobs.submit(JobRequest::new("saw").label("a plank"), running()).await.unwrap();
    while jobs.status(id).await.unwrap().progress.is_none() {
        tokio::task::yield_now().await;
    }
    id
}

async fn read(wire: &mut Wire, uri: &str) -> Vec<Value> {
    let result = wire.result("resources/read", json!({"uri": uri})).await;
    result["contents"].as_array().unwrap().clone()
}

fn uris(list: &Value) -> Vec<String> {
    let resources = list["resources"].as_array().unwrap();
    resources.iter().map(|resource| resource["uri"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn resources_are_declared_with_subscriptions_and_beside_the_wrapped_servers_own() {
    for (server, expected) in [
        (
            Wire::discover(Bare.with_jobs(JobManager::in_memory()), json!({})).await,
            json!({"subscribe": true}),
        ),
        (
            Wire::discover(Library::new().with_jobs(JobManager::in_memory()), json!({})).await,
            json!({"subscribe": true, "listChanged": true}),
        ),
    ] {
        let mut wire = server;
        let discovered = wire.result("server/discover", json!({})).await;
        assert_eq!(discovered["capabilities"]["resources"], expected);
    }
    let client = Client::connect(Bare.with_jobs(JobManager::in_memory())).await;
    let declared = client.peer().peer_info().unwrap().capabilities.resources.clone().unwrap();
    assert_eq!((declared.subscribe, declared.list_changed), (Some(true), None));
}

#[tokio::test(start_paused = true)]
async fn jobs_are_listed_newest_first_after_the_wrapped_servers_last_page() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Library::new().with_jobs(jobs.clone()), json!({})).await;
    let first = ended(&jobs, Ok(JobOutput::new("sawn"))).await;
    let second = live(&jobs).await;
    let page = wire.result("resources/list", json!({})).await;
    assert_eq!((uris(&page), &page["nextCursor"]), (vec![BOOK.to_owned()], &json!("second")));
    assert_eq!(page["ttlMs"], 60_000);
    let page = wire.result("resources/list", json!({"cursor": "second"})).await;
    let listed = uris(&page);
    assert_eq!((&*listed[0], listed.len()), ("book://2", 3));
    assert_eq!(listed[1..], [uri(second), uri(first)]);
    assert_eq!(page.get("nextCursor"), None);
    assert_eq!(page["ttlMs"], 0, "jobs change at any time");
}

#[tokio::test(start_paused = true)]
async fn a_listed_job_says_what_it_is() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Bare.with_jobs(jobs.clone()), json!({})).await;
    live(&jobs).await;
    assert_answer!(wire.result("resources/list", json!({})).await);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_comes_in_pages_and_goes_on_where_jobs_were_pruned() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Bare.with_jobs(jobs.clone()), json!({})).await;
    let mut all = Vec::new();
    for minute in 0..120 {
        // The clock jumps back and forth.
        let created = smart_async::job::Timestamp::UNIX_EPOCH + Duration::from_secs(minute * 7 % 5);
        let job = JobRecord::new(JobId::new(), JobSpec::new("saw", jobs.server(), created));
        all.insert(0, uri(jobs.store().insert(job).await.unwrap().id));
    }
    let first = wire.result("resources/list", json!({})).await;
    assert_eq!(uris(&first), all[..50]);
    let last: JobId = all[49].strip_prefix("job://").unwrap().parse().unwrap();
    jobs.store().withdraw(last).await.unwrap();
    // Newer ones are on no later page, whatever the clock says.
    for second in [0, 9] {
        let created = smart_async::job::Timestamp::UNIX_EPOCH + Duration::from_secs(second);
        let job = JobRecord::new(JobId::new(), JobSpec::new("saw", jobs.server(), created));
        jobs.store().insert(job).await.unwrap();
    }
    let second = wire.result("resources/list", json!({"cursor": first["nextCursor"]})).await;
    assert_eq!(uris(&second), all[50..100]);
    let third = wire.result("resources/list", json!({"cursor": second["nextCursor"]})).await;
    assert_eq!(uris(&third), all[100..]);
    assert_eq!(third.get("nextCursor"), None);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_damaged_is_refused_in_words_and_one_of_an_earlier_version_is_read() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Bare.with_jobs(jobs.clone()), json!({})).await;
    live(&jobs).await;
    let id = JobId::new();
    let cursor = format!("smart-async:jobs-before:1800000000000:{id}");
    let page = wire.result("resources/list", json!({"cursor": cursor})).await;
    assert!(uris(&page).is_empty(), "no job of that version is there");
    for cursor in ["smart-async:jobs-before:", "smart-async:jobs-before:1:2:3"] {
        let answer = wire.ask("resources/list", json!({"cursor": cursor})).await;
        assert_eq!(answer["error"]["code"], -32602);
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(said.contains("list from the beginning"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_of_other_servers_are_not_listed() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Bare.with_jobs(jobs.clone()), json!({})).await;
    let other = JobRecord::new(
        JobId::new(),
        JobSpec::new("saw", "elsewhere", std::time::SystemTime::now().into()),
    );
    let other = jobs.store().insert(other).await.unwrap().id;
    assert_eq!(uris(&wire.result("resources/list", json!({})).await), Vec::<String>::new());
    assert_eq!(read(&mut wire, &uri(other)).await.len(), 1, "who knows the id may ask");
}

#[tokio::test(start_paused = true)]
async fn templates_come_after_the_wrapped_servers_own() {
    let mut wire =
        Wire::discover(Library::new().with_jobs(JobManager::in_memory()), json!({})).await;
    assert_answer!(wire.result("resources/templates/list", json!({})).await);
}

#[tokio::test(start_paused = true)]
async fn a_job_reads_as_job_status_shows_it() {
    let jobs = JobManager::in_memory();
    let server = Bare.with_jobs(jobs.clone());
    let mut wire = Wire::discover(server.clone(), json!({})).await;
    let client = Client::connect(server).await;
    let done = ended(&jobs, Ok(JobOutput::new(json!({"boards": 3})))).await;
    let contents = read(&mut wire, &uri(done)).await;
    assert_eq!(
        (&contents[0]["uri"], &contents[0]["mimeType"]),
        (&json!(uri(done)), &json!("application/json"))
    );
    let shown: Value = serde_json::from_str(contents[0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(shown, client.status(&done.to_string()).await);
}

#[tokio::test(start_paused = true)]
async fn a_result_is_plain_text_where_it_is_text_and_json_where_not() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Bare.with_jobs(jobs.clone()), json!({})).await;
    let text = ended(&jobs, Ok(JobOutput::new("sawn"))).await;
    let json = ended(&jobs, Ok(JobOutput::new(json!({"boards": 3})))).await;
    let long = "x".repeat(100_000);
    let large = ended(&jobs, Ok(JobOutput::new(long.clone()))).await;
    for (id, kind, expected) in [
        (text, "text/plain", "sawn"),
        (json, "application/json", r#"{"boards":3}"#),
        (large, "text/plain", &*long),
    ] {
        let uri = format!("{}/result", uri(id));
        let expected = json!([{"uri": uri, "mimeType": kind, "text": expected}]);
        assert_eq!(json!(read(&mut wire, &uri).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_text_cannot_hold_comes_beside_it() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Bare.with_jobs(jobs.clone()), json!({})).await;
    let picture = json!({"type": "image", "data": "aGk=", "mimeType": "image/png"});
    let words = json!({"type": "text", "text": "look:"});
    for (text, blocks, texts) in
        [("look:", json!([words, picture]), vec!["look:"]), ("", json!([picture]), vec![])]
    {
        let mut output = JobOutput::new(text);
        output.tool_result = Some(json!({"content": blocks, "isError": false}));
        let uri = format!("{}/result", uri(ended(&jobs, Ok(output)).await));
        let mut contents = read(&mut wire, &uri).await;
        assert_eq!(
            contents.pop().unwrap(),
            json!({"uri": uri, "mimeType": "image/png", "blob": "aGk="})
        );
        let read: Vec<_> =
            contents.iter().map(|content| content["text"].as_str().unwrap()).collect();
        assert_eq!(read, texts);
    }
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_job_that_failed_says_that_it_did() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Bare.with_jobs(jobs.clone()), json!({})).await;
    let failed = ended(&jobs, Err(JobFailure::new(FailureKind::Error, "a knot"))).await;
    let contents = read(&mut wire, &format!("{}/result", uri(failed))).await;
    let said: Value = serde_json::from_str(contents[0]["text"].as_str().unwrap()).unwrap();
    let expected =
        json!({"job_id": failed, "status": "failed", "terminal": true, "error": "a knot"});
    assert_eq!(said, expected);
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_live_job_is_not_there_yet_and_the_error_says_what_to_do() {
    let jobs = JobManager::in_memory();
    let id = live(&jobs).await;
    for (mut wire, code) in [
        (Wire::discover(Bare.with_jobs(jobs.clone()), json!({})).await, INVALID_PARAMS),
        (Wire::initialize(Bare.with_jobs(jobs.clone()), json!({})).await, RESOURCE_NOT_FOUND),
    ] {
        let answer =
            wire.ask("resources/read", json!({"uri": format!("{}/result", uri(id))})).await;
        assert_eq!(answer["error"]["code"], code);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("has no result yet") && message.contains(&uri(id)), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_there_is_a_resource_that_is_not_there() {
    let server = || Library::new().with_jobs(JobManager::in_memory());
    for (mut wire, code, methods) in [
        (Wire::discover(server(), json!({})).await, INVALID_PARAMS, &["resources/read"][..]),
        (
            Wire::initialize(server(), json!({})).await,
            RESOURCE_NOT_FOUND,
            &["resources/read", "resources/subscribe"],
        ),
    ] {
        for method in methods {
            for uri in [uri(JobId::new()), "job://42".to_owned(), "job://".to_owned()] {
                let answer = wire.ask(method, json!({"uri": uri})).await;
                assert_eq!(answer["error"]["code"], code, "{answer}");
                assert_eq!(answer["error"]["data"]["uri"], uri);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_other_resource_is_the_wrapped_servers() {
    let mut wire =
        Wire::discover(Library::new().with_jobs(JobManager::in_memory()), json!({})).await;
    assert_eq!(read(&mut wire, BOOK).await[0]["text"], "once upon a time");
    let answer = wire.ask("resources/list", json!({"cursor": "third"})).await;
    assert_eq!(answer["error"]["message"], "there is no such page");
    let mut wire =
        Wire::discover(GatedTools::new().with_jobs(JobManager::in_memory()), json!({})).await;
    let answer = wire.ask("resources/read", json!({"uri": BOOK})).await;
    assert_eq!(answer["error"]["code"], METHOD_NOT_FOUND);
}
