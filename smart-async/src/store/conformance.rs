//! The rules that every store keeps, as tests that any store can run (feature `conformance`).
//!
//! Each rule is a function whose name says the rule. It gets a store that is empty and that nobody else uses, and
//! panics where the store breaks the rule. What only some stores promise (to survive a crash, to be shared by several
//! processes) is not here.
//!
//! For a store of your own, one test a rule:
//!
//! ```
//! # use smart_async::store::MemoryStore as MyStore;
//! # fn main() {}
//! mod my_store {
//!     smart_async::conformance_tests!(|| async { super::MyStore::new() });
//! }
//! ```
//!
//! or all of them in a row:
//!
//! ```
//! # use smart_async::store::MemoryStore as MyStore;
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! smart_async::store::conformance::run_all(|| async { MyStore::new() }).await;
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A store that needs something beside it for as long as it is in use, such as a temporary folder, is made as a pair:
//! `|| async { (MyStore::open(folder.path()), folder) }`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a store is told that it breaks a rule"
)]

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{FutureExt, join};
use serde_json::{Map, Value, json};

use super::{HydratedState, JobStore, StoreError};
use crate::job::{
    Change, FailureKind, JobEvent, JobFailure, JobId, JobOutput, JobPage, JobQuery, JobRecord,
    JobStatus, OwnerId, Progress, Prune, Rerun, ResultKept, StateName, Timestamp,
};

/// A store to be tested, with what has to stay for as long as it is in use.
pub trait Subject {
    /// The store.
    fn store(&self) -> &dyn JobStore;
}

impl<S: JobStore> Subject for S {
    fn store(&self) -> &dyn JobStore {
        self
    }
}

/// A store, and what is dropped after it.
impl<S: JobStore, G> Subject for (S, G) {
    fn store(&self) -> &dyn JobStore {
        &self.0
    }
}

/// Hands the names of all rules to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_rules {
    ($then:path $(, $argument:expr)?) => {
        $then! {
            $($argument,)?
            a_job_that_was_inserted_is_there
            an_unknown_job_is_not_there
            everything_in_a_record_is_kept
            a_large_result_comes_back_whole
            an_id_is_given_once
            of_two_inserts_at_once_one_is_refused
            a_change_sees_the_one_before
            a_change_answers_with_the_record_as_it_is_then
            a_change_to_an_unknown_job_is_refused
            a_change_that_the_state_forbids_changes_nothing
            a_terminal_job_changes_no_more
            late_progress_is_refused
            of_two_ends_at_once_one_is_refused
            a_second_end_leaves_a_large_result_alone
            of_two_large_results_at_once_one_is_kept
            two_changes_at_once_are_applied_one_after_the_other
            a_change_whose_caller_leaves_is_made_whole_or_not_at_all
            jobs_are_listed_newest_first_and_counted_before_the_limit
            jobs_of_the_same_age_keep_their_order
            a_limit_of_zero_lists_nothing_and_counts
            a_query_finds_by_everything_it_names
            conditions_of_a_query_hold_together
            pruning_removes_ended_jobs_only
            pruning_keeps_the_newest
            pruning_keeps_as_many_of_the_newest_as_fit
            pruning_counts_a_large_result
            pruning_spares_what_it_is_told_to
            pruning_keeps_to_its_server_and_counts_there
            pruning_keeps_to_its_statuses
            a_pruned_job_is_gone
            a_pruned_result_is_gone
            a_withdrawn_job_was_never_there
            ones_own_jobs_are_not_abandoned
            jobs_of_the_dead_are_abandoned_until_they_end
            abandoned_work_is_taken_on_once
            a_state_that_never_was_put_has_no_value
            everything_in_a_state_is_kept
            a_state_that_has_not_changed_is_the_same_one
            a_completion_is_put_once
            the_later_completion_stands_whoever_comes_first
            of_completions_of_one_moment_the_greater_id_stands
            a_completion_from_the_future_gives_way
            of_two_completions_at_once_the_later_one_stands
            a_state_stays_when_its_job_is_removed
            many_writers_lose_nothing
            the_owner_keeps_its_name
            closing_twice_is_no_error
        }
    };
}

