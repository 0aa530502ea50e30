//! The synchronization of live jobs with their records. The supervisor of a job writes the progress and the questions of its
//! body (*progress flush*); one task of the process reads what other processes wrote to the records of live jobs, when the
//! store has news of them.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::core::job::{JobEvent, JobRecord};
use crate::core::local::redaction::redacted_progress;
use crate::core::local::{LiveJob, Local};
use crate::core::observe;
use crate::core::store::{News, StoreError};
use crate::core::sync::Mutex;

/// How often the progress of a job goes to its record at most, and how often the records of live jobs are read where the store
/// has no news.
const INTERVAL: Duration = Duration::from_millis(250);

/// How much news is taken at once.
const NEWS: usize = 1024;

/// For how long a read of the live jobs may take.
const LONGEST_READ: Duration = Duration::from_secs(5);

/// Writes to the record what the body reports and asks, for as long as the job is this process's. Returns when another process
/// has taken the job over, or has ended it. Boxes the writes, which few jobs are in at a time.
pub(super) async fn write_to_record(local: &Local, live: &LiveJob) {
    if local.is_owner_lost() {
        return;
    }
    tokio::select! {
        () = write_progress(local, live) => {}
        () = write_questions(local, live) => {}
        () = live.taken_over() => {}
    }
}

async fn write_progress(local: &Local, live: &LiveJob) {
    loop {
        live.context.progress.unsynced().await;
        // Reports of the meantime go to the record together.
        sleep(INTERVAL).await;
        if Box::pin(flush_progress(local, live)).await.is_break() {
            return;
        }
    }
}

/// Writes the latest progress to the record. Breaks where the job is another process's.
async fn flush_progress(local: &Local, live: &LiveJob) -> ControlFlow<()> {
    let cell = &live.context.progress;
    let Some(progress) = cell.take_unsynced() else { return ControlFlow::Continue(()) };
    let progress = redacted_progress(live.site(), progress);
    let change = local.own_change(JobEvent::Progress).with_progress(Some(progress));
    match local.update(live.id(), change).await {
        Ok(record) => read_from_record(local, live, &record),
        Err(error) if is_taken_over(&error) => return ControlFlow::Break(()),
        Err(error) => {
            cell.put_back();
            // The record is still to be written, or is gone.
            if !matches!(error, StoreError::NotFound(_)) {
                observe::warn!(job_id = %live.id(), %error, "failed to store a job's progress");
            }
        }
    }
    ControlFlow::Continue(())
}

async fn write_questions(local: &Local, live: &LiveJob) {
    loop {
        let event = live.context.questions.next_unsynced().await;
        if Box::pin(write_question(local, live, event)).await.is_break() {
            return;
        }
    }
}

/// Writes to the record that the body asked, got an answer or gave up. Breaks where the job is another process's.
async fn write_question(local: &Local, live: &LiveJob, event: JobEvent) -> ControlFlow<()> {
    let (JobEvent::Ask(key, _) | JobEvent::Answer(key, _) | JobEvent::GiveUp(key)) = &event else {
        return ControlFlow::Continue(());
    };
    let questions = &live.context.questions;
    let change = local.own_change(event.clone());
    let stored = local.withheld.redact(live.site(), live.id(), &change);
    match local.update(live.id(), stored).await {
        Ok(job) => {
            questions.mark_synced(&event, None);
            local.announce(&job);
            live.touch();
        }
        Err(error) if is_taken_over(&error) => return ControlFlow::Break(()),
        // An answer of another process was first.
        Err(StoreError::Illegal { .. }) => match local.store.get(live.id()).await {
            Ok(job) => {
                let recorded = job.as_ref().and_then(|job| job.questions.get(key));
                questions.mark_synced(&event, recorded);
            }
            Err(_) => sleep(INTERVAL).await,
        },
        Err(error) => {
            // The record is still to be written, or is gone.
            if !matches!(error, StoreError::NotFound(_)) {
                observe::warn!(job_id = %live.id(), %error, "failed to store a job's question");
            }
            sleep(INTERVAL).await;
        }
    }
    ControlFlow::Continue(())
}

/// Returns whether a refusal says that the job is another process's by now, or has been ended by one.
fn is_taken_over(refusal: &StoreError) -> bool {
    match refusal {
        StoreError::NotOwner(_) => true,
        StoreError::Illegal { source, .. } => source.status.is_terminal(),
        _ => false,
    }
}

