use super::*;

#[tokio::test(start_paused = true)]
async fn that_comes_with_the_call_is_no_question_any_more() {
    let client = json!({"elicitation": {}});
    let mut wire = Wire::discover(Inn::new().with_jobs(JobManager::in_memory()), client).await;
    let params = json!({
        "name": "greet", "arguments": {"async_mode": true},
        "inputResponses": {"name": accept(json!({"name": "Ann"}))}
    });
    let ticket = wire.ask("tools/call", params).await;
    let id = &ticket["result"]["structuredContent"]["job_id"];
    let waited = wire.call("wait_job", json!({"job_ids": [id]})).await;
    assert_eq!(waited["result"]["structuredContent"]["jobs"][0]["result"], "Hello, Ann!");
}

#[tokio::test(start_paused = true)]
async fn may_spell_a_whole_number_as_it_likes() {
    let jobs = JobManager::in_memory();
    let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
    let id = client.job("check_in", json!({})).await;
    let answer = json!({"job_id": id, "key": "nights", "content": {"nights": 9.0}});
    client.ask("answer_job", answer).await;
    client.ask("answer_job", json!({"job_id": id, "content": {"name": "Ann"}})).await;
    let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
    assert_eq!(waited["jobs"][0]["result"], "Ann, 9 nights");
}

#[tokio::test(start_paused = true)]
async fn that_cannot_be_taken_is_told_why() {
    let jobs = JobManager::in_memory();
    let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
    let id = client.job("check_in", json!({})).await;
    let complaint = async |arguments: Value| {
        let mut arguments = arguments;
        arguments["job_id"] = json!(id);
        client.complaint("answer_job", arguments).await
    };
    assert_eq!(complaint(json!({})).await, "key: must be one of name, nights");
    let unknown = complaint(json!({"key": "shoe_size"})).await;
    assert_eq!(
        unknown,
        format!("Job {id} asks no question `shoe_size`; it waits for: name, nights")
    );
    let unfit = complaint(json!({"key": "nights", "content": {"nights": "two"}})).await;
    assert_eq!(
        unfit,
        "the answer to `nights` does not fit: content.nights: must be a whole number"
    );
    let action = complaint(json!({"key": "name", "action": "maybe"})).await;
    assert_eq!(action, "action: must be one of accept, decline, cancel; it is \"maybe\"");
    client.ask("answer_job", json!({"job_id": id, "key": "name", "action": "cancel"})).await;
    let doubled = complaint(json!({"key": "name", "action": "cancel"})).await;
    assert_eq!(doubled, "the question `name` has been answered already");
}

#[tokio::test(start_paused = true)]
async fn reaches_a_blocking_body() {
    let jobs = JobManager::in_memory();
    let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
    let id = client.job("ring", json!({})).await;
    client.ask("answer_job", json!({"job_id": id, "content": {"name": "Ann"}})).await;
    let id: JobId = id.parse().unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "Ann");
}

#[tokio::test]
async fn to_work_of_another_process_reaches_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || JobManager::builder().folder(folder.path()).open().await.unwrap();
    let (asks, answers) = (open().await, open().await);
    let client = Client::connect(Inn::new().with_jobs(asks.clone())).await;
    let id: JobId = client.job("greet", json!({})).await.parse().unwrap();
    assert_eq!(answers.status(id).await.unwrap().status(), JobStatus::InputRequired);
    let wrong = answers.answer(id, "name", accept(json!({}))).await;
    assert!(matches!(wrong, Err(AnswerError::Unfit { .. })), "{wrong:?}");
    answers.answer(id, "name", accept(json!({"name": "Ann"}))).await.unwrap();
    asks.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(asks.result(id).await.unwrap().result, "Hello, Ann!");
}

#[tokio::test]
async fn to_a_retry_through_another_server_reaches_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        async || JobManager::builder().folder(folder.path()).server("inn").open().await.unwrap();
    let inn = Inn::new();
    let client = || json!({"elicitation": {}});
    let mut first = Wire::discover(inn.clone().with_jobs(open().await), client()).await;
    let mut second = Wire::discover(inn.clone().with_jobs(open().await), client()).await;
    let asked = first.call("greet", json!({})).await;
    let params = json!({
        "name": "greet", "arguments": {},
        "inputResponses": {"name": accept(json!({"name": "Ann"}))},
        "requestState": asked["result"]["requestState"]
    });
    assert_eq!(text(&second.ask("tools/call", params).await), "Hello, Ann!");
    assert_eq!(inn.gate.count(), 1);
}

#[tokio::test]
async fn to_a_redacted_tool_stays_off_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        async || JobManager::builder().folder(folder.path()).server("inn").open().await.unwrap();
    let (jobs, other) = (open().await, open().await);
    let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
    let id = client.job("whisper", json!({})).await;
    let job: JobId = id.parse().unwrap();
    assert_eq!(client.status(&id).await["questions"]["name"]["message"], "What is your name?");
    let follower = Client::connect(Inn::new().with_jobs(other.clone())).await;
    assert!(follower.status(&id).await.get("questions").is_none());
    let elsewhere = other.answer(job, "name", accept(json!({"name": "Ann"}))).await;
    assert!(matches!(elsewhere, Err(AnswerError::Elsewhere { .. })), "{elsewhere:?}");
    client.ask("answer_job", json!({"job_id": id, "content": {"name": "Ann"}})).await;
    jobs.wait(&[job], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(job).await.unwrap().result, "Ann");
    let journal = std::fs::read_to_string(folder.path().join("meta/journal.ndjson")).unwrap();
    assert!(!journal.contains("Ann") && !journal.contains("your name"), "{journal}");
}