/// One `#[tokio::test]` for each rule, named as the rule, in the module where it stands.
///
/// The argument is a closure that makes an empty store, as for [`run_all`](crate::store::conformance::run_all). The
/// crate needs `tokio` with its features `macros` and `rt`.
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr $(,)?) => {
        $crate::__conformance_rules! { $crate::__conformance_tests, $make }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($make:expr, $($rule:ident)*) => {
        /// The subject of each test.
        async fn conformance_subject() -> impl $crate::store::conformance::Subject {
            ($make)().await
        }

        $(
            #[tokio::test]
            async fn $rule() {
                let subject = conformance_subject().await;
                let store = $crate::store::conformance::Subject::store(&subject);
                $crate::store::conformance::$rule(store).await;
            }
        )*
    };
}

macro_rules! names {
    ($($rule:ident)*) => {
        /// The name of each rule.
        pub const RULES: &[&str] = &[$(stringify!($rule)),*];
    };
}
__conformance_rules!(names);

/// Runs every rule, each on a store of its own that `make` makes.
///
/// # Panics
/// Where the store breaks a rule; the panic's place is in the function that is named as the rule.
pub async fn run_all<S: Subject, F: Future<Output = S>>(make: impl Fn() -> F) {
    macro_rules! run {
        ($($rule:ident)*) => {$(
            // Boxed, so that the future of the whole is not as large as all of them.
            Box::pin($rule(make().await.store())).await;
        )*};
    }
    __conformance_rules!(run);
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn job(store: &dyn JobStore, second: i64) -> JobRecord {
    let mut job = JobRecord::pending(JobId::new(), "simulate", "reactor", at(second));
    job.owner = Some(store.owner());
    job
}

fn progress(current: i32) -> Option<Progress> {
    Some(Progress::new(f64::from(current), Some(100.0), Some(format!("step {current}"))))
}

async fn inserted(store: &dyn JobStore, second: i64) -> JobId {
    store.insert(job(store, second)).await.unwrap().id
}

async fn change(store: &dyn JobStore, id: JobId, event: JobEvent, second: i64) -> Arc<JobRecord> {
    store.update(id, Change::new(event, at(second))).await.unwrap()
}

async fn running(store: &dyn JobStore, second: i64) -> JobId {
    let id = inserted(store, second).await;
    change(store, id, JobEvent::Start, second).await;
    id
}

async fn completed(store: &dyn JobStore, second: i64) -> JobId {
    let id = running(store, second).await;
    change(store, id, JobEvent::Complete(JobOutput::new(second)), second + 1).await;
    id
}

/// An end with more than a store may want to have in a record, and with everything that an end may have.
fn large(text: &str, second: i64) -> [Change; 2] {
    let value = json!({"text": text.repeat(100_000), "none": null});
    let mut output = JobOutput::new(value.clone()).with_metadata("of", value.clone());
    output.tool_result = Some(json!({"content": [value.clone()]}));
    let mut failure = JobFailure::error("no").with_details(value.clone());
    failure.tool_result = Some(Box::new(value));
    [JobEvent::Complete(output), JobEvent::Fail(failure)].map(|end| Change::new(end, at(second)))
}

async fn whole(store: &dyn JobStore, id: JobId) -> JobRecord {
    (*store.get_with_result(id).await.unwrap().unwrap()).clone()
}

async fn found(store: &dyn JobStore, id: JobId) -> JobRecord {
    (*store.get(id).await.unwrap().unwrap()).clone()
}

async fn all(store: &dyn JobStore) -> JobPage {
    store.list(JobQuery::default()).await.unwrap()
}

fn ids(page: &JobPage) -> Vec<JobId> {
    page.jobs.iter().map(|job| job.id).collect()
}

fn query(condition: impl FnOnce(&mut JobQuery)) -> JobQuery {
    let mut query = JobQuery::default();
    condition(&mut query);
    query
}

fn prune(condition: impl FnOnce(&mut Prune)) -> Prune {
    let mut prune = Prune::default();
    condition(&mut prune);
    prune
}

/// A job that was inserted is there, as it was given.
pub async fn a_job_that_was_inserted_is_there(store: &dyn JobStore) {
    let job = job(store, 0);
    let answer = store.insert(job.clone()).await.unwrap();
    assert!(*answer == job, "the answer is the job");
    assert!(found(store, job.id).await == job);
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
    given.label = text.to_owned();
    given.session = Some(String::new());
    given.tags.insert(text.to_owned(), text.to_owned());
    given.tags.insert(String::new(), String::new());
    given.attempt = u32::MAX;
    given.progress = Some(Progress::new(0.5, None, Some(text.to_owned())));
    given.unknown_fields.insert("of a later version".to_owned(), json!({"deep": [null, 1.5, {}]}));
    store.insert(given.clone()).await.unwrap();
    assert!(found(store, given.id).await == given);
    change(store, given.id, JobEvent::Start, 1).await;

    let value =
        json!({"text": text, "numbers": [u64::MAX, i64::MIN, 0.1, -0.0, 1e300], "none": null});
    let mut output = JobOutput::new(value.clone()).with_metadata(text, value.clone());
    output.tool_result = Some(json!({"content": [], "isError": false}));
    let mut failure =
        JobFailure::new(FailureKind::from("a kind of a later version"), text).with_details(value);
    failure.code = Some(i64::MIN);
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
        assert!(*ended == expected && found(store, next.id).await == expected, "{}", event.name());
    }
}