/// Takes over what other processes wrote to the record of a live job: a request to stop it, answers, or that the job is
/// theirs.
fn read_from_record(local: &Local, live: &LiveJob, record: &JobRecord) {
    if record.status().is_terminal() || record.owner != Some(local.store.owner()) {
        return live.set_taken_over();
    }
    if record.cancel_requested && !live.is_to_be_cancelled() {
        live.request_cancel();
    }
    if !live.redacts() {
        live.context.questions.apply_recorded(&record.questions);
    }
}

/// The task that reads the records of live jobs. It runs while there are any, on the runtime of one of them.
pub(super) struct RemoteSync {
    local: Arc<Local>,
    is_running: Mutex<bool>,
    /// Wakes the supervisors when the task is gone with its runtime while jobs of other runtimes still need it.
    lost: Notify,
}

impl RemoteSync {
    pub(super) fn new(local: Arc<Local>) -> Self {
        Self { local, is_running: Mutex::default(), lost: Notify::new() }
    }

    /// Sees to it that the task runs, for as long as a job needs it. Never returns.
    pub(super) async fn keep_running(self: &Arc<Self>) {
        loop {
            let mut lost = std::pin::pin!(self.lost.notified());
            lost.as_mut().enable();
            if !std::mem::replace(&mut *self.is_running.lock(), true) {
                let task = RunningTask { sync: Arc::clone(self), is_done: false };
                tokio::spawn(async move { task.run().await });
            }
            lost.await;
            // Where this runtime ends, the new task is lost at once, again and again.
            tokio::task::yield_now().await;
        }
    }

    /// Ends the task where no job is left. Returns whether it does.
    fn ends(&self) -> bool {
        let mut is_running = self.is_running.lock();
        *is_running = !self.local.live.is_empty();
        !*is_running
    }
}

/// The running task. Dropped before its end, it lets a supervisor on another runtime start it again.
struct RunningTask {
    sync: Arc<RemoteSync>,
    is_done: bool,
}

impl RunningTask {
    async fn run(mut self) {
        let local = Arc::clone(&self.sync.local);
        let mut news: Option<BoxStream<'static, Vec<News>>> =
            local.store.news().map(|news| news.ready_chunks(NEWS).boxed());
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Whether all records are to be read: there may have been changes before the news began, as in each moment of a store
        // that has none.
        let mut reads_all = true;
        loop {
            let told = tokio::select! {
                _ = ticks.tick() => {
                    self.is_done = self.sync.ends();
                    if self.is_done {
                        return;
                    }
                    Vec::new()
                }
                told = next(&mut news) => told,
            };
            reads_all |= told.contains(&News::Missed);
            if let Some(runner) = local.lost_jobs() {
                if told.iter().any(|news| matches!(news, News::OwnerLost(_) | News::Missed)) {
                    runner.look_for_lost();
                } else if told.contains(&News::Waiting) {
                    runner.look_for_waiting();
                }
            }
            let mut changed = told
                .iter()
                .filter_map(|news| match news {
                    News::Changed { id, .. } => local.live.get(*id),
                    _ => None,
                })
                .collect::<Vec<_>>();
            if told.is_empty() {
                // Another process may have changed these before they were jobs of this process, whose news is read since.
                changed.extend(local.live.take_unread());
            }
            let jobs = if reads_all { local.live.all() } else { changed };
            // Records that could not be read are read with the next tick.
            reads_all = !read(&local, &jobs).await || news.is_none();
        }
    }
}

/// Waits for news. Where the store is gone there is none any more.
async fn next(news: &mut Option<BoxStream<'static, Vec<News>>>) -> Vec<News> {
    if let Some(stream) = news {
        if let Some(told) = stream.next().await {
            return told;
        }
        *news = None;
    }
    std::future::pending().await
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        if !self.is_done {
            *self.sync.is_running.lock() = false;
            self.sync.lost.notify_waiters();
        }
    }
}

/// Reads the records of live jobs. Returns whether it could.
async fn read(local: &Local, jobs: &[Arc<LiveJob>]) -> bool {
    if jobs.is_empty() {
        return true;
    }
    let ids = jobs.iter().map(|live| live.id()).collect();
    let records = match timeout(LONGEST_READ, local.store.get_many(ids)).await {
        Ok(Ok(records)) => records,
        Ok(Err(error)) => {
            observe::warn!(%error, "failed to read the records of live jobs");
            return false;
        }
        Err(_) => {
            observe::warn!("the store does not return the records of live jobs");
            return false;
        }
    };
    for record in records {
        // A supervisor that is about to write the job's end, or did, is not told of it.
        if let Some(live) = local.live.get(record.id).filter(|live| !live.has_ended()) {
            read_from_record(local, &live, &record);
        }
    }
    true
}
