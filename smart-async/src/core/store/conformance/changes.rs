//! Rules about changes: one after the other, refused where the state forbids them, never after an end.

use futures_util::future::join_all;
use futures_util::{FutureExt, join};

use super::helpers::{
    all, answer, ask, at, change, completed, found, inserted, job, large, progress, running,
    unnumbered, whole,
};
use crate::core::job::{Change, JobEvent, JobFailure, JobId, JobOutput, JobStatus};
use crate::core::store::{JobStore, StoreError};

/// A change is applied to what the change before it made.
pub async fn a_change_sees_the_one_before(store: &dyn JobStore) {
    let id = running(store, 0).await;
    let told = Change::new(JobEvent::Progress, at(2)).with_progress(progress(1));
    store.update(id, told).await.unwrap();
    let asked = change(store, id, JobEvent::RequestCancel, 3).await;
    assert!(asked.cancel_requested && asked.progress == progress(1) && asked.updated_at == at(3));
}

/// A change answers with the record that [`JobRecord::apply`](crate::core::job::JobRecord::apply) makes, but for its numbers, and that record is
/// there from then on.
pub async fn a_change_answers_with_the_record_as_it_is_then(store: &dyn JobStore) {
    let mut expected = job(store, 0);
    let id = expected.id;
    store.insert(expected.clone()).await.unwrap();
    let events = [
        JobEvent::RequestCancel,
        JobEvent::Start,
        JobEvent::Progress,
        ask("name"),
        ask("size"),
        answer("name"),
        JobEvent::GiveUp("size".into()),
        JobEvent::Complete(JobOutput::new("done")),
    ];
    for (step, event) in (1_i32..).zip(events) {
        let change = Change::new(event, at(step.into())).with_progress(progress(step));
        expected = expected.apply(change.clone()).unwrap();
        let name = change.event.name();
        let answer = store.update(id, change).await.unwrap();
        assert!(unnumbered(&answer) == expected, "{name}: the answer");
        assert!(found(store, id).await == *answer, "{name}: what is there");
        assert!(all(store).await.jobs[0] == answer, "{name}: what is listed");
    }
}

/// A change to a job that is not there is refused, and makes none.
pub async fn a_change_to_an_unknown_job_is_refused(store: &dyn JobStore) {
    let id = JobId::new();
    let refused = store.update(id, Change::new(JobEvent::Start, at(0))).await;
    assert!(matches!(refused, Err(StoreError::NotFound(unknown)) if unknown == id), "{refused:?}");
    assert!(store.get(id).await.unwrap().is_none());
}

/// A change that the job's state does not allow is refused as [`JobRecord::apply`](crate::core::job::JobRecord::apply) refuses it, and changes nothing, its
/// progress included.
pub async fn a_change_that_the_state_forbids_changes_nothing(store: &dyn JobStore) {
    let pending = inserted(store, 0).await;
    let running = running(store, 1).await;
    let waiting = self::running(store, 2).await;
    change(store, waiting, ask("name"), 3).await;
    for id in [pending, running, waiting, completed(store, 4).await] {
        for event in [
            JobEvent::Start,
            JobEvent::Progress,
            ask("name"),
            answer("name"),
            JobEvent::Complete(JobOutput::new(1)),
        ] {
            let before = found(store, id).await;
            let change = Change::new(event, at(9)).with_progress(progress(9));
            let Err(reason) = before.apply(change.clone()) else { continue };
            let refused = store.update(id, change).await;
            assert!(
                matches!(refused, Err(StoreError::Illegal { id: named, source }) if named == id && crate::core::job::Refusal::Illegal(source) == reason),
                "{reason}: {refused:?}"
            );
            assert!(found(store, id).await == before, "{reason}, and yet something changed");
        }
    }
}

/// Nothing happens to a job that has ended, however it ended.
pub async fn a_terminal_job_changes_no_more(store: &dyn JobStore) {
    for end in [
        JobEvent::Complete(JobOutput::new(1)),
        JobEvent::Fail(JobFailure::error("no")),
        JobEvent::Cancel,
    ] {
        let id = running(store, 0).await;
        change(store, id, end, 1).await;
        let before = found(store, id).await;
        for event in [
            JobEvent::Start,
            JobEvent::Progress,
            ask("name"),
            answer("name"),
            JobEvent::RequestCancel,
            JobEvent::Complete(JobOutput::new(2)),
            JobEvent::Fail(JobFailure::error("late")),
            JobEvent::Cancel,
        ] {
            let refused = store.update(id, Change::new(event, at(9))).await;
            assert!(matches!(refused, Err(StoreError::Illegal { .. })), "{refused:?}");
        }
        assert!(found(store, id).await == before);
    }
}