/// What a job ends with comes back the same, however large it is, also where a job is inserted that has ended. A record
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
            assert!(whole(store, expected.id).await == *expected);
            let mut listed = all(store).await.jobs;
            listed.retain(|job| job.id == expected.id);
            for lacking in [&told, &store.get(expected.id).await.unwrap().unwrap(), &listed[0]] {
                let is_whole = lacking.result_kept == ResultKept::InRecord;
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
    other.label = "another".to_owned();
    for again in [job.clone(), other] {
        let again = store.insert(again).await;
        assert!(matches!(again, Err(StoreError::Duplicate(id)) if id == job.id), "{again:?}");
    }
    assert!(found(store, job.id).await == first, "the first one stays as it is");
    assert_eq!(all(store).await.total, 1);
}

/// Of two jobs that are inserted under one id at the same time, one is kept and the other refused.
pub async fn of_two_inserts_at_once_one_is_refused(store: &dyn JobStore) {
    let mut one = job(store, 0);
    one.label = "one".to_owned();
    let mut two = one.clone();
    two.label = "two".to_owned();
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

/// A change is applied to what the change before it made.
pub async fn a_change_sees_the_one_before(store: &dyn JobStore) {
    let id = running(store, 0).await;
    let told = Change::new(JobEvent::Progress, at(2)).with_progress(progress(1));
    store.update(id, told).await.unwrap();
    let asked = change(store, id, JobEvent::RequestCancel, 3).await;
    assert!(asked.cancel_requested && asked.progress == progress(1) && asked.updated_at == at(3));
}

/// A change answers with the record that [`JobRecord::apply`] makes, and that record is there from then on.
pub async fn a_change_answers_with_the_record_as_it_is_then(store: &dyn JobStore) {
    let mut expected = job(store, 0);
    let id = expected.id;
    store.insert(expected.clone()).await.unwrap();
    let events = [
        JobEvent::RequestCancel,
        JobEvent::Start,
        JobEvent::Progress,
        JobEvent::Ask,
        JobEvent::Answer,
        JobEvent::Complete(JobOutput::new("done")),
    ];
    for (step, event) in (1_i32..).zip(events) {
        let change = Change::new(event, at(step.into())).with_progress(progress(step));
        expected = expected.apply(change.clone()).unwrap();
        let name = change.event.name();
        let answer = store.update(id, change).await.unwrap();
        assert!(*answer == expected, "{name}: the answer");
        assert!(found(store, id).await == expected, "{name}: what is there");
        assert!(*all(store).await.jobs[0] == expected, "{name}: what is listed");
    }
}

/// A change to a job that is not there is refused, and makes none.
pub async fn a_change_to_an_unknown_job_is_refused(store: &dyn JobStore) {
    let id = JobId::new();
    let refused = store.update(id, Change::new(JobEvent::Start, at(0))).await;
    assert!(matches!(refused, Err(StoreError::NotFound(unknown)) if unknown == id), "{refused:?}");
    assert!(store.get(id).await.unwrap().is_none());
}

/// A change that the job's state does not allow is refused as [`JobRecord::apply`] refuses it, and changes nothing, its
/// progress included.
pub async fn a_change_that_the_state_forbids_changes_nothing(store: &dyn JobStore) {
    let pending = inserted(store, 0).await;
    let running = running(store, 1).await;
    let waiting = self::running(store, 2).await;
    change(store, waiting, JobEvent::Ask, 3).await;
    for id in [pending, running, waiting, completed(store, 4).await] {
        for event in [
            JobEvent::Start,
            JobEvent::Progress,
            JobEvent::Ask,
            JobEvent::Answer,
            JobEvent::Complete(JobOutput::new(1)),
        ] {
            let before = found(store, id).await;
            let change = Change::new(event, at(9)).with_progress(progress(9));
            let Err(reason) = before.apply(change.clone()) else { continue };
            let refused = store.update(id, change).await;
            assert!(
                matches!(refused, Err(StoreError::Illegal { id: named, source }) if named == id && source == reason),
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
            JobEvent::Ask,
            JobEvent::Answer,
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
        assert!(whole(store, id).await == *kept);
    }
}

/// Two changes at the same time are applied one after the other: the second sees the first, and neither undoes the
/// other.
pub async fn two_changes_at_once_are_applied_one_after_the_other(store: &dyn JobStore) {
    for _ in 0..20 {
        let id = running(store, 0).await;
        let told = Change::new(JobEvent::Progress, at(1)).with_progress(progress(1));
        let wish = Change::new(JobEvent::RequestCancel, at(1));
        let (told, asked, waiting) = join!(
            store.update(id, told),
            store.update(id, wish),
            store.update(id, Change::new(JobEvent::Ask, at(1)))
        );
        assert!(told.is_ok() && asked.is_ok() && waiting.is_ok());
        let now = found(store, id).await;
        assert!(now.progress == progress(1), "the progress was undone");
        assert!(now.cancel_requested, "the wish to cancel was undone");
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
        assert!(now == before || now == after, "a change was made in part");
    }
}

/// A list begins with the job that was created last; a limit cuts its end off, and the count is of all.
pub async fn jobs_are_listed_newest_first_and_counted_before_the_limit(store: &dyn JobStore) {
    let mut jobs = Vec::new();
    for second in [3, 1, 2] {
        jobs.push((second, completed(store, second).await));
    }
    jobs.sort_by_key(|(second, _)| -second);
    let newest: Vec<_> = jobs.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids(&all(store).await), newest);
    let page = store.list(query(|query| query.limit = Some(2))).await.unwrap();
    assert_eq!(page.total, 3);
    assert_eq!(ids(&page), newest[..2]);
    let page = store.list(query(|query| query.limit = Some(4))).await.unwrap();
    assert_eq!((page.jobs.len(), page.total), (3, 3));
}

/// Jobs that were created at the same moment are listed in the same order each time, also when they change, and a
/// shorter page is the beginning of a longer one.
pub async fn jobs_of_the_same_age_keep_their_order(store: &dyn JobStore) {
    for _ in 0..10 {
        inserted(store, 0).await;
    }
    let order = ids(&all(store).await);
    assert_eq!(order.len(), 10);
    for (index, id) in order.iter().enumerate() {
        change(store, *id, JobEvent::Start, 1).await;
        assert_eq!(ids(&all(store).await), order);
        let page = store.list(query(|query| query.limit = Some(index))).await.unwrap();
        assert_eq!(ids(&page), order[..index]);
    }
}

/// A limit of zero asks how many there are.
pub async fn a_limit_of_zero_lists_nothing_and_counts(store: &dyn JobStore) {
    inserted(store, 0).await;
    inserted(store, 1).await;
    let page = store.list(query(|query| query.limit = Some(0))).await.unwrap();
    assert_eq!((page.jobs.len(), page.total), (0, 2));
}

/// Each condition of a query finds the jobs that meet it, and no others.
pub async fn a_query_finds_by_everything_it_names(store: &dyn JobStore) {
    let mut wanted = job(store, 0);
    wanted.label = "the one".into();
    wanted.session = Some("monday".into());
    wanted.tags.insert("colour".into(), "red".into());
    wanted.server = "elsewhere".into();
    store.insert(wanted.clone()).await.unwrap();
    change(store, wanted.id, JobEvent::Start, 1).await;
    inserted(store, 1).await;
    completed(store, 2).await;
    let conditions: [fn(&mut JobQuery); 6] = [
        |query| query.label = Some("the one".into()),
        |query| query.session = Some("monday".into()),
        |query| query.tag = Some(("colour".into(), None)),
        |query| query.tag = Some(("colour".into(), Some("red".into()))),
        |query| query.server = Some("elsewhere".into()),
        |query| query.statuses = vec![JobStatus::Running, JobStatus::Failed],
    ];
    for condition in conditions {
        let page = store.list(query(condition)).await.unwrap();
        assert_eq!((ids(&page), page.total), (vec![wanted.id], 1), "{:?}", query(condition));
    }
    let nothing: [fn(&mut JobQuery); 6] = [
        |query| query.label = Some("the on".into()),
        |query| query.session = Some(String::new()),
        |query| query.tag = Some(("colour".into(), Some("blue".into()))),
        |query| query.tag = Some(("Colour".into(), None)),
        |query| query.server = Some("a third".into()),
        |query| query.statuses = vec![JobStatus::InputRequired],
    ];
    for condition in nothing {
        let page = store.list(query(condition)).await.unwrap();
        assert_eq!((page.jobs.len(), page.total), (0, 0), "{:?}", query(condition));
    }
    let page = store.list(query(|query| query.server = Some("reactor".into()))).await.unwrap();
    assert_eq!(page.total, 2);
}

/// A job is found where it meets all conditions of a query, not where it meets one.
pub async fn conditions_of_a_query_hold_together(store: &dyn JobStore) {
    let (ours, ended) = (running(store, 0).await, completed(store, 1).await);
    let both = |status| {
        query(|query| {
            query.server = Some("reactor".into());
            query.statuses = vec![status];
        })
    };
    assert_eq!(ids(&store.list(both(JobStatus::Running)).await.unwrap()), [ours]);
    assert_eq!(ids(&store.list(both(JobStatus::Completed)).await.unwrap()), [ended]);
    let mut elsewhere = both(JobStatus::Running);
    elsewhere.server = Some("elsewhere".into());
    assert!(store.list(elsewhere).await.unwrap().jobs.is_empty());
}

/// A job that has not ended is never pruned, and of the ended ones only those that ended early enough.
pub async fn pruning_removes_ended_jobs_only(store: &dyn JobStore) {
    let pending = inserted(store, 0).await;
    let running = running(store, 1).await;
    let waiting = self::running(store, 2).await;
    change(store, waiting, JobEvent::Ask, 2).await;
    // They end at 3 and at 11.
    let (old, new) = (completed(store, 2).await, completed(store, 10).await);
    let pruned = store.prune(prune(|prune| prune.ended_before = Some(at(3)))).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (0, 5), "it ended at that time, not before");
    let pruned = store.prune(prune(|prune| prune.ended_before = Some(at(11)))).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 4));
    assert!(store.get(old).await.unwrap().is_none() && store.get(new).await.unwrap().is_some());
    assert_eq!(store.prune(Prune::default()).await.unwrap().removed, 1);
    let left = all(store).await;
    assert_eq!(left.total, 3);
    assert!([pending, running, waiting].iter().all(|id| ids(&left).contains(id)));
}

