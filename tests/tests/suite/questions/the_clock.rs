use super::*;

#[tokio::test(start_paused = true)]
async fn gives_a_question_up_when_its_time_is_over() {
    let client = Client::connect(Inn::new().with_jobs(JobManager::in_memory())).await;
    let id = client.job("hurry", json!({"seconds": 90})).await;
    let began = tokio::time::Instant::now();
    loop {
        let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
        if waited["jobs"][0]["terminal"] == true {
            let said = "no answer to the question `name` came in time";
            assert_eq!(waited["jobs"][0]["result"], said);
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(89), "not earlier");
    let late = client.complaint("answer_job", json!({"job_id": id, "key": "name"})).await;
    assert_eq!(late, format!("Job {id} asks nothing; it is completed"));
}

#[tokio::test(start_paused = true)]
async fn of_the_record_decides_whether_an_answer_came_in_time() {
    let jobs = JobManager::in_memory();
    let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
    let id = client.job("hurry", json!({"seconds": 90})).await;
    let id: JobId = id.parse().unwrap();
    // As another process would: past the work, which learns of it later.
    let said = accept(json!({"name": "Ann"}));
    tokio::time::sleep(Duration::from_millis(89_990)).await;
    let change = Change::new(JobEvent::Answer("name".into(), said), Timestamp::UNIX_EPOCH);
    jobs.store().update(id, change).await.unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "Accepted(Name { name: \"Ann\" })");
}

#[tokio::test(start_paused = true)]
async fn closes_no_question_of_another_process_by_a_jump() {
    for hours in [10, -10] {
        let clock = JumpingClock::new();
        let store = FaultyStore::over(MemoryStore::with_clock(clock.clock()));
        let inn = JobManager::builder().server("inn").with_store(store.clone());
        let desk = JobManager::builder().server("desk").with_store(store);
        let client = Client::connect(Inn::new().with_jobs(inn.clone())).await;
        let id = client.job("hurry", json!({"seconds": 90})).await;
        let id: JobId = id.parse().unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        clock.jump(hours);
        let answer = accept(json!({"name": "Ann"}));
        desk.answer(id, "name", answer).await.unwrap();
        inn.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(inn.result(id).await.unwrap().result, "Accepted(Name { name: \"Ann\" })");
    }
}

#[tokio::test(start_paused = true)]
async fn stands_still_for_a_deadline_while_a_question_is_open() {
    let jobs = JobManager::in_memory();
    let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
    let id = client.job("work", json!({})).await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    client.ask("answer_job", json!({"job_id": id, "content": {"name": "Ann"}})).await;
    let id: JobId = id.parse().unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "Ann");
}
