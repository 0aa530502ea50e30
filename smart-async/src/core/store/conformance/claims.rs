//! Rules about claims, and about requests for many jobs at once.

use futures_util::future::join_all;

use super::helpers::{at, completed, found, inserted, job, progress, running};
use crate::core::job::{
    ClaimQuery, Dispatch, JobCursor, JobId, JobKind, JobQuery, JobState, OwnerId, PendingReason,
    Priority, ProgressReport, Prune,
};
use crate::core::store::JobStore;

/// A job that waits in a queue, made at this second.
async fn waiting(store: &dyn JobStore, second: i64, priority: u8, reason: PendingReason) -> JobId {
    let mut waiting = job(store, second);
    waiting.owner = None;
    waiting.state = JobState::Pending { reason };
    waiting.dispatch = Some(Dispatch::new("default", Priority::new(priority)));
    store.insert(waiting).await.unwrap().id
}

async fn claim(store: &dyn JobStore, limit: usize) -> Vec<JobId> {
    let claimed = store.claim(ClaimQuery::new("reactor", limit)).await.unwrap();
    claimed.iter().map(|job| job.id).collect()
}

/// Of many claims at once, each waiting job is in one answer, with this owner and a claim of its own, and out of its queue.
/// Jobs of other servers, tools and kinds, and jobs that do not wait, are in none.
pub async fn a_waiting_job_is_given_out_once_under_a_claim_of_its_own(store: &dyn JobStore) {
    let mut expected = Vec::new();
    for second in 0..4 {
        expected.push(waiting(store, second, 5, PendingReason::Queued).await);
    }
    running(store, 5).await;
    inserted(store, 6).await;
    let mut elsewhere = ClaimQuery::new("elsewhere", 9);
    assert_eq!(store.claim(elsewhere.clone()).await.unwrap().len(), 0);
    elsewhere.server = "reactor".into();
    for (tools, kinds) in [(vec!["other".to_owned()], vec![]), (vec![], vec![JobKind::Program])] {
        (elsewhere.tools, elsewhere.kinds) = (tools, kinds);
        assert_eq!(store.claim(elsewhere.clone()).await.unwrap().len(), 0);
    }

    let claims = (0..4).map(|_| store.claim(ClaimQuery::new("reactor", 2)));
    let mut given = Vec::new();
    let mut tokens = Vec::new();
    for job in join_all(claims).await.into_iter().flat_map(Result::unwrap) {
        assert_eq!((job.owner, &job.dispatch), (Some(store.owner()), &None));
        assert_eq!(found(store, job.id).await, *job);
        given.push(job.id);
        tokens.push(job.claim.unwrap());
    }
    given.sort();
    expected.sort();
    assert_eq!(given, expected);
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), expected.len());
}

/// The most urgent job is given out first, and of equally urgent ones the one that was inserted first.
pub async fn claims_go_by_priority_then_by_age(store: &dyn JobStore) {
    let old = waiting(store, 3, 5, PendingReason::Queued).await;
    let young = waiting(store, 1, 5, PendingReason::Queued).await;
    let urgent = waiting(store, 4, 9, PendingReason::Queued).await;
    let patient = waiting(store, 0, 1, PendingReason::Queued).await;
    assert_eq!(claim(store, 1).await, [urgent]);
    assert_eq!(claim(store, 9).await, [old, young, patient]);
}

/// A job that waits for a time, by its reason or in its queue, is given out once that has come.
pub async fn a_job_is_not_given_out_before_its_time(store: &dyn JobStore) {
    let (past, future) = (at(-1_000_000_000), at(10_000_000_000));
    waiting(store, 0, 5, PendingReason::RetryAt(future)).await;
    waiting(store, 1, 5, PendingReason::ScheduledAt(future)).await;
    let mut later = job(store, 2);
    (later.owner, later.state) = (None, JobState::Pending { reason: PendingReason::Queued });
    later.dispatch = Some(Dispatch::new("default", Priority::NORMAL).not_before(future));
    store.insert(later).await.unwrap();
    assert_eq!(claim(store, 9).await, []);
    let due = [
        waiting(store, 3, 5, PendingReason::RetryAt(past)).await,
        waiting(store, 4, 5, PendingReason::ScheduledAt(past)).await,
        waiting(store, 5, 5, PendingReason::WaitingForServer).await,
    ];
    assert_eq!(claim(store, 9).await, due);
}

