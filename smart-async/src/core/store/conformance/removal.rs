//! Rules about what is removed: by prunes, and where a record is taken back.

use super::helpers::{
    all, ask, at, change, completed, found, ids, inserted, job, large, prune, running, unnumbered,
    whole,
};
use crate::ClientIdentity;
use crate::core::job::{Change, JobEvent, JobFailure, JobId, JobStatus, Prune};
use crate::core::store::{JobStore, StoreError};

/// A job that has not ended is never pruned, and of the ended ones only those that ended early enough.
pub async fn pruning_removes_ended_jobs_only(store: &dyn JobStore) {
    let pending = inserted(store, 0).await;
    let running = running(store, 1).await;
    let waiting = self::running(store, 2).await;
    change(store, waiting, ask("name"), 2).await;
    // They end at 3 and at 11.
    let (old, new) = (completed(store, 2).await, completed(store, 10).await);
    let pruned = store.prune(prune(|prune| prune.ended_before = Some(at(3)))).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (0, 5), "it ended at that time, not before");
    let pruned = store.prune(prune(|prune| prune.ended_before = Some(at(11)))).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 4));
    assert!(store.get(old).await.unwrap().is_none() && store.get(new).await.unwrap().is_some());
    assert_eq!(store.prune(Prune::default()).await.unwrap().removed, 1);
    let left = all(store).await;
    assert_eq!(left.total, Some(3));
    assert!([pending, running, waiting].iter().all(|id| ids(&left).contains(id)));
}

/// Pruning may leave the jobs that ended last, whatever the clock said then, and whenever they were inserted.
pub async fn pruning_keeps_the_newest(store: &dyn JobStore) {
    let long = running(store, 9).await;
    for second in [1, 5, 3] {
        completed(store, second).await;
    }
    change(store, long, JobEvent::Cancel, 2).await;
    let keep = |newest| prune(|prune| prune.keep_newest = newest);
    assert_eq!(store.prune(keep(4)).await.unwrap().removed, 0);
    let pruned = store.prune(keep(2)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (2, 2));
    let left: Vec<_> = all(store).await.jobs.iter().map(|job| job.spec.created_at).collect();
    assert_eq!(left, [at(3), at(9)]);
    assert_eq!(store.prune(keep(1)).await.unwrap().removed, 1);
    assert_eq!(ids(&all(store).await), [long]);
}

/// Pruning may leave as many of the jobs that ended last as fit into so many bytes.
pub async fn pruning_keeps_as_many_of_the_newest_as_fit(store: &dyn JobStore) {
    let mut jobs = Vec::new();
    for second in [1, 5, 3] {
        jobs.push(completed(store, second).await);
    }
    let newest_two = [jobs[2], jobs[1]];
    let mut bytes = 0;
    for id in newest_two {
        bytes += found(store, id).await.stored_bytes();
    }
    let keep = |bytes| prune(|prune| prune.keep_bytes = Some(bytes));
    let pruned = store.prune(keep(bytes)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 2), "two fit exactly");
    assert_eq!(ids(&all(store).await), newest_two);
    let pruned = store.prune(keep(bytes - 1)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 1), "a byte less, and one fits");
    assert_eq!(ids(&all(store).await), newest_two[..1]);
}

/// A large result counts for the bytes that pruning leaves, wherever it is kept.
pub async fn pruning_counts_a_large_result(store: &dyn JobStore) {
    let small = completed(store, 0).await;
    let id = running(store, 1).await;
    let [end, _] = large("a", 2);
    store.update(id, end).await.unwrap();
    let bytes = found(store, id).await.stored_bytes();
    assert!(bytes > 300_000, "{bytes} bytes");
    let both = bytes + found(store, small).await.stored_bytes();
    let keep = |bytes| prune(|prune| prune.keep_bytes = Some(bytes));
    assert_eq!(store.prune(keep(both)).await.unwrap().removed, 0);
    assert_eq!(store.prune(keep(bytes)).await.unwrap().removed, 1);
    assert_eq!(ids(&all(store).await), [id]);
    assert_eq!(store.prune(keep(bytes - 1)).await.unwrap().removed, 1);
}

/// A job that pruning is told to spare stays, and counts among the newest that it leaves.
pub async fn pruning_spares_what_it_is_told_to(store: &dyn JobStore) {
    let mut jobs = Vec::new();
    for second in [1, 3, 5] {
        jobs.push(completed(store, second).await);
    }
    let spare = |keep_newest| {
        prune(|prune| {
            prune.keep_newest = keep_newest;
            prune.spare = vec![jobs[0], jobs[2], JobId::new()];
        })
    };
    let pruned = store.prune(spare(2)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (0, 3));
    let pruned = store.prune(spare(1)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 2));
    assert_eq!(store.prune(spare(0)).await.unwrap().removed, 0);
    assert_eq!(ids(&all(store).await), [jobs[2], jobs[0]]);
}

/// A prune of certain jobs leaves all others alone, and a live one among those that it names.
pub async fn pruning_removes_only_the_jobs_that_it_names(store: &dyn JobStore) {
    let [one, other] = [completed(store, 1).await, completed(store, 2).await];
    let live = running(store, 3).await;
    let named = prune(|prune| prune.jobs = vec![one, live, JobId::new()]);
    let pruned = store.prune(named.clone()).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 2));
    assert_eq!(store.prune(named).await.unwrap().removed, 0);
    assert_eq!(ids(&all(store).await), [live, other]);
}

