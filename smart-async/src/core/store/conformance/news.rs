//! Rules about what a store tells by itself: its news, its clock, how long tools take, and how large a result may be. A store
//! without news keeps the rules about news by having none.

use std::time::Duration;

use futures_util::StreamExt;

use super::helpers::{at, change, inserted, job, progress, query, whole};
use crate::core::job::{
    Change, ClaimQuery, JobEvent, JobId, JobOutput, JobState, PendingReason, ProgressReport, Prune,
};
use crate::core::store::{JobStore, News, NewsStream, UsualRun};

/// Waits for the news that a job has this version.
async fn told(news: &mut NewsStream, id: JobId, version: u64) {
    let changed = News::Changed { id, version };
    loop {
        match news.next().await {
            Some(told) if told == changed || told == News::Missed => return,
            Some(_) => {}
            None => panic!("the news ended before it told of {changed:?}"),
        }
    }
}

/// Each change of a job is in the news of every reader that was there before it, with the job's version: that it was made, that it
/// changed, that it got on, and that it was removed.
pub async fn every_change_is_news(store: &dyn JobStore) {
    let (Some(mut one), Some(mut other)) = (store.news(), store.news()) else { return };
    let id = inserted(store, 0).await;
    for reader in [&mut one, &mut other] {
        told(reader, id, 1).await;
    }
    let running = change(store, id, JobEvent::Start, 1).await;
    told(&mut one, id, running.version).await;
    let report = ProgressReport::new(id, progress(1).unwrap(), at(2));
    store.record_progress(vec![report]).await.unwrap();
    told(&mut one, id, running.version + 1).await;
    let ended = change(store, id, JobEvent::Complete(JobOutput::new(1)), 3).await;
    told(&mut one, id, ended.version).await;
    store.prune(Prune::default()).await.unwrap();
    told(&mut one, id, ended.version).await;
}

/// The news tells that a job waits to be claimed, when it is made so and when it becomes so.
pub async fn work_that_waits_is_news(store: &dyn JobStore) {
    let Some(mut news) = store.news() else { return };
    let mut waiting = job(store, 0);
    (waiting.owner, waiting.state) = (None, JobState::Pending { reason: PendingReason::Queued });
    waiting.spec_mut().max_reruns = Some(1);
    let id = store.insert(waiting).await.unwrap().id;
    assert!(is_told(&mut news).await);
    let claimed = store.claim(ClaimQuery::new("reactor", 1)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    change(store, id, JobEvent::Start, 1).await;
    change(store, id, JobEvent::Requeue(PendingReason::WaitingForServer), 2).await;
    assert!(is_told(&mut news).await);
}

/// Returns whether the news tells of work that waits.
async fn is_told(news: &mut NewsStream) -> bool {
    let is_waiting = |told: &News| matches!(told, News::Waiting | News::Missed);
    while let Some(told) = news.next().await {
        if is_waiting(&told) {
            return true;
        }
    }
    false
}

/// Changes by the store itself are dated by its clock.
pub async fn a_claim_is_dated_by_the_stores_clock(store: &dyn JobStore) {
    let mut waiting = job(store, -1_000_000_000);
    (waiting.owner, waiting.state) = (None, JobState::Pending { reason: PendingReason::Queued });
    store.insert(waiting).await.unwrap();
    let before = store.now();
    let claimed = store.claim(ClaimQuery::new("reactor", 1)).await.unwrap();
    let after = store.now();
    assert!((before..=after).contains(&claimed[0].updated_at), "{claimed:?}");
}

/// The usual run of a tool is the median of its newest completed runs, of 20 at most. Runs that did not complete, and those of
/// other servers, do not count.
pub async fn the_usual_run_is_the_median_of_the_newest(store: &dyn JobStore) {
    let run = async |server: &str, tool: &str, second: i64, seconds: i64, end: JobEvent| {
        let mut job = job(store, second);
        (job.spec_mut().server, job.spec_mut().tool) = (server.into(), tool.into());
        let id = store.insert(job).await.unwrap().id;
        change(store, id, JobEvent::Start, second).await;
        change(store, id, end, second + seconds).await;
    };
    let completed = || JobEvent::Complete(JobOutput::new(1));
    for second in 0..30 {
        let seconds = if second < 10 { 1000 } else { second };
        run("reactor", "simulate", second, seconds, completed()).await;
    }
    run("reactor", "quick", 40, 2, completed()).await;
    run("reactor", "quick", 41, 9, JobEvent::Cancel).await;
    run("elsewhere", "quick", 42, 9, completed()).await;
    let mut usual = store.usual_runs("reactor".into()).await.unwrap();
    usual.sort_by(|one, other| one.tool.cmp(&other.tool));
    let quick = UsualRun::new("quick", vec![Duration::from_secs(2)]);
    let simulate = UsualRun::new("simulate", (10..30).map(Duration::from_secs).collect());
    assert_eq!(usual, [quick, simulate].map(Option::unwrap));
    assert_eq!((usual[1].median, usual[1].runs), (Duration::from_secs(20), 20));
}

/// A store that names the size of its largest result keeps one of that size.
pub async fn a_result_of_the_largest_size_is_kept(store: &dyn JobStore) {
    let Some(most) = store.max_result_bytes() else { return };
    let text = "x".repeat(usize::try_from(most).unwrap() - 100);
    let id = inserted(store, 0).await;
    change(store, id, JobEvent::Start, 1).await;
    let end = Change::new(JobEvent::Complete(JobOutput::new(text.clone())), at(2));
    store.update(id, end).await.unwrap();
    let JobState::Completed { output, .. } = whole(store, id).await.state else { panic!("ended") };
    assert!(output.result == text);
    assert_eq!(store.list(query(|_| {})).await.unwrap().total, Some(1));
}
