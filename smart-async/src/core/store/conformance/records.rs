//! Rules about what is kept: new jobs, everything in a record, results of any size.

use std::sync::Arc;

use futures_util::join;
use serde_json::{Value, json};

use super::helpers::{
    all, at, change, completed, found, ids, inserted, job, large, running, unnumbered, whole,
};
use crate::ClientIdentity;
use crate::core::job::{
    Change, FailureKind, JobEvent, JobFailure, JobId, JobOutput, Progress, ResultLocation,
};
use crate::core::store::{JobStore, StoreError};

/// A job that was inserted is there, as it was given, and with its number.
pub async fn a_job_that_was_inserted_is_there(store: &dyn JobStore) {
    let job = job(store, 0);
    let answer = store.insert(job.clone()).await.unwrap();
    assert!(unnumbered(&answer) == job, "the answer is the job");
    assert!(answer.sequence > 0 && answer.end_sequence == 0);
    assert!(found(store, job.id).await == *answer);
    assert_eq!(ids(&all(store).await), [job.id]);
}

/// Asking for a job that never was is no error: it is not there.
pub async fn an_unknown_job_is_not_there(store: &dyn JobStore) {
    assert!(store.get(JobId::new()).await.unwrap().is_none());
    inserted(store, 0).await;
    assert!(store.get(JobId::new()).await.unwrap().is_none());
}

/// Whatever a record holds is read back the same: texts of any kind, absent and null values, unknown fields.
pub async fn everything_in_a_record_is_kept(store: &dyn JobStore) {
    let text = "\u{0}\n\r\t\"\\ {}[] \u{2028}\u{feff} ünïcödé 🦀 </script>";
    let mut given = job(store, 0);
    given.spec_mut().label = text.to_owned();
    given.spec_mut().session = Some(String::new());
    given.spec_mut().scope = Some(ClientIdentity::new(text).into());
    given.spec_mut().tags.insert(text.to_owned(), text.to_owned());
    given.spec_mut().tags.insert(String::new(), String::new());
    given.attempt = u32::MAX;
    given.progress = Some(Progress::new(0.5, None, Some(text.to_owned())));
    given.unknown_fields.insert("of a later version".to_owned(), json!({"deep": [null, 1.5, {}]}));
    store.insert(given.clone()).await.unwrap();
    assert!(unnumbered(&found(store, given.id).await) == given);
    change(store, given.id, JobEvent::Start, 1).await;

    let value =
        json!({"text": text, "numbers": [u64::MAX, i64::MIN, 0.1, -0.0, 1e300], "none": null});
    let mut output = JobOutput::new(value.clone()).with_metadata(text, value.clone());
    output.tool_result = Some(json!({"content": [], "isError": false}));
    let mut failure =
        JobFailure::new(FailureKind::from("a kind of a later version"), text).with_details(value);
    failure.exit_code = Some(i32::MIN);
    failure.rpc_code = Some(i64::MIN);
    failure.tool_result = Some(Box::new(json!({"isError": true})));
    for event in [
        JobEvent::Complete(output),
        JobEvent::Complete(JobOutput::new(Value::Null)),
        JobEvent::Fail(failure),
        JobEvent::Fail(JobFailure::error("")),
        JobEvent::Cancel,
    ] {
        let mut next = given.clone();
        next.id = JobId::new();
        store.insert(next.clone()).await.unwrap();
        change(store, next.id, JobEvent::Start, 1).await;
        let ended = change(store, next.id, event.clone(), 2).await;
        let expected = next.apply(Change::new(JobEvent::Start, at(1))).unwrap();
        let expected = expected.apply(Change::new(event.clone(), at(2))).unwrap();
        assert!(unnumbered(&ended) == expected, "{}", event.name());
        assert!(found(store, next.id).await == *ended, "{}", event.name());
    }
}

/// The outcome of a job comes back the same, however large it is, also where a job is inserted that has ended. A record
/// that lacks it says so.
pub async fn a_large_result_comes_back_whole(store: &dyn JobStore) {
    for end in large("ä", 2) {
        let id = running(store, 0).await;
        let expected = found(store, id).await.apply(end.clone()).unwrap();
        let mut inserted = expected.clone();
        inserted.id = JobId::new();
        let told = store.update(id, end.with_progress(None)).await.unwrap();
        store.insert(inserted.clone()).await.unwrap();
        for expected in [&expected, &inserted] {
            assert!(unnumbered(&whole(store, expected.id).await) == unnumbered(expected));
            let mut listed = all(store).await.jobs;
            listed.retain(|job| job.id == expected.id);
            for lacking in [&told, &store.get(expected.id).await.unwrap().unwrap(), &listed[0]] {
                let is_whole = lacking.result_location == ResultLocation::InRecord;
                assert!(!is_whole || lacking.state == expected.state, "it lacks its result");
                assert_eq!(lacking.status(), expected.status());
            }
        }
    }
    let small = completed(store, 3).await;
    assert!(whole(store, small).await == found(store, small).await);
    assert!(store.get_with_result(JobId::new()).await.unwrap().is_none());
}

/// Inserting an id that is there already is refused, and the first job stays as it is.
pub async fn an_id_is_given_once(store: &dyn JobStore) {
    let job = job(store, 0);
    store.insert(job.clone()).await.unwrap();
    change(store, job.id, JobEvent::Start, 1).await;
    let first = found(store, job.id).await;
    let mut other = job.clone();
    other.spec_mut().label = "another".to_owned();
    for again in [job.clone(), other] {
        let again = store.insert(again).await;
        assert!(matches!(again, Err(StoreError::Duplicate(id)) if id == job.id), "{again:?}");
    }
    assert!(found(store, job.id).await == first, "the first one stays as it is");
    assert_eq!(all(store).await.total, Some(1));
}

/// Of two jobs that are inserted under one id at the same time, one is kept and the other refused.
pub async fn of_two_inserts_at_once_one_is_refused(store: &dyn JobStore) {
    let mut one = job(store, 0);
    one.spec_mut().label = "one".to_owned();
    let mut two = one.clone();
    two.spec_mut().label = "two".to_owned();
    let id = one.id;
    let (one, two) = join!(store.insert(one), store.insert(two));
    let (kept, refused) = match (one, two) {
        (Ok(kept), Err(refused)) | (Err(refused), Ok(kept)) => (kept, Some(refused)),
        (Ok(kept), Ok(_)) => (kept, None),
        (Err(refused), Err(_)) => (Arc::new(job(store, 1)), Some(refused)),
    };
    assert!(matches!(refused, Some(StoreError::Duplicate(twice)) if twice == id), "{refused:?}");
    assert!(found(store, id).await == *kept);
}