/// Pruning may leave the jobs that ended last.
pub async fn pruning_keeps_the_newest(store: &dyn JobStore) {
    for second in [1, 5, 3] {
        completed(store, second).await;
    }
    let keep = |newest| prune(|prune| prune.keep_newest = newest);
    assert_eq!(store.prune(keep(3)).await.unwrap().removed, 0);
    let pruned = store.prune(keep(1)).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (2, 1));
    assert_eq!(all(store).await.jobs[0].created_at, at(5));
}

/// Pruning may leave as many of the jobs that ended last as fit into so many bytes.
pub async fn pruning_keeps_as_many_of_the_newest_as_fit(store: &dyn JobStore) {
    let mut jobs = Vec::new();
    for second in [1, 5, 3] {
        jobs.push(completed(store, second).await);
    }
    let newest_two = [jobs[1], jobs[2]];
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

/// What pruning is told to spare stays, and counts among the newest that it leaves.
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

/// Pruning the jobs of one server leaves the others' alone, and counts what is left of that server's.
pub async fn pruning_keeps_to_its_server_and_counts_there(store: &dyn JobStore) {
    completed(store, 0).await;
    running(store, 1).await;
    let mut theirs = job(store, 2);
    theirs.server = "elsewhere".into();
    let theirs = store.insert(theirs).await.unwrap().id;
    change(store, theirs, JobEvent::Cancel, 3).await;
    let of = |server: &str| prune(|prune| prune.server = Some(server.into()));
    let pruned = store.prune(of("nowhere")).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (0, 0));
    let pruned = store.prune(of("reactor")).await.unwrap();
    assert_eq!((pruned.removed, pruned.remaining), (1, 1));
    assert!(store.get(theirs).await.unwrap().is_some(), "another server's job");
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
    assert_eq!(all(store).await.total, 0);
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
        assert!(whole(store, id).await == first);
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

/// The jobs of this process are not abandoned, and those that nobody owns are.
pub async fn ones_own_jobs_are_not_abandoned(store: &dyn JobStore) {
    inserted(store, 0).await;
    running(store, 1).await;
    let mut nobodys = job(store, 2);
    nobodys.owner = None;
    store.insert(nobodys.clone()).await.unwrap();
    assert_eq!(abandoned(store, "reactor").await, [nobodys.id]);
    assert!(abandoned(store, "elsewhere").await.is_empty());
}

/// The jobs of an owner that lives no more are abandoned, in whatever state they are, until somebody ends them.
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
    left.rerun = Some(Rerun::new(Map::new(), 1));
    let id = store.insert(left).await.unwrap().id;
    change(store, id, JobEvent::Start, 1).await;
    let interrupted = || {
        let failure = JobFailure::new(FailureKind::Interrupted, "its server is gone");
        Change::new(JobEvent::Interrupt(failure), at(2)).owned_by(dead)
    };
    let waiting = store.update(id, interrupted()).await.unwrap();
    assert!(waiting.waits_for_rerun() && waiting.attempt == 2, "{waiting:?}");
    assert_eq!(abandoned(store, "reactor").await, [id]);

    let claim = || store.update(id, Change::new(JobEvent::Claim(store.owner()), at(3)));
    let claims = join_all([claim(), claim()]).await;
    assert_eq!(claims.iter().filter(|claimed| claimed.is_ok()).count(), 1);
    let late = store.update(id, interrupted()).await;
    assert!(matches!(late, Err(StoreError::Illegal { .. })), "{late:?}");
    let taken = store.get(id).await.unwrap().unwrap();
    assert_eq!((taken.owner, taken.status()), (Some(store.owner()), JobStatus::Pending));
    assert!(abandoned(store, "reactor").await.is_empty());
}