/// One request stores the progress of many jobs; those that ended, belong to another owner or are gone refuse it alone.
pub async fn progress_of_many_jobs_is_refused_by_those_of_others_alone(store: &dyn JobStore) {
    let (one, two, ended) =
        (running(store, 0).await, running(store, 1).await, completed(store, 2).await);
    let mut theirs = job(store, 3);
    theirs.owner = Some(OwnerId::new());
    theirs.state = JobState::Running { started_at: at(3) };
    let theirs = store.insert(theirs).await.unwrap().id;
    let gone = JobId::new();
    let reports = [one, ended, theirs, gone, two]
        .map(|id| ProgressReport::new(id, progress(7).unwrap(), at(9)));
    let mut refused = store.record_progress(reports.to_vec()).await.unwrap();
    let mut expected = vec![ended, theirs, gone];
    refused.sort();
    expected.sort();
    assert_eq!(refused, expected);
    for id in [one, two] {
        let job = found(store, id).await;
        assert_eq!((job.progress, job.updated_at), (progress(7), at(9)));
    }
    assert_eq!(found(store, theirs).await.progress, None);
}

/// Many jobs come in the order asked, without those that are not there.
pub async fn many_jobs_come_in_the_order_asked(store: &dyn JobStore) {
    let (one, two, three) =
        (inserted(store, 0).await, completed(store, 1).await, running(store, 2).await);
    let asked = vec![three, JobId::new(), one, two];
    let jobs = store.get_many(asked).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [three, one, two]);
    assert!(store.get_many(Vec::new()).await.unwrap().is_empty());
}

/// Pages that begin behind the last job of the page before show each job once that is there all along, in order, also where
/// jobs are added and removed meanwhile, where the last job of a page is gone, and where the clock jumps. The total counts all.
pub async fn pages_neither_skip_nor_repeat_while_jobs_come_and_go(store: &dyn JobStore) {
    let mut stay = Vec::new();
    for second in 0..9 {
        // Three jobs each have the same age, and the clock goes back.
        stay.push(completed(store, 90 - second / 3 * 3).await);
    }
    let mut query = JobQuery { limit: Some(4), with_total: true, ..JobQuery::default() };
    query.label = Some("simulate".into());
    let mut seen = Vec::new();
    loop {
        let page = store.list(query.clone()).await.unwrap();
        let Some(last) = page.jobs.last() else { break };
        assert!(page.total.unwrap() >= stay.len() - 1);
        seen.extend(page.jobs.iter().map(|job| job.id));
        query.after = Some(JobCursor::behind(last));
        for second in [-100, 85, 100] {
            inserted(store, second).await;
        }
        // The last job of the page goes, if it is the first page's.
        if seen.len() == 4 {
            let spare = stay.iter().copied().filter(|id| *id != last.id).collect();
            store.prune(Prune { spare, ..Prune::default() }).await.unwrap();
        }
    }
    assert_eq!(seen.len(), stay.len());
    let mut expected = stay;
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
}

/// A claim that names jobs gets these alone.
pub async fn a_claim_gets_the_jobs_that_it_names(store: &dyn JobStore) {
    let unnamed = waiting(store, 0, 5, PendingReason::Queued).await;
    let other = waiting(store, 1, 5, PendingReason::Queued).await;
    let mut query = ClaimQuery::new("reactor", 9);
    query.jobs = vec![other, JobId::new()];
    let claimed = store.claim(query).await.unwrap();
    assert_eq!(claimed.iter().map(|job| job.id).collect::<Vec<_>>(), [other]);
    assert_eq!(claim(store, 9).await, [unnamed]);
}