/// Pruning the jobs of one server leaves the others' alone, and counts what is left of that server's.
pub async fn pruning_keeps_to_its_server_and_counts_there(store: &dyn JobStore) {
    completed(store, 0).await;
    running(store, 1).await;
    let mut theirs = job(store, 2);
    theirs.spec_mut().server = "elsewhere".into();
    let theirs = store.insert(theirs).await.unwrap().id;
    change(store, theirs, JobEvent::Cancel, 3).await;
    let of = |server: &str| prune(|prune| prune.server = Some(server.into()));
    let pruned = store.prune(of("nowhere")).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (0, 0));
    let pruned = store.prune(of("reactor")).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 1));
    assert!(store.get(theirs).await.unwrap().is_some(), "another server's job");
}

/// Pruning the jobs of one client leaves all others alone, and counts what is left of that client's.
pub async fn pruning_keeps_to_its_client_and_counts_there(store: &dyn JobStore) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(ClientIdentity::new);
    let mut jobs = Vec::new();
    for (second, client) in [Some(&alice), Some(&alice), Some(&bob), None].into_iter().enumerate() {
        for ends in [true, false] {
            let mut job = job(store, second as i64);
            job.spec_mut().scope = client.cloned().map(Into::into);
            let id = store.insert(job).await.unwrap().id;
            if ends {
                change(store, id, JobEvent::Cancel, 10 + second as i64).await;
            }
            jobs.push(id);
        }
    }
    let of = |client: &ClientIdentity, keep_newest| {
        prune(|prune| {
            prune.scope = Some(client.clone().into());
            prune.keep_newest = keep_newest;
        })
    };
    let pruned = store.prune(of(&carol, 0)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (0, 0));
    let pruned = store.prune(of(&alice, 2)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (0, 4), "no others count among the newest");
    let pruned = store.prune(of(&alice, 1)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 3));
    let pruned = store.prune(of(&alice, 0)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 2));
    let mut left = ids(&all(store).await);
    let mut expected = [jobs[1], jobs[3], jobs[4], jobs[5], jobs[6], jobs[7]];
    left.sort();
    expected.sort();
    assert_eq!(left, expected, "others keep all of theirs");
}

/// Pruning may be confined to jobs that ended in a certain way.
pub async fn pruning_keeps_to_its_statuses(store: &dyn JobStore) {
    let done = completed(store, 0).await;
    let failed = inserted(store, 1).await;
    change(store, failed, JobEvent::Fail(JobFailure::error("no")), 2).await;
    running(store, 3).await;
    let of = |statuses: &[JobStatus]| prune(|prune| prune.statuses = statuses.to_vec());
    assert_eq!(store.prune(of(&[JobStatus::Running])).await.unwrap().removed, 0);
    let pruned = store.prune(of(&[JobStatus::Failed, JobStatus::Cancelled])).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 2));
    assert!(store.get(failed).await.unwrap().is_none() && store.get(done).await.unwrap().is_some());
}

/// A job that was pruned is in no answer, takes no change, and is pruned once.
pub async fn a_pruned_job_is_gone(store: &dyn JobStore) {
    let id = completed(store, 0).await;
    assert_eq!(store.prune(Prune::default()).await.unwrap().removed, 1);
    assert!(store.get(id).await.unwrap().is_none());
    assert_eq!(all(store).await.total, Some(0));
    let late = store.update(id, Change::new(JobEvent::Progress, at(9))).await;
    assert!(matches!(late, Err(StoreError::NotFound(gone)) if gone == id), "{late:?}");
    assert!(store.get(id).await.unwrap().is_none(), "nothing removed comes back");
    let again = store.prune(Prune::default()).await.unwrap();
    assert_eq!((again.removed, again.remaining), (0, 0));
}

/// A pruned job's result is gone with it, also for a job that takes its id later.
pub async fn a_pruned_result_is_gone(store: &dyn JobStore) {
    let first = job(store, 0);
    for _ in 0..2 {
        let id = store.insert(first.clone()).await.unwrap().id;
        assert!(unnumbered(&whole(store, id).await) == first);
        change(store, id, JobEvent::Start, 1).await;
        let [end, _] = large("a", 2);
        store.update(id, end).await.unwrap();
        assert_eq!(store.prune(Prune::default()).await.unwrap().removed, 1);
        assert!(store.get_with_result(id).await.unwrap().is_none());
    }
}

/// A job that was withdrawn is gone, whatever its state was, and to withdraw what is not there is no error.
pub async fn a_withdrawn_job_was_never_there(store: &dyn JobStore) {
    let other = inserted(store, 0).await;
    let jobs = [
        inserted(store, 1).await,
        running(store, 2).await,
        completed(store, 3).await,
        JobId::new(),
    ];
    for id in jobs {
        store.withdraw(id).await.unwrap();
        store.withdraw(id).await.unwrap();
        assert!(store.get(id).await.unwrap().is_none());
        let late = store.update(id, Change::new(JobEvent::Start, at(9))).await;
        assert!(matches!(late, Err(StoreError::NotFound(_))), "{late:?}");
    }
    assert_eq!(ids(&all(store).await), [other]);
}