async fn abandoned(store: &dyn JobStore, server: &str) -> Vec<JobId> {
    let mut abandoned: Vec<_> =
        store.abandoned(server.to_owned()).await.unwrap().iter().map(|job| job.id).collect();
    abandoned.sort();
    abandoned
}

fn latest(field: &str, id: JobId, second: i64, value: impl Into<Value>) -> HydratedState {
    let field = StateName::new(field).unwrap();
    HydratedState::new(field, id, "reactor", "simulate", at(second), value.into())
}

/// The value of the state `latest`.
async fn value(store: &dyn JobStore) -> Option<Value> {
    let state = store.state(StateName::new("latest").unwrap()).await.unwrap();
    state.map(|state| state.value.clone())
}

/// Long after everything that completes here.
fn later() -> Timestamp {
    at(1_000_000)
}

/// A state that nothing was put into has no value, also beside others that have one.
pub async fn a_state_that_never_was_put_has_no_value(store: &dyn JobStore) {
    assert_eq!(value(store).await, None);
    store.put_state(latest("latest-2", JobId::new(), 0, 1), later).await.unwrap();
    store.put_state(latest("lates", JobId::new(), 0, 1), later).await.unwrap();
    assert_eq!(value(store).await, None);
}

/// Whatever a state holds is read back the same: texts of any kind, numbers, and `null`, which is a value.
pub async fn everything_in_a_state_is_kept(store: &dyn JobStore) {
    let text = "\u{0}\n\r\t\"\\ {}[] \u{2028}\u{feff} ünïcödé 🦀 </script>";
    let longest = "x".repeat(64);
    for (second, value) in [
        json!({"text": text, text: [u64::MAX, i64::MIN, 0.1, -0.0, 1e300], "none": null}),
        json!(null),
        json!(text),
        json!(""),
        json!(false),
    ]
    .into_iter()
    .enumerate()
    {
        for field in ["latest", &longest] {
            let second = i64::try_from(second).unwrap();
            let mut given = latest(field, JobId::new(), second, value.clone());
            given.server = text.to_owned();
            given.tool = String::new();
            assert!(store.put_state(given.clone(), later).await.unwrap());
            let found = store.state(given.field.clone()).await.unwrap().unwrap();
            assert!(*found == given, "{:?}", found.value);
        }
    }
}

