//! The synchronization of live jobs with their records. The supervisor of a job writes the progress and the questions of its
//! body (*progress flush*); one task of the process reads what other processes wrote to the records of live jobs, when the
//! store has news of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::core::job::{Change, JobEvent, JobRecord};
use crate::core::local::redaction::redacted_progress;
use crate::core::local::{LiveJob, Local};
use crate::core::observe;
use crate::core::store::{News, StoreError};
use crate::core::sync::{Mutex, MutexGuard};

/// How often the progress of a job goes to its record at most, and how often the records of live jobs are read where the store
/// has no news.
const INTERVAL: Duration = Duration::from_millis(250);

/// How much news is taken at once.
const NEWS: usize = 1024;

/// For how long a read of the live jobs may take.
const LONGEST_READ: Duration = Duration::from_secs(5);

/// Writes to the record what the body reports and asks, for as long as the job is this process's. Returns when another process
/// has taken the job over, or has ended it.
pub(super) async fn write_to_record(local: &Local, live: &LiveJob) {
    tokio::select! {
        () = write_progress(local, live) => {}
        () = write_questions(local, live) => {}
        () = live.taken_over() => {}
    }
}

async fn write_progress(local: &Local, live: &LiveJob) {
    let cell = &live.context.progress;
    loop {
        cell.unsynced().await;
        // Reports of the meantime go to the record together.
        sleep(INTERVAL).await;
        let Some(progress) = cell.take_unsynced() else { continue };
        let progress = match live.site() {
            Some(site) => redacted_progress(site, progress),
            None => progress,
        };
        let change = own_change(local, JobEvent::Progress).with_progress(Some(progress));
        match local.update(live.id(), change).await {
            Ok(record) => read_from_record(local, live, &record),
            Err(error) if is_taken_over(&error) => return,
            Err(error) => {
                cell.put_back();
                // The record is still to be written, or is gone.
                if !matches!(error, StoreError::NotFound(_)) {
                    observe::warn!(job_id = %live.id(), %error, "failed to store a job's progress");
                }
            }
        }
    }
}

async fn write_questions(local: &Local, live: &LiveJob) {
    let questions = &live.context.questions;
    loop {
        let event = questions.next_unsynced().await;
        let (JobEvent::Ask(key, _) | JobEvent::Answer(key, _) | JobEvent::GiveUp(key)) = &event
        else {
            continue;
        };
        let change = own_change(local, event.clone());
        let stored = local.withheld.redact(live.site(), live.id(), &change);
        match local.update(live.id(), stored).await {
            Ok(job) => {
                questions.mark_synced(&event, None);
                local.announce(&job);
                live.touch();
            }
            Err(error) if is_taken_over(&error) => return,
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
    }
}

fn own_change(local: &Local, event: JobEvent) -> Change {
    Change::new(event, local.now()).owned_by(Some(local.store.owner()))
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

    fn is_running(&self) -> MutexGuard<'_, bool> {
        self.is_running.lock()
    }

    /// Sees to it that the task runs, for as long as a job needs it. Never returns.
    pub(super) async fn keep_running(self: &Arc<Self>) {
        loop {
            let mut lost = std::pin::pin!(self.lost.notified());
            lost.as_mut().enable();
            if !std::mem::replace(&mut *self.is_running(), true) {
                let task = RunningTask { sync: Arc::clone(self), is_done: false };
                tokio::spawn(async move { task.run().await });
            }
            lost.await;
        }
    }

    /// Ends the task where no job is left. Returns whether it does.
    fn ends(&self) -> bool {
        let mut is_running = self.is_running();
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
        // The first tick comes at once, and a job that has just begun has a new record.
        ticks.tick().await;
        loop {
            let told = tokio::select! {
                _ = ticks.tick() => {
                    self.is_done = self.sync.ends();
                    if self.is_done {
                        return;
                    }
                    if news.is_some() {
                        continue;
                    }
                    vec![News::Missed]
                }
                told = next(&mut news) => told,
            };
            match told.is_empty() {
                // The store is closed.
                true => news = None,
                false => take_news(&local, &told).await,
            }
        }
    }
}

/// Waits for news; the answer is empty where there is none any more.
async fn next(news: &mut Option<BoxStream<'static, Vec<News>>>) -> Vec<News> {
    match news {
        Some(news) => news.next().await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        if !self.is_done {
            *self.sync.is_running() = false;
            self.sync.lost.notify_waiters();
        }
    }
}

/// Reads the records of the live jobs that there is news of. Where an owner has died or work waits, the runner looks whether
/// there is something for it to do.
async fn take_news(local: &Arc<Local>, told: &[News]) {
    let changed = |news: &News| match news {
        News::Changed { id, .. } => local.live.get(*id),
        _ => None,
    };
    let jobs = match told.contains(&News::Missed) {
        true => local.live.all(),
        false => told.iter().filter_map(changed).collect(),
    };
    if told.iter().any(|news| matches!(news, News::OwnerLost(_) | News::Waiting))
        && let Some(runner) = local.lost_jobs()
    {
        tokio::spawn(async move { runner.recover().await });
    }
    if !jobs.is_empty() {
        read(local, &jobs).await;
    }
}

async fn read(local: &Local, jobs: &[Arc<LiveJob>]) {
    let ids = jobs.iter().map(|live| live.id()).collect();
    match timeout(LONGEST_READ, local.store.get_many(ids)).await {
        Ok(Ok(records)) => {
            for record in records {
                // A supervisor that is about to write the job's end, or did, is not told of it.
                if let Some(live) = local.live.get(record.id).filter(|live| !live.has_ended()) {
                    read_from_record(local, &live, &record);
                }
            }
        }
        Ok(Err(error)) => observe::warn!(%error, "failed to read the records of live jobs"),
        Err(_) => observe::warn!("the store does not return the records of live jobs"),
    }
}
