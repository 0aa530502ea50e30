//! Rules about owners and many callers: whose jobs are abandoned, and that nothing is lost between them.

use futures_util::future::join_all;

use super::helpers::{all, at, change, completed, ids, inserted, job, running};
use crate::core::job::{
    Change, ClaimToken, FailureKind, JobEvent, JobFailure, JobId, JobStatus, OwnerId,
};
use crate::core::store::{JobStore, StoreError};

/// The jobs of this process are not abandoned, and those without an owner are.
pub async fn ones_own_jobs_are_not_abandoned(store: &dyn JobStore) {
    inserted(store, 0).await;
    running(store, 1).await;
    let mut unowned = job(store, 2);
    unowned.owner = None;
    store.insert(unowned.clone()).await.unwrap();
    assert_eq!(abandoned(store, "reactor").await, [unowned.id]);
    assert!(abandoned(store, "elsewhere").await.is_empty());
}

/// The jobs of an owner that lives no more are abandoned, in whatever state they are, until a process ends them.
pub async fn jobs_of_the_dead_are_abandoned_until_they_end(store: &dyn JobStore) {
    let dead = OwnerId::new();
    let mut left = Vec::new();
    for event in [None, Some(JobEvent::Start)] {
        let mut theirs = job(store, 0);
        theirs.owner = Some(dead);
        let id = store.insert(theirs).await.unwrap().id;
        if let Some(event) = event {
            change(store, id, event, 1).await;
        }
        left.push(id);
    }
    left.sort();
    assert_eq!(abandoned(store, "reactor").await, left);
    for id in left {
        let interrupted = JobFailure::new(FailureKind::Interrupted, "its server is gone");
        change(store, id, JobEvent::Fail(interrupted), 2).await;
    }
    assert!(abandoned(store, "reactor").await.is_empty());
}

/// Abandoned work that may run again is taken on by one process, and a change that was meant for its former owner's run is
/// refused from then on.
pub async fn abandoned_work_is_taken_on_once(store: &dyn JobStore) {
    let dead = Some(OwnerId::new());
    let mut left = job(store, 0);
    left.owner = dead;
    left.spec_mut().max_reruns = Some(1);
    let id = store.insert(left).await.unwrap().id;
    change(store, id, JobEvent::Start, 1).await;
    let interrupted = || {
        let failure = JobFailure::new(FailureKind::Interrupted, "its server is gone");
        Change::new(JobEvent::Interrupt(failure), at(2)).owned_by(dead)
    };
    let waiting = store.update(id, interrupted()).await.unwrap();
    assert!(waiting.waits_for_server() && waiting.attempt == 2, "{waiting:?}");
    assert_eq!(abandoned(store, "reactor").await, [id]);

    let claim =
        || store.update(id, Change::new(JobEvent::Claim(store.owner(), ClaimToken::new()), at(3)));
    let claims = join_all([claim(), claim()]).await;
    assert_eq!(claims.iter().filter(|claimed| claimed.is_ok()).count(), 1);
    let late = store.update(id, interrupted()).await;
    assert!(matches!(late, Err(StoreError::NotOwner(named)) if named == id), "{late:?}");
    let taken = store.get(id).await.unwrap().unwrap();
    assert_eq!((taken.owner, taken.status()), (Some(store.owner()), JobStatus::Pending));
    assert!(abandoned(store, "reactor").await.is_empty());
}

async fn abandoned(store: &dyn JobStore, server: &str) -> Vec<JobId> {
    let mut abandoned: Vec<_> =
        store.abandoned(Some(server.to_owned())).await.unwrap().iter().map(|job| job.id).collect();
    abandoned.sort();
    abandoned
}

/// All jobs that many callers write at the same time are there.
pub async fn many_writers_lose_nothing(store: &dyn JobStore) {
    let mut written = join_all((0..50).map(|second| completed(store, second))).await;
    let mut listed = ids(&all(store).await);
    written.sort();
    listed.sort();
    assert_eq!(written, listed);
}

/// The name under which a process marks its jobs is the same as long as it has the store.
pub async fn the_owner_keeps_its_name(store: &dyn JobStore) {
    let name = store.owner();
    inserted(store, 0).await;
    assert_eq!(store.owner(), name);
}

/// Closing a store that is closed is no error.
pub async fn closing_twice_is_no_error(store: &dyn JobStore) {
    completed(store, 0).await;
    store.close().await.unwrap();
    store.close().await.unwrap();
}
