//! Rules about the limits on how many jobs run at a time, and about calls that have a record for the sake of their slot.

use std::collections::{BTreeMap, HashSet};

use super::helpers::{at, change, completed, job};
use crate::core::job::{
    Change, ClaimLimits, ClaimQuery, ClientIdentity, JobEvent, JobFailure, JobId, JobQuery,
    JobSpec, JobState, JobStatus, OwnerId, PendingReason, Prune,
};
use crate::core::store::JobStore;

/// A job that its owner has queued.
async fn queued(store: &dyn JobStore, second: i64, with: impl FnOnce(&mut JobSpec)) -> JobId {
    queued_by(store, store.owner(), second, with).await
}

async fn queued_by(
    store: &dyn JobStore,
    owner: OwnerId,
    second: i64,
    with: impl FnOnce(&mut JobSpec),
) -> JobId {
    let mut queued = job(store, second);
    queued.owner = Some(owner);
    queued.state = JobState::Pending { reason: PendingReason::Queued };
    with(queued.spec_mut());
    store.insert(queued).await.unwrap().id
}

fn own(limits: Option<ClaimLimits>) -> ClaimQuery {
    let mut query = ClaimQuery::new("reactor", 99);
    (query.queued, query.limits) = (true, limits);
    query
}

async fn claimed(store: &dyn JobStore, query: ClaimQuery) -> Vec<JobId> {
    store.claim(query).await.unwrap().iter().map(|job| job.id).collect()
}

fn explicit(spec: &mut JobSpec) {
    spec.explicit = true;
}

/// An owner gets the jobs that it has queued itself where it asks for them, once each, and no others then. The record says that
/// each is about to start.
pub async fn an_owner_claims_its_own_queued_jobs(store: &dyn JobStore) {
    let mine = queued(store, 0, explicit).await;
    queued_by(store, OwnerId::new(), 1, explicit).await;
    // It has no limit, and so waits for something else.
    queued(store, 1, |_| {}).await;
    let mut unowned = job(store, 2);
    (unowned.owner, unowned.state) =
        (None, JobState::Pending { reason: PendingReason::WaitingForServer });
    let unowned = store.insert(unowned).await.unwrap().id;
    let given = store.claim(own(None)).await.unwrap();
    assert_eq!(given.iter().map(|job| job.id).collect::<Vec<_>>(), [mine]);
    assert!(given[0].holds_slot() && given[0].claim.is_some());
    assert!(claimed(store, own(None)).await.is_empty());
    assert_eq!(claimed(store, ClaimQuery::new("reactor", 9)).await, [unowned]);
}

/// A claim gives out no job beyond the limit of its tool, whichever owner and claim has the others, and lets those of other tools
/// pass. A slot is free again when its job has ended.
pub async fn a_claim_keeps_to_the_limit_of_a_tool(store: &dyn JobStore) {
    let limits = || Some(ClaimLimits::new(9, 9));
    let of = |tool: &'static str| {
        move |spec: &mut JobSpec| (spec.tool, spec.max_concurrent) = (tool.to_owned(), Some(2))
    };
    let mut saws = Vec::new();
    for second in 0..4 {
        saws.push(queued(store, second, of("saw")).await);
    }
    let plane = queued(store, 9, of("plane")).await;
    assert_eq!(claimed(store, own(limits())).await, [saws[0], saws[1], plane]);
    change(store, saws[0], JobEvent::Start, 10).await;
    assert!(claimed(store, own(limits())).await.is_empty(), "running or about to, it has a slot");
    change(store, saws[0], JobEvent::Fail(JobFailure::error("no")), 11).await;
    assert_eq!(claimed(store, own(limits())).await, [saws[2]]);
    change(store, saws[1], JobEvent::Cancel, 12).await;
    assert_eq!(claimed(store, own(limits())).await, [saws[3]]);
}