/// Progress that comes after the end is refused, and the last value before the end stays.
pub async fn late_progress_is_refused(store: &dyn JobStore) {
    let id = running(store, 0).await;
    let end = Change::new(JobEvent::Complete(JobOutput::new(1)), at(2)).with_progress(progress(7));
    store.update(id, end).await.unwrap();
    let late = Change::new(JobEvent::Progress, at(3)).with_progress(progress(8));
    let refused = store.update(id, late).await;
    assert!(matches!(refused, Err(StoreError::Illegal { .. })), "{refused:?}");
    let kept = found(store, id).await;
    assert!(kept.progress == progress(7) && kept.updated_at == at(2));
}

/// Of two ends at the same time one is the job's, and the other is refused.
pub async fn of_two_ends_at_once_one_is_refused(store: &dyn JobStore) {
    for _ in 0..20 {
        let id = running(store, 0).await;
        let complete = Change::new(JobEvent::Complete(JobOutput::new("done")), at(1));
        let fail = Change::new(JobEvent::Fail(JobFailure::error("no")), at(2));
        let cancel = Change::new(JobEvent::Cancel, at(3));
        let ends = [complete, fail, cancel].map(|end| store.update(id, end));
        let (made, refused): (Vec<_>, Vec<_>) =
            join_all(ends).await.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (1, 2), "one end is the job's");
        assert!(refused.iter().all(|end| matches!(end, Err(StoreError::Illegal { .. }))));
        assert!(made[0].as_ref().is_ok_and(|made| made.status().is_terminal()));
        let found = store.get(id).await.unwrap().unwrap();
        assert!(made[0].as_ref().is_ok_and(|made| *made == found), "the end that was told of");
    }
}

/// An end that is refused changes nothing of the first one's result, however large either is.
pub async fn a_second_end_leaves_a_large_result_alone(store: &dyn JobStore) {
    for first in large("a", 1) {
        let id = running(store, 0).await;
        store.update(id, first).await.unwrap();
        let before = whole(store, id).await;
        let [second, third] = large("b", 2);
        let small = Change::new(JobEvent::Complete(JobOutput::new("b")), at(3));
        for again in [second, third, small] {
            let refused = store.update(id, again).await;
            assert!(matches!(refused, Err(StoreError::Illegal { .. })), "{refused:?}");
        }
        let again = store.insert(before.clone()).await;
        assert!(matches!(again, Err(StoreError::Duplicate(_))), "{again:?}");
        assert!(whole(store, id).await == before);
    }
}

/// Of two large results at the same time one is the job's, and it is the one that was told of.
pub async fn of_two_large_results_at_once_one_is_kept(store: &dyn JobStore) {
    for _ in 0..5 {
        let id = running(store, 0).await;
        let before = found(store, id).await;
        let [one, _] = large("a", 1);
        let [two, _] = large("b", 2);
        let expected = [&one, &two].map(|end| before.apply(end.clone()).unwrap());
        let (one, two) = join!(store.update(id, one), store.update(id, two));
        let kept = match (&one, &two) {
            (Ok(_), Err(_)) => &expected[0],
            (Err(_), Ok(_)) => &expected[1],
            _ => panic!("one end is the job's: {one:?}, {two:?}"),
        };
        assert!(unnumbered(&whole(store, id).await) == unnumbered(kept));
    }
}

/// Two changes at the same time are applied one after the other: the second sees the first, and neither undoes the
/// other.
pub async fn two_changes_at_once_are_applied_one_after_the_other(store: &dyn JobStore) {
    for _ in 0..20 {
        let id = running(store, 0).await;
        let told = Change::new(JobEvent::Progress, at(1)).with_progress(progress(1));
        let request = Change::new(JobEvent::RequestCancel, at(1));
        let (told, asked, waiting) = join!(
            store.update(id, told),
            store.update(id, request),
            store.update(id, Change::new(ask("name"), at(1)))
        );
        assert!(told.is_ok() && asked.is_ok() && waiting.is_ok());
        let now = found(store, id).await;
        assert!(now.progress == progress(1), "the progress was undone");
        assert!(now.cancel_requested, "the request to cancel was undone");
        assert_eq!(now.status(), JobStatus::InputRequired, "the question was undone");
    }
}

/// A caller that stops waiting for a change leaves a record that has all of it or nothing, and a store that works.
pub async fn a_change_whose_caller_leaves_is_made_whole_or_not_at_all(store: &dyn JobStore) {
    for second in 0..20 {
        let id = running(store, second).await;
        let before = found(store, id).await;
        let end = Change::new(JobEvent::Complete(JobOutput::new("done")), at(second + 1))
            .with_progress(progress(100));
        let after = before.apply(end.clone()).unwrap();
        // Asked once for its answer, and then dropped.
        let _ = store.update(id, end).now_or_never();
        // A change to another job, so that what was handed in before has had its turn.
        inserted(store, second).await;
        let now = found(store, id).await;
        let is_after = unnumbered(&now) == unnumbered(&after) && now.end_sequence > 0;
        assert!(now == before || is_after, "a change was made in part");
    }
}
