//! The news of live jobs: what their work says goes to the store, and what others wish of them comes from there. One task looks
//! after all of them that run on the same runtime, as long as there are some: a timer for each would cost memory, and wake as
//! many tasks. A runtime that stands still holds up its own jobs alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::runtime::{self, Handle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::core::job::{Change, JobEvent, JobRecord};
use crate::core::local::LiveJob;
use crate::core::local::redaction::progress_for_the_store;
use crate::core::manager::{JobManager, WeakManager};
use crate::core::store::StoreError;
use crate::core::{clock, observe};

/// How often a job's progress goes to the store, so that others see it as of that long ago at most, and how often its
/// record is looked at for another process's wish to stop it.
const TICK: Duration = Duration::from_millis(250);

/// How many records are looked at together, and how long one is waited for: a store that hangs must not keep others' wishes.
const LOOKS: usize = 64;
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Whoever looks for what is new on a runtime, which may end before the manager does.
struct Ticking {
    manager: WeakManager,
    runtime: runtime::Id,
    is_needed: bool,
}

impl Drop for Ticking {
    fn drop(&mut self) {
        if self.is_needed
            && let Some(manager) = self.manager.upgrade()
        {
            manager.live().ticks_no_more(self.runtime);
        }
    }
}

impl Ticking {
    async fn run(mut self) {
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look: Option<JoinHandle<()>> = None;
        loop {
            ticks.tick().await;
            let Some(manager) = self.manager.upgrade() else { break };
            let jobs = manager.live().watched(self.runtime);
            if jobs.is_empty() {
                break;
            }
            let (new, quiet): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| has_news(job));
            for job in new {
                manager.exchange(&job);
            }
            // In a task of its own: a store that hangs must not keep the news.
            if look.as_ref().is_none_or(JoinHandle::is_finished) {
                look = Some(tokio::spawn(async move { manager.look_at(quiet).await }));
            }
        }
        self.is_needed = false;
    }
}

fn has_news(job: &LiveJob) -> bool {
    job.context.progress.has_news() || job.context.questions.next_unsynced().is_some()
}

impl JobManager {
    /// Sees to it that somebody looks from time to time for what is new of the jobs that are watched over on this runtime.
    pub(in crate::core) fn keep_ticking(&self) {
        let runtime = Handle::current().id();
        if self.live().begins_to_tick(runtime) {
            let ticking = Ticking { manager: self.downgrade(), runtime, is_needed: true };
            tokio::spawn(ticking.run());
        }
    }

    /// Takes what is new of a job to its record, in a task of its own: a store that hangs must not keep the job from being
    /// stopped. Where that is under way already, what came since is taken there the next time.
    pub(in crate::core) fn exchange(&self, job: &Arc<LiveJob>) {
        if let Some(exchanging) = job.exchanges() {
            let manager = self.clone();
            tokio::spawn(async move { manager.exchange_news(exchanging.job()).await });
        }
    }

    /// Takes the body's progress to the store, and what others wish of the job from there.
    async fn exchange_news(&self, live: &LiveJob) {
        // What could not be told is told at the next tick.
        self.tell_questions(live).await;
        let stored = if let Some(progress) = live.context.progress.take_news() {
            let progress = match live.site() {
                Some(site) => progress_for_the_store(site, progress),
                None => progress,
            };
            let change = Change::new(JobEvent::Progress, clock::now())
                .with_progress(Some(progress))
                .owned_by(Some(self.store().owner()));
            self.note(self.store().update(live.id(), change).await).map(Some)
        } else {
            self.store().get(live.id()).await
        };
        match stored {
            Ok(Some(job)) => learn(live, &job),
            // It has ended meanwhile.
            Ok(None) | Err(StoreError::Illegal { .. } | StoreError::NotOwner(_)) => {}
            // Its record is still to be written, or is gone.
            Err(StoreError::NotFound(_)) => live.context.progress.put_back(),
            Err(error) => {
                live.context.progress.put_back();
                observe::warn!(job_id = %live.id(), %error, "failed to store a job's progress");
            }
        }
    }