/// A state that is asked for again, and has not changed, is the same `Arc`: what was made of it need not be made anew.
pub async fn a_state_that_has_not_changed_is_the_same_one(store: &dyn JobStore) {
    let name = StateName::new("latest").unwrap();
    store.put_state(latest("latest", JobId::new(), 1, 1), later).await.unwrap();
    let first = store.state(name.clone()).await.unwrap().unwrap();
    store.put_state(latest("latest", JobId::new(), 0, 0), later).await.unwrap();
    store.put_state(latest("another", JobId::new(), 2, 2), later).await.unwrap();
    let again = store.state(name.clone()).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    store.put_state(latest("latest", JobId::new(), 2, 1), later).await.unwrap();
    let changed = store.state(name).await.unwrap().unwrap();
    assert!(!Arc::ptr_eq(&first, &changed), "another completion, though of the same value");
}

/// A completion that is put again changes nothing, also after another one has taken its place.
pub async fn a_completion_is_put_once(store: &dyn JobStore) {
    let first = latest("latest", JobId::new(), 0, "first");
    let second = latest("latest", JobId::new(), 1, "second");
    assert!(store.put_state(first.clone(), later).await.unwrap());
    assert!(!store.put_state(first.clone(), later).await.unwrap());
    assert!(store.put_state(second.clone(), later).await.unwrap());
    assert!(!store.put_state(first, later).await.unwrap());
    assert!(!store.put_state(second, later).await.unwrap());
    assert_eq!(value(store).await, Some(json!("second")));
}

