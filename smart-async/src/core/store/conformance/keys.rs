//! Rules about idempotency keys: which of two jobs has a key, and for how long.

use super::helpers::{all, at, change, ids, job, prune};
use crate::core::job::{
    FailureKind, IdempotencyKey, JobEvent, JobFailure, JobId, JobOutput, JobRecord, JobSpec,
    PendingReason,
};
use crate::core::store::{JobStore, StoreError};

/// A job that has this key for an hour, by the store's clock.
fn keyed(store: &dyn JobStore, hash: &str) -> JobRecord {
    let mut job = job(store, 0);
    let until = store.now() + std::time::Duration::from_secs(3600);
    job.spec_mut().idempotency =
        Some(IdempotencyKey::new(hash.to_owned(), "of none".into(), until));
    job
}

/// A call that is no job, with this key.
fn call(store: &dyn JobStore, hash: &str) -> JobRecord {
    let mut call = keyed(store, hash);
    call.call_open = true;
    call
}

async fn refused(store: &dyn JobStore, job: JobRecord, holder: JobId) {
    match store.insert(job).await {
        Err(StoreError::KeyTaken(id)) => assert_eq!(id, holder),
        other => panic!("{other:?}"),
    }
}

fn complete() -> JobEvent {
    JobEvent::Complete(JobOutput::new("receipt"))
}

/// A key is given to one job, however that one ends and whether it is listed; others have theirs, and an id that is there counts first.
pub async fn a_key_is_given_to_one_job(store: &dyn JobStore) {
    for (hash, end) in [
        ("a", complete()),
        ("b", JobEvent::Fail(JobFailure::error("no"))),
        ("c", JobEvent::Cancel),
        ("d", JobEvent::Fail(JobFailure::new(FailureKind::Interrupted, "its server died"))),
    ] {
        let first = store.insert(keyed(store, hash)).await.unwrap();
        refused(store, keyed(store, hash), first.id).await;
        assert!(matches!(
            store.insert((*first).clone()).await,
            Err(StoreError::Duplicate(id)) if id == first.id
        ));
        change(store, first.id, JobEvent::Start, 1).await;
        refused(store, call(store, hash), first.id).await;
        change(store, first.id, end, 2).await;
        refused(store, keyed(store, hash), first.id).await;
    }
    assert_eq!(all(store).await.total, Some(4));
}

/// Of two jobs with one key that come at once, one is kept.
pub async fn of_two_jobs_at_once_one_gets_the_key(store: &dyn JobStore) {
    for round in 0..10 {
        let hash = round.to_string();
        let (one, other) = (keyed(store, &hash), call(store, &hash));
        let kept = tokio::join!(store.insert(one), store.insert(other));
        assert!(kept.0.is_ok() != kept.1.is_ok(), "{kept:?}");
    }
}

/// The answer of a call that ended inline is kept for its key, in no list and no count, and no prune removes it.
pub async fn the_answer_of_a_call_is_kept_for_its_key(store: &dyn JobStore) {
    let open = store.insert(call(store, "a")).await.unwrap().id;
    let ended = change(store, open, complete(), 1).await;
    assert!(ended.call_open && ended.status().is_terminal());
    refused(store, keyed(store, "a"), open).await;
    assert_eq!(all(store).await.total, Some(0));
    let pruned = store.prune(prune(|_| {})).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (0, 0));
    assert_eq!(*store.get(open).await.unwrap().unwrap(), *ended);
    assert!(store.abandoned(None).await.unwrap().is_empty());
    store.withdraw(open).await.unwrap();
    store.insert(keyed(store, "a")).await.unwrap();
}

/// A key whose time is over is given to the next job; a call that had it is gone then. One that has not ended keeps it.
pub async fn a_key_is_free_when_its_time_is_over(store: &dyn JobStore) {
    let over = |mut job: JobRecord| {
        if let Some(key) = &mut job.spec_mut().idempotency {
            key.until = at(0) - std::time::Duration::from_secs(1_000_000_000);
        }
        job
    };
    let first = store.insert(over(call(store, "a"))).await.unwrap().id;
    refused(store, keyed(store, "a"), first).await;
    change(store, first, complete(), 1).await;
    let second = store.insert(over(keyed(store, "a"))).await.unwrap().id;
    assert_eq!(store.get(first).await.unwrap(), None);
    change(store, second, JobEvent::Cancel, 1).await;
    let third = store.insert(keyed(store, "a")).await.unwrap().id;
    assert_eq!(ids(&all(store).await), [third, second], "a job stays until it is pruned");
    store.prune(prune(|_| {})).await.unwrap();
    refused(store, keyed(store, "a"), third).await;
}

/// An interrupted job whose work may run again, or never began, leaves its key to the next one.
pub async fn an_interrupted_job_leaves_its_key_where_its_work_may_run_again(store: &dyn JobStore) {
    let interrupted = || JobFailure::new(FailureKind::Interrupted, "its server died");
    let rerun = |spec: &mut JobSpec| spec.max_reruns = Some(0);
    let mut may_rerun = call(store, "a");
    rerun(may_rerun.spec_mut());
    let first = store.insert(may_rerun).await.unwrap().id;
    let ended = change(store, first, JobEvent::Interrupt(interrupted()), 1).await;
    assert!(ended.status().is_terminal(), "a call is made again by its caller alone");
    store.insert(keyed(store, "a")).await.unwrap();

    let never_began = store.insert(keyed(store, "b")).await.unwrap().id;
    change(store, never_began, JobEvent::Fail(interrupted()), 1).await;
    let next = store.insert(keyed(store, "b")).await.unwrap();
    refused(store, keyed(store, "b"), next.id).await;

    let mut waits = keyed(store, "c");
    (waits.owner, waits.spec_mut().max_reruns) = (None, Some(1));
    waits.state = crate::core::job::JobState::Pending { reason: PendingReason::WaitingForServer };
    let waits = store.insert(waits).await.unwrap().id;
    refused(store, keyed(store, "c"), waits).await;
}

/// A prune that is told so spares the jobs whose keys are kept, and counts them not among those that stay.
pub async fn pruning_spares_the_keys_that_are_kept(store: &dyn JobStore) {
    let mut kept = Vec::new();
    for hash in ["a", "b"] {
        let id = store.insert(keyed(store, hash)).await.unwrap().id;
        change(store, id, JobEvent::Cancel, 1).await;
        kept.insert(0, id);
    }
    let plain = super::helpers::completed(store, 2).await;
    let spare = |keep_newest| {
        prune(|prune| (prune.spare_keys_at, prune.keep_newest) = (Some(store.now()), keep_newest))
    };
    assert_eq!(store.prune(spare(1)).await.unwrap().removed, 0);
    assert_eq!(store.prune(spare(0)).await.unwrap().removed, 1);
    assert_eq!(store.get(plain).await.unwrap(), None);
    assert_eq!(ids(&all(store).await), kept);
    assert_eq!(store.prune(prune(|_| {})).await.unwrap().removed, 2);
    store.insert(keyed(store, "a")).await.unwrap();
}