    /// Looks at the records of jobs that have nothing to say, for what others wish of them.
    async fn look_at(&self, jobs: Vec<Arc<LiveJob>>) {
        let look = async |job: Arc<LiveJob>| {
            if !job.is_watched() {
                return;
            }
            match timeout(LONGEST_LOOK, self.store().get(job.id())).await {
                Ok(Ok(Some(record))) => learn(&job, &record),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    observe::warn!(job_id = %job.id(), %error, "failed to look at a job's record");
                }
                Err(_) => {
                    observe::warn!(job_id = %job.id(), "the store does not show a job's record");
                }
            }
        };
        stream::iter(jobs).for_each_concurrent(LOOKS, look).await;
    }
}

/// Takes in what others wish of a job, as its record says it.
fn learn(live: &LiveJob, job: &JobRecord) {
    if job.cancel_requested {
        live.request_cancel();
    }
    if !live.redacts() {
        live.context.questions.apply_recorded(&job.questions);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::core::job::JobId;
    use crate::{JobRequest, job_fn};

    fn runtime() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    /// Submits work that reports a step whenever it is asked for one, and never ends.
    fn stepping(manager: &JobManager, runtime: &Runtime) -> (JobId, Arc<tokio::sync::Notify>) {
        let step = Arc::<tokio::sync::Notify>::default();
        let asked = Arc::clone(&step);
        let work = job_fn(move |job| {
            let asked = Arc::clone(&asked);
            async move {
                for step in 1.. {
                    asked.notified().await;
                    job.progress().report(step, (), "");
                }
                pending().await
            }
        });
        let id = runtime.block_on(manager.submit(JobRequest::new("step"), work)).unwrap();
        (id, step)
    }

    async fn stored(manager: &JobManager, id: JobId, steps: f64) {
        let reached = async {
            loop {
                let job = manager.store().get(id).await.unwrap().unwrap();
                if job.progress.as_ref().is_some_and(|progress| progress.current == steps) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), reached).await.unwrap();
    }

    #[test]
    fn news_reach_the_store_also_when_the_runtime_is_gone_that_looked_for_them() {
        let manager = JobManager::in_memory();
        let (first, second) = (runtime(), runtime());
        let (early, step) = stepping(&manager, &first);
        step.notify_one();
        first.block_on(stored(&manager, early, 1.0));
        let (late, step) = stepping(&manager, &second);
        step.notify_one();
        second.block_on(stored(&manager, late, 1.0));
        drop(first);
        step.notify_one();
        second.block_on(stored(&manager, late, 2.0));
    }

    #[test]
    fn a_runtime_that_stands_still_holds_up_its_own_jobs_alone() {
        let manager = JobManager::in_memory();
        let still = Builder::new_current_thread().enable_all().build().unwrap();
        let (early, step) = stepping(&manager, &still);
        step.notify_one();
        still.block_on(stored(&manager, early, 1.0));
        // From here on nobody drives it.
        let driven = runtime();
        let (late, step) = stepping(&manager, &driven);
        step.notify_one();
        driven.block_on(stored(&manager, late, 1.0));
        driven.block_on(async {
            let wish = Change::new(JobEvent::RequestCancel, clock::now());
            manager.store().update(late, wish).await.unwrap();
            let stopped = async {
                while manager.live().get(late).is_some() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(10), stopped).await.unwrap();
        });
        drop(still);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_looks_where_nothing_runs() {
        let manager = JobManager::in_memory();
        for _ in 0..2 {
            let work = job_fn(async |_| pending().await);
            let id = manager.submit(JobRequest::new("wait"), work).await.unwrap();
            while !manager.live().get(id).is_some_and(|job| job.is_watched()) {
                tokio::task::yield_now().await;
            }
            let _ = manager.cancel(id).await.unwrap();
            tokio::time::sleep(2 * TICK).await;
            let runtime = Handle::current().id();
            assert!(manager.live().begins_to_tick(runtime), "the one who looked has left");
            manager.live().ticks_no_more(runtime);
        }
    }
}