/// A completion never takes the place of one that came after it, however late it is put.
pub async fn the_later_completion_stands_whoever_comes_first(store: &dyn JobStore) {
    for (second, is_put) in [(5, true), (3, false), (7, true), (6, false), (5, false), (8, true)] {
        let put = store.put_state(latest("latest", JobId::new(), second, second), later).await;
        assert_eq!(put.unwrap(), is_put, "second {second}");
    }
    assert_eq!(value(store).await, Some(json!(8)));
}

/// Of completions of the same moment that of the greater id stands, whoever comes first.
pub async fn of_completions_of_one_moment_the_greater_id_stands(store: &dyn JobStore) {
    let (one, two) = (JobId::new(), JobId::new());
    let (less, greater) = (one.min(two), one.max(two));
    for (field, order) in [("latest", [less, greater]), ("other", [greater, less])] {
        for id in order {
            store.put_state(latest(field, id, 0, id.to_string()), later).await.unwrap();
        }
        let found = store.state(StateName::new(field).unwrap()).await.unwrap().unwrap();
        assert_eq!(found.job_id, greater);
    }
}

/// A completion that lies in the future by the caller's clock was written while the clock was wrong: one that does not
/// lie there takes its place, and it never takes the place of one that does not.
pub async fn a_completion_from_the_future_gives_way(store: &dyn JobStore) {
    let future = latest("latest", JobId::new(), 100, "future");
    assert!(store.put_state(future.clone(), || at(50)).await.unwrap(), "better than nothing");
    assert!(!store.put_state(future.clone(), || at(50)).await.unwrap(), "but only once");
    assert!(store.put_state(latest("latest", JobId::new(), 49, "now"), || at(50)).await.unwrap());
    assert!(!store.put_state(future.clone(), || at(51)).await.unwrap());
    assert_eq!(value(store).await, Some(json!("now")));
    assert!(store.put_state(future, || at(100)).await.unwrap(), "its time has come");
}

