use super::*;

async fn inn() -> (Wire, Inn, JobManager) {
    let (inn, jobs) = (Inn::new(), JobManager::in_memory());
    let can = json!({"extensions": {TASKS: {}}, "elicitation": {"form": {}, "url": {}}});
    let wire = Wire::discover(inn.clone().with_jobs(jobs.clone()), can).await;
    (wire, inn, jobs)
}

/// The protocol forbids requests that a client did not declare: the model is told in words how to answer.
#[tokio::test(start_paused = true)]
async fn of_a_client_that_cannot_be_asked_works_and_names_the_call_that_answers() {
    for can in [json!({}), json!({"elicitation": {"url": {}}})] {
        let mut can = can;
        can["extensions"] = json!({TASKS: {}});
        let (inn, jobs) = (Inn::new(), JobManager::in_memory());
        let mut wire = Wire::discover(inn.with_jobs(jobs.clone()), can).await;
        let created = wire.task("greet", json!({})).await;
        let got = get(&mut wire, &created).await;
        let listen = json!({"notifications": {"taskIds": [created["taskId"]]}});
        wire.request("subscriptions/listen", listen).await;
        let told = loop {
            let mut note = wire.noted().await;
            if note["method"] == "notifications/tasks" {
                break note["params"].take();
            }
        };
        for task in [&created, &got, &told] {
            assert_eq!(task["status"], "working", "{task}");
            assert!(task.get("inputRequests").is_none(), "{task}");
            let id = task["taskId"].as_str().unwrap();
            let answer = json!({"content": {"name": "<string>"}, "job_id": id, "key": "name"});
            let message = format!("What is your name? Waits for an answer: answer_job {answer}");
            assert_eq!(task["statusMessage"], message);
        }
        let answer = json!({"job_id": created["taskId"], "content": {"name": "Ann"}});
        wire.call("answer_job", answer).await;
        ended(&jobs, &created).await;
        let task = get(&mut wire, &created).await;
        assert_eq!(task["result"]["content"][0]["text"], "Hello, Ann!");
    }
}

async fn update(wire: &mut Wire, task: &Value, answers: Value) -> Value {
    let params = json!({"taskId": task["taskId"], "inputResponses": answers});
    wire.ask("tasks/update", params).await
}

async fn get(wire: &mut Wire, task: &Value) -> Value {
    wire.get_task(task["taskId"].as_str().unwrap()).await
}

async fn ended(jobs: &JobManager, task: &Value) {
    let id: JobId = task["taskId"].as_str().unwrap().parse().unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn that_asks_is_input_required_at_once() {
    let (mut wire, _inn, _jobs) = inn().await;
    let before = tokio::time::Instant::now();
    let task = wire.task("greet", json!({})).await;
    assert!(before.elapsed() < Duration::from_secs(1), "no budget was waited for");
    assert_eq!(task["status"], "input_required");
    assert_answer!(get(&mut wire, &task).await);
}

#[tokio::test(start_paused = true)]
async fn goes_on_when_it_is_answered() {
    let (mut wire, _inn, jobs) = inn().await;
    let task = wire.task("greet", json!({})).await;
    let ack = update(&mut wire, &task, json!({"name": accept(json!({"name": "Ann"}))})).await;
    assert_eq!(ack["result"], json!({"resultType": "complete"}));
    ended(&jobs, &task).await;
    let task = get(&mut wire, &task).await;
    assert_eq!(task["result"]["content"][0]["text"], "Hello, Ann!");
    assert!(task.get("inputRequests").is_none());
}

#[tokio::test(start_paused = true)]
async fn stays_input_required_until_everything_is_answered() {
    let (mut wire, _inn, jobs) = inn().await;
    let task = wire.task("check_in", json!({})).await;
    let keys = |task: &Value| {
        task["inputRequests"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&get(&mut wire, &task).await), ["name", "nights"]);
    update(&mut wire, &task, json!({"name": accept(json!({"name": "Ann"}))})).await;
    let half = get(&mut wire, &task).await;
    assert_eq!((&half["status"], keys(&half)), (&json!("input_required"), vec!["nights".into()]));
    update(&mut wire, &task, json!({"nights": accept(json!({"nights": 2}))})).await;
    ended(&jobs, &task).await;
}

#[tokio::test(start_paused = true)]
async fn ignores_answers_that_are_unknown_late_or_doubled() {
    let (mut wire, inn, jobs) = inn().await;
    let task = wire.task("check_out", json!({})).await;
    for name in ["Ann", "Bob"] {
        let answers =
            json!({"name": accept(json!({"name": name})), "shoe_size": accept(json!({}))});
        let ack = update(&mut wire, &task, answers).await;
        assert_eq!(ack["result"], json!({"resultType": "complete"}));
    }
    let id: JobId = task["taskId"].as_str().unwrap().parse().unwrap();
    jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    update(&mut wire, &task, json!({"nights": accept(json!({"nights": 2}))})).await;
    inn.gate.open();
    ended(&jobs, &task).await;
    let late = update(&mut wire, &task, json!({"name": accept(json!({"name": "Carl"}))})).await;
    assert_eq!(late["result"], json!({"resultType": "complete"}));
    let task = get(&mut wire, &task).await;
    assert_eq!(task["result"]["content"][0]["text"], "Ann, 2 nights");
}

#[tokio::test(start_paused = true)]
async fn refuses_an_answer_that_does_not_fit_and_takes_none_with_it() {
    let (mut wire, _inn, _jobs) = inn().await;
    let task = wire.task("check_in", json!({})).await;
    let answers =
        json!({"name": accept(json!({"name": "Ann"})), "nights": accept(json!({"nights": 99}))});
    let error = update(&mut wire, &task, answers).await["error"].take();
    assert_eq!(error["code"], -32602);
    assert_eq!(
        error["message"],
        "the answer to `nights` does not fit: content.nights: must be a whole number of 30 or less"
    );
    let task = get(&mut wire, &task).await;
    assert_eq!(task["inputRequests"].as_object().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn is_told_of_when_it_asks() {
    let (mut wire, _inn, _jobs) = inn().await;
    let task = wire.task("check_out", json!({})).await;
    let listen = json!({"notifications": {"taskIds": [task["taskId"]]}});
    wire.request("subscriptions/listen", listen).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let note = wire.noted().await;
        if note["method"] != "notifications/tasks" {
            continue;
        }
        let asked = note["params"]["inputRequests"].as_object();
        if let Some(key) = asked.and_then(|asked| asked.keys().next()) {
            if told.last() != Some(key) {
                told.push(key.clone());
            }
            let answers = json!({"name": accept(json!({"name": "Ann"}))});
            update(&mut wire, &task, answers).await;
        }
    }
    assert_eq!(told, ["name", "nights"]);
}
