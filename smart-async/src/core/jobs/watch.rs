//! Following jobs: who follows is told of each change of a status at once, and of progress once a second at most, wherever
//! the job runs. An ended job is told of once more and is followed no longer; where nothing is followed nothing wakes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Error;
use crate::core::job::{JobId, JobRecord, JobStatus, Progress};
use crate::core::manager::JobManager;

/// How often the progress of one job is told of at most.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The jobs that somebody follows.
#[derive(Debug)]
pub(crate) struct Following {
    manager: JobManager,
    jobs: HashMap<JobId, Told>,
}

/// What was told of a job last. `None` where something has to be told, whatever it is.
#[derive(Debug)]
struct Told {
    standing: Option<Standing>,
    at: Instant,
}

/// What those who follow a job see of it.
#[derive(Debug, Clone, PartialEq)]
struct Standing {
    status: JobStatus,
    attempt: u32,
    cancel_requested: bool,
    progress: Option<Progress>,
    /// What the job asks.
    questions: Vec<String>,
}

impl Standing {
    fn of(job: &JobRecord) -> Self {
        Self {
            status: job.status(),
            attempt: job.attempt,
            cancel_requested: job.cancel_requested,
            progress: job.progress.clone(),
            questions: job.open_questions().map(|(key, _)| key.to_owned()).collect(),
        }
    }

    fn differs_in_progress_alone(&self, other: &Self) -> bool {
        (self.status, self.attempt, self.cancel_requested, &self.questions)
            == (other.status, other.attempt, other.cancel_requested, &other.questions)
    }
}

impl Following {
    pub(crate) fn new(manager: JobManager) -> Self {
        Self { manager, jobs: HashMap::new() }
    }

    /// Follows the job from where it stands in this record. One that is followed already stays as it is.
    pub(crate) fn add(&mut self, job: &JobRecord) {
        if job.status().is_terminal() {
            return;
        }
        let standing = Some(Standing::of(job));
        self.jobs.entry(job.id).or_insert_with(|| Told { standing, at: Instant::now() });
    }

    /// As [`add`](Self::add), for those who may have looked at the job before it was followed: where it has ended or asks
    /// something, which may never change again, that is told at once.
    pub(crate) fn add_and_tell(&mut self, job: &JobRecord) {
        match job.status() {
            JobStatus::Pending | JobStatus::Running => self.add(job),
            _ => {
                self.jobs.insert(job.id, Told { standing: None, at: Instant::now() });
            }
        }
    }

    pub(crate) fn remove(&mut self, id: JobId) {
        self.jobs.remove(&id);
    }

    /// Whether there is a job of which anything may be told yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Waits until there is news of at least one job, and returns those jobs. Never returns where nothing is followed.
    ///
    /// # Cancel safety
    /// What was not returned is told by the next call.
    pub(crate) async fn next(&mut self) -> Vec<Arc<JobRecord>> {
        if self.jobs.is_empty() {
            return std::future::pending().await;
        }
        loop {
            let ids: Vec<_> = self.jobs.keys().copied().collect();
            // Before the records are read, so that no change falls between the two.
            let changed = self.manager.next_change_or_look(&ids);
            let mut seen = Vec::with_capacity(ids.len());
            for id in ids {
                match self.manager.status(id).await {
                    Err(Error::NotFound(_)) => seen.push((id, None)),
                    Ok(job) => seen.push((id, Some(job))),
                    Err(error) => {
                        tracing::debug!(job_id = %id, %error, "failed to look at a job that is followed");
                    }
                }
            }
            let news = self.take_in(seen);
            if !news.is_empty() {
                return news;
            }
            if self.jobs.is_empty() {
                return std::future::pending().await;
            }
            changed.await;
        }
    }

    /// Remembers what is told from here on, without a pause in which it could be lost.
    fn take_in(&mut self, seen: Vec<(JobId, Option<Arc<JobRecord>>)>) -> Vec<Arc<JobRecord>> {
        let mut news = Vec::new();
        for (id, job) in seen {
            let Some(job) = job else {
                self.jobs.remove(&id);
                continue;
            };
            let Some(told) = self.jobs.get_mut(&id) else { continue };
            let standing = Standing::of(&job);
            let is_news = match &told.standing {
                Some(before) if *before == standing => false,
                Some(before) if before.differs_in_progress_alone(&standing) => {
                    told.at.elapsed() >= PROGRESS_EVERY
                }
                _ => true,
            };
            if is_news {
                *told = Told { standing: Some(standing), at: Instant::now() };
                if job.status().is_terminal() {
                    self.jobs.remove(&id);
                }
                news.push(job);
            }
        }
        news
    }
}
