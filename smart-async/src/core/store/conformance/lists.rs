//! Rules about lists: their order, their counts, what a query finds.

use super::helpers::{all, change, completed, ids, inserted, job, query, running};
use crate::ClientIdentity;
use crate::core::job::{JobEvent, JobQuery, JobScope, JobStatus};
use crate::core::store::JobStore;

/// A list begins with the job that was inserted last; a limit cuts its end off, and the count is of all.
pub async fn jobs_are_listed_newest_first_and_counted_before_the_limit(store: &dyn JobStore) {
    let mut newest = Vec::new();
    for second in [1, 2, 3] {
        newest.insert(0, completed(store, second).await);
    }
    assert_eq!(ids(&all(store).await), newest);
    let page = store.list(query(|query| query.limit = Some(2))).await.unwrap();
    assert_eq!(page.total, Some(3));
    assert_eq!(ids(&page), newest[..2]);
    let page = store.list(query(|query| query.limit = Some(4))).await.unwrap();
    assert_eq!((page.jobs.len(), page.total), (3, Some(3)));
}

/// A job that is inserted later comes first, also where its clock shows an earlier time, and keeps its place when it changes. Its
/// number is higher than all before, also than that of an end.
pub async fn a_later_insert_comes_first_though_its_clock_is_earlier(store: &dyn JobStore) {
    let (mut newest, mut number) = (Vec::new(), 0);
    for second in [5, 36_000, -36_000, 0, 5, 3, 8] {
        let mut job = job(store, second);
        // Another store may have given it one.
        (job.sequence, job.end_sequence) = (3, 4);
        let inserted = store.insert(job).await.unwrap();
        assert!(inserted.sequence > number && inserted.end_sequence == 0);
        newest.insert(0, inserted.id);
        assert_eq!(ids(&all(store).await), newest);
        change(store, inserted.id, JobEvent::Start, -second).await;
        let ended = change(store, inserted.id, JobEvent::Cancel, -second).await;
        assert!(ended.sequence == inserted.sequence && ended.end_sequence > ended.sequence);
        number = ended.end_sequence;
        assert_eq!(ids(&all(store).await), newest);
    }
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

/// A list is counted where its query asks for that.
pub async fn a_list_is_counted_where_the_query_asks(store: &dyn JobStore) {
    inserted(store, 0).await;
    let page = store.list(JobQuery::default()).await.unwrap();
    assert_eq!((page.jobs.len(), page.total), (1, None));
    assert_eq!(all(store).await.total, Some(1));
}

/// A limit of zero asks how many there are.
pub async fn a_limit_of_zero_lists_nothing_and_counts(store: &dyn JobStore) {
    inserted(store, 0).await;
    inserted(store, 1).await;
    let page = store.list(query(|query| query.limit = Some(0))).await.unwrap();
    assert_eq!((page.jobs.len(), page.total), (0, Some(2)));
}

/// Each condition of a query finds the jobs that meet it, and no others.
pub async fn a_query_finds_by_everything_it_names(store: &dyn JobStore) {
    let mut wanted = job(store, 0);
    wanted.spec_mut().label = "the one".into();
    wanted.spec_mut().session = Some("monday".into());
    wanted.spec_mut().scope = Some(ClientIdentity::new("alice").into());
    wanted.spec_mut().tags.insert("colour".into(), "red".into());
    wanted.spec_mut().server = "elsewhere".into();
    store.insert(wanted.clone()).await.unwrap();
    change(store, wanted.id, JobEvent::Start, 1).await;
    inserted(store, 1).await;
    completed(store, 2).await;
    let conditions: [fn(&mut JobQuery); 7] = [
        |query| query.label = Some("the one".into()),
        |query| query.session = Some("monday".into()),
        |query| query.scope = Some(ClientIdentity::new("alice").into()),
        |query| query.tag = Some(("colour".into(), None)),
        |query| query.tag = Some(("colour".into(), Some("red".into()))),
        |query| query.server = Some("elsewhere".into()),
        |query| query.statuses = vec![JobStatus::Running, JobStatus::Failed],
    ];
    for condition in conditions {
        let page = store.list(query(condition)).await.unwrap();
        assert_eq!((ids(&page), page.total), (vec![wanted.id], Some(1)), "{:?}", query(condition));
    }
    let nothing: [fn(&mut JobQuery); 7] = [
        |query| query.label = Some("the on".into()),
        |query| query.session = Some(String::new()),
        |query| query.scope = Some(ClientIdentity::new("Alice").into()),
        |query| query.tag = Some(("colour".into(), Some("blue".into()))),
        |query| query.tag = Some(("Colour".into(), None)),
        |query| query.server = Some("a third".into()),
        |query| query.statuses = vec![JobStatus::InputRequired],
    ];
    for condition in nothing {
        let page = store.list(query(condition)).await.unwrap();
        assert_eq!((page.jobs.len(), page.total), (0, Some(0)), "{:?}", query(condition));
    }
    let page = store.list(query(|query| query.server = Some("reactor".into()))).await.unwrap();
    assert_eq!(page.total, Some(2));
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

/// A list for one client is of that client's jobs, live and ended, and counts no others.
pub async fn a_list_for_one_client_counts_no_others_jobs(store: &dyn JobStore) {
    let [alice, bob] = ["alice", "bob"].map(|name| JobScope::from(ClientIdentity::new(name)));
    let mut hers = Vec::new();
    for second in 0..12 {
        let mut job = job(store, second);
        job.spec_mut().scope = [Some(&alice), Some(&bob), None][(second % 3) as usize].cloned();
        let (id, scope) = (job.id, job.spec.scope.clone());
        store.insert(job).await.unwrap();
        if second % 2 == 0 {
            change(store, id, JobEvent::Cancel, 20).await;
        }
        if scope.as_ref() == Some(&alice) {
            hers.insert(0, id);
        }
    }
    let of = |scope: &JobScope, limit| {
        query(|query| {
            query.scope = Some(scope.clone());
            query.limit = limit;
        })
    };
    let page = store.list(of(&alice, None)).await.unwrap();
    assert_eq!((ids(&page), page.total), (hers.clone(), Some(4)));
    let page = store.list(of(&alice, Some(1))).await.unwrap();
    assert_eq!((ids(&page), page.total), (hers[..1].to_vec(), Some(4)));
    let carol = ClientIdentity::new("carol").into();
    assert_eq!(store.list(of(&carol, None)).await.unwrap().total, Some(0));
    assert_eq!(all(store).await.total, Some(12));
}
