use std::path::Path;

use super::*;

async fn open(folder: &Path) -> JobManager {
    JobManager::builder().folder(folder).server("inn").open().await.unwrap()
}

/// A job that waits for an answer when its process dies, after these were given.
async fn left_behind(folder: &Path, inn: &Inn, tool: &'static str, given: Value) -> JobId {
    let process = SimulatedProcess::new();
    let (folder, inn) = (folder.to_owned(), inn.clone());
    let id = process
        .run(async move {
            let jobs = open(&folder).await;
            let client = Client::connect(inn.with_jobs(jobs.clone())).await;
            let id = client.job(tool, json!({})).await;
            for (key, content) in given.as_object().unwrap() {
                let answer = json!({"job_id": id, "key": key, "content": content});
                client.ask("answer_job", answer).await;
                let id = id.parse().unwrap();
                jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
            }
            id
        })
        .await;
    process.kill().await;
    id.parse().unwrap()
}

/// A server that a client uses, so that it takes on what waits.
async fn in_use(inn: &Inn, jobs: &JobManager) -> Client {
    let client = Client::connect(inn.clone().with_jobs(jobs.clone())).await;
    client.ask("list_jobs", json!({})).await;
    client
}

async fn asks(jobs: &JobManager, id: JobId) -> Vec<String> {
    let waited = jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    waited.jobs[0].open_questions().map(|(key, _)| key.to_owned()).collect()
}

#[tokio::test]
async fn asks_again_what_was_open() {
    let (folder, inn) = (tempfile::tempdir().unwrap(), Inn::new());
    let id = left_behind(folder.path(), &inn, "greet", json!({})).await;
    let jobs = open(folder.path()).await;
    let client = in_use(&inn, &jobs).await;
    assert_eq!(asks(&jobs, id).await, ["name"]);
    assert_eq!(inn.gate.count(), 2);
    jobs.answer(id, "name", accept(json!({"name": "Ann"}))).await.unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "Hello, Ann!");
    client.leave().await;
}

#[tokio::test]
async fn has_the_answers_that_an_earlier_one_was_given() {
    let (folder, inn) = (tempfile::tempdir().unwrap(), Inn::new());
    let given = json!({"name": {"name": "Ann"}});
    let id = left_behind(folder.path(), &inn, "check_out", given).await;
    let jobs = open(folder.path()).await;
    let client = in_use(&inn, &jobs).await;
    assert_eq!(asks(&jobs, id).await, ["nights"]);
    inn.gate.open();
    jobs.answer(id, "nights", accept(json!({"nights": 2}))).await.unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "Ann, 2 nights");
    client.leave().await;
}

#[tokio::test]
async fn has_the_answer_that_came_while_nobody_ran_the_work() {
    let (folder, inn) = (tempfile::tempdir().unwrap(), Inn::new());
    let id = left_behind(folder.path(), &inn, "greet", json!({})).await;
    let jobs = open(folder.path()).await;
    assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Pending);
    jobs.answer(id, "name", accept(json!({"name": "Ann"}))).await.unwrap();
    assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Pending);
    let client = in_use(&inn, &jobs).await;
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "Hello, Ann!");
    assert_eq!(inn.gate.count(), 2, "the second run was not asked");
    client.leave().await;
}
