//! Helpers that the rules share with the tests of single stores: jobs to try them on, and questions to ask a store.

use std::sync::Arc;

use serde_json::json;

use crate::core::job::{
    Change, JobEvent, JobFailure, JobId, JobOutput, JobPage, JobQuery, JobRecord, JobSpec,
    Progress, Prune, Question, Timestamp,
};
use crate::core::store::JobStore;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

pub fn job(store: &dyn JobStore, second: i64) -> JobRecord {
    let mut job = JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(second)));
    job.owner = Some(store.owner());
    job
}

pub fn progress(current: i32) -> Option<Progress> {
    Some(Progress::new(f64::from(current), Some(100.0), Some(format!("step {current}"))))
}

pub async fn inserted(store: &dyn JobStore, second: i64) -> JobId {
    store.insert(job(store, second)).await.unwrap().id
}

pub async fn change(
    store: &dyn JobStore,
    id: JobId,
    event: JobEvent,
    second: i64,
) -> Arc<JobRecord> {
    store.update(id, Change::new(event, at(second))).await.unwrap()
}

/// The event of asking a question with this key.
pub fn ask(key: &str) -> JobEvent {
    let request = json!({"method": "elicitation/create", "params": {"message": format!("{key}?")}});
    JobEvent::Ask(key.to_owned(), Box::new(Question::new(request, at(1), at(60))))
}

/// The event of answering the question with this key.
pub fn answer(key: &str) -> JobEvent {
    JobEvent::Answer(key.to_owned(), json!({"action": "accept", "content": {key: 1}}))
}

pub async fn running(store: &dyn JobStore, second: i64) -> JobId {
    let id = inserted(store, second).await;
    change(store, id, JobEvent::Start, second).await;
    id
}

pub async fn completed(store: &dyn JobStore, second: i64) -> JobId {
    let id = running(store, second).await;
    change(store, id, JobEvent::Complete(JobOutput::new(second)), second + 1).await;
    id
}

/// A completion and a failure that use every field an end has, each larger than a store may keep in a record.
pub fn large(text: &str, second: i64) -> [Change; 2] {
    let value = json!({"text": text.repeat(100_000), "none": null});
    let mut output = JobOutput::new(value.clone()).with_metadata("of", value.clone());
    output.tool_result = Some(json!({"content": [value.clone()]}));
    let mut failure = JobFailure::error("no").with_details(value.clone());
    failure.tool_result = Some(Box::new(value));
    [JobEvent::Complete(output), JobEvent::Fail(failure)].map(|end| Change::new(end, at(second)))
}

pub async fn whole(store: &dyn JobStore, id: JobId) -> JobRecord {
    (*store.get_with_result(id).await.unwrap().unwrap()).clone()
}

/// The record without the numbers that a store gives.
pub fn unnumbered(job: &JobRecord) -> JobRecord {
    job.unnumbered()
}

pub async fn found(store: &dyn JobStore, id: JobId) -> JobRecord {
    (*store.get(id).await.unwrap().unwrap()).clone()
}

pub async fn all(store: &dyn JobStore) -> JobPage {
    store.list(query(|_| {})).await.unwrap()
}

pub fn ids(page: &JobPage) -> Vec<JobId> {
    page.jobs.iter().map(|job| job.id).collect()
}

/// A query that counts.
pub fn query(condition: impl FnOnce(&mut JobQuery)) -> JobQuery {
    let mut query = JobQuery { with_total: true, ..JobQuery::default() };
    condition(&mut query);
    query
}

pub fn prune(condition: impl FnOnce(&mut Prune)) -> Prune {
    let mut prune = Prune::default();
    condition(&mut prune);
    prune
}