/// Of two completions that are put at the same time, the later one stands.
pub async fn of_two_completions_at_once_the_later_one_stands(store: &dyn JobStore) {
    for round in 0..10 {
        let one = latest("latest", JobId::new(), round * 2, round * 2);
        let two = latest("latest", JobId::new(), round * 2 + 1, round * 2 + 1);
        let (one, two) = join!(store.put_state(one, later), store.put_state(two, later));
        assert!(two.unwrap() && one.is_ok());
        assert_eq!(value(store).await, Some(json!(round * 2 + 1)));
    }
}

/// A state belongs to no job: it stays when the job is removed that it comes from.
pub async fn a_state_stays_when_its_job_is_removed(store: &dyn JobStore) {
    let id = completed(store, 0).await;
    store.put_state(latest("latest", id, 1, "kept"), later).await.unwrap();
    store.prune(Prune::default()).await.unwrap();
    assert!(store.get(id).await.unwrap().is_none());
    assert_eq!(value(store).await, Some(json!("kept")));
}

/// What many callers write at the same time is all there.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn every_rule_is_run() {
        let text = include_str!("conformance.rs");
        let rules = text
            .lines()
            .filter_map(|line| line.strip_prefix("pub async fn ")?.split_once("(store: "))
            .map(|(name, _)| name);
        assert_eq!(rules.collect::<Vec<_>>(), RULES);
    }

    #[tokio::test]
    async fn all_rules_run_in_a_row() {
        run_all(|| async { MemoryStore::new() }).await;
    }
}
