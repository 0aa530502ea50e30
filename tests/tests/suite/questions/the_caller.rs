use super::*;

async fn inn() -> (Wire, Inn, JobManager) {
    let (inn, jobs) = (Inn::new(), JobManager::in_memory());
    let server = inn.clone().with_jobs(jobs.clone());
    (Wire::initialize(server, json!({"elicitation": {}})).await, inn, jobs)
}

#[tokio::test(start_paused = true)]
async fn is_asked_while_its_call_is_open() {
    let (mut wire, _inn, jobs) = inn().await;
    let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
    let question = wire.noted().await;
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "What is your name?");
    wire.respond(&question, accept(json!({"name": "Ann"}))).await;
    assert_eq!(text(&wire.answer(call).await), "Hello, Ann!");
    assert_eq!(jobs.list(Default::default()).await.unwrap().jobs.len(), 0, "no job was made");
}

#[tokio::test(start_paused = true)]
async fn is_asked_several_things_at_once() {
    let (mut wire, _inn, _jobs) = inn().await;
    let call = wire.request("tools/call", json!({"name": "check_in", "arguments": {}})).await;
    let (name, nights) = (wire.noted().await, wire.noted().await);
    wire.respond(&nights, accept(json!({"nights": 3}))).await;
    wire.respond(&name, accept(json!({"name": "Ann"}))).await;
    assert_eq!(text(&wire.answer(call).await), "Ann, 3 nights");
}

#[tokio::test(start_paused = true)]
async fn may_decline() {
    let (mut wire, _inn, _jobs) = inn().await;
    let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
    let question = wire.noted().await;
    wire.respond(&question, json!({"action": "decline"})).await;
    assert_eq!(text(&wire.answer(call).await), "Hello, nobody!");
}

#[tokio::test(start_paused = true)]
async fn whose_answer_does_not_fit_gets_a_job_that_asks_on() {
    let (mut wire, _inn, _jobs) = inn().await;
    let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
    let question = wire.noted().await;
    wire.respond(&question, accept(json!({"nome": "Ann"}))).await;
    let ticket = wire.answer(call).await;
    assert_eq!(ticket["result"]["structuredContent"]["status"], "input_required");
}

#[tokio::test(start_paused = true)]
async fn that_has_not_answered_when_its_budget_ends_leaves_the_question_to_the_job() {
    let (mut wire, _inn, jobs) = inn().await;
    let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
    let question = wire.noted().await;
    let ticket = wire.answer(call).await;
    assert_answer!(ticket["result"]["structuredContent"]);
    let id = ticket["result"]["structuredContent"]["job_id"].clone();
    let status = wire.call("job_status", json!({"job_id": id})).await;
    assert_answer!(status["result"]["structuredContent"]["job"]["questions"]);
    let answered = json!({"job_id": id, "content": {"name": "Ann"}});
    let answer = wire.call("answer_job", answered).await;
    assert_answer!(answer["result"]["structuredContent"]);
    let withdrawn = wire.noted().await;
    assert_eq!(withdrawn["method"], "notifications/cancelled");
    assert_eq!(withdrawn["params"]["requestId"], question["id"]);
    let job: JobId = id.as_str().unwrap().parse().unwrap();
    jobs.wait(&[job], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(job).await.unwrap().result, "Hello, Ann!");
}

#[tokio::test(start_paused = true)]
async fn may_answer_after_its_budget_has_ended() {
    let (mut wire, _inn, jobs) = inn().await;
    let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
    let question = wire.noted().await;
    let ticket = wire.answer(call).await;
    let id = ticket["result"]["structuredContent"]["job_id"].as_str().unwrap();
    wire.respond(&question, accept(json!({"name": "Ann"}))).await;
    let id: JobId = id.parse().unwrap();
    loop {
        let job = &jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap().jobs[0];
        if job.status().is_terminal() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(jobs.result(id).await.unwrap().result, "Hello, Ann!");
}

#[tokio::test(start_paused = true)]
async fn that_cannot_be_asked_after_all_gets_a_job() {
    let (mut wire, _inn, _jobs) = inn().await;
    let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
    let question = wire.noted().await;
    wire.refuse(&question, -32601, "no such method").await;
    let ticket = wire.answer(call).await;
    assert_eq!(ticket["result"]["structuredContent"]["status"], "input_required");
}

#[tokio::test(start_paused = true)]
async fn that_cannot_be_asked_gets_a_job_at_once() {
    let inn = Inn::new();
    let client = Client::connect(inn.with_jobs(JobManager::in_memory())).await;
    let before = tokio::time::Instant::now();
    let id = client.job("greet", json!({})).await;
    assert!(before.elapsed() < Duration::from_secs(1), "no budget was waited for");
    let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
    assert_eq!(waited["stopped_by"], "change", "a question ends the wait");
    client.ask("answer_job", json!({"job_id": id, "key": "name", "action": "decline"})).await;
    let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
    assert_eq!(waited["jobs"][0]["result"], "Hello, nobody!");
}