/// Explicit jobs go by the limits on all and on those of one session of one client.
pub async fn a_claim_keeps_to_the_limits_on_all_jobs_and_on_a_session(store: &dyn JobStore) {
    let limits = || Some(ClaimLimits::new(3, 1));
    let in_session = |client: Option<&'static str>| {
        move |spec: &mut JobSpec| {
            (spec.explicit, spec.session) = (true, Some("s".to_owned()));
            spec.scope = client.map(|client| ClientIdentity::new(client).into());
        }
    };
    let first = queued(store, 0, in_session(None)).await;
    let second = queued(store, 1, in_session(None)).await;
    let theirs = queued(store, 2, in_session(Some("ada"))).await;
    let plain = queued(store, 3, explicit).await;
    let last = queued(store, 4, explicit).await;
    assert_eq!(claimed(store, own(limits())).await, [first, theirs, plain]);
    change(store, plain, JobEvent::Cancel, 9).await;
    assert_eq!(claimed(store, own(limits())).await, [last], "the session has its one");
    change(store, first, JobEvent::Cancel, 9).await;
    assert_eq!(claimed(store, own(limits())).await, [second]);
}

/// The slots of owners that the query calls dead are free. A queued job of another owner that comes first keeps its slot, unless
/// the query says that it does not, or calls the owner dead.
pub async fn a_claim_yields_to_earlier_jobs_of_living_owners_alone(store: &dyn JobStore) {
    let limits = || ClaimLimits::new(1, 9);
    let other = OwnerId::new();
    let theirs = queued_by(store, other, 0, explicit).await;
    let mine = queued(store, 1, explicit).await;
    assert!(claimed(store, own(Some(limits()))).await.is_empty());
    let mut dead = limits();
    dead.dead_owners = HashSet::from([other]);
    let mut query = own(Some(dead.clone()));
    query.limit = 1;
    assert_eq!(claimed(store, query).await, [mine]);

    let next = queued(store, 2, explicit).await;
    change(store, mine, JobEvent::Cancel, 3).await;
    let mut hasty = limits();
    hasty.yields = false;
    assert_eq!(claimed(store, own(Some(hasty))).await, [next]);
    change(store, next, JobEvent::Cancel, 3).await;

    // The other one begins, and its process dies.
    let begin = Change::new(JobEvent::Start, at(4)).owned_by(Some(other));
    store.update(theirs, begin).await.unwrap();
    let last = queued(store, 5, explicit).await;
    assert!(claimed(store, own(Some(limits()))).await.is_empty());
    assert_eq!(claimed(store, own(Some(dead))).await, [last]);
}

/// An open call is in no list and no count unless the query asks for open calls, takes a slot as a job does, and becomes a job when
/// it is detached.
pub async fn an_open_call_takes_a_slot_and_is_no_job_yet(store: &dyn JobStore) {
    let ended = completed(store, 0).await;
    let saw = |spec: &mut JobSpec| spec.max_concurrent = Some(1);
    let mut open = job(store, 1);
    open.call_open = true;
    open.state = JobState::Pending { reason: PendingReason::Queued };
    saw(open.spec_mut());
    let open = store.insert(open).await.unwrap().id;
    let next = queued(store, 2, saw).await;
    let listed = async |with_open_calls| {
        let query = JobQuery { with_open_calls, with_total: true, ..JobQuery::default() };
        let page = store.list(query).await.unwrap();
        (page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), page.total)
    };
    assert_eq!(listed(false).await, (vec![next, ended], Some(2)));
    assert_eq!(listed(true).await, (vec![next, open, ended], Some(3)));
    let keep = Prune { keep_newest: 9, ..Prune::default() };
    assert_eq!(store.prune(keep.clone()).await.unwrap().remaining, 2);
    let limits = || own(Some(ClaimLimits::new(9, 9)));
    assert_eq!(claimed(store, limits()).await, [open]);
    assert!(claimed(store, limits()).await.is_empty());

    let detach = || JobEvent::Detach(Some(at(1)), BTreeMap::new());
    let job = change(store, open, detach(), 3).await;
    assert_eq!((job.status(), job.call_open), (JobStatus::Running, false));
    assert_eq!(job.state.started_at(), Some(at(1)));
    assert_eq!(listed(false).await, (vec![next, open, ended], Some(3)));
    assert_eq!(store.prune(keep).await.unwrap().remaining, 3);
    assert!(store.update(open, Change::new(detach(), at(4))).await.is_err(), "it is a job already");
}
