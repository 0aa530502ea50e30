//! Watching jobs: the watcher returns each change of a status at once, and progress once a second at most, in whichever process
//! the job runs. It returns an ended job once more and then drops it; without jobs it never wakes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Jobs;
use super::change_signal::{ChangeSignal, Interest, Signalled};
use crate::core::clock::past;
use crate::core::job::{JobId, JobRecord, JobStatus, Progress};
use crate::core::local::Need;
use crate::core::observe;

/// How often the watcher returns the progress of one job at most.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The pause before another look, where one failed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Jobs that a subscriber watches.
pub(crate) struct JobWatcher {
    source: Jobs,
    signal: ChangeSignal,
    jobs: HashMap<JobId, Reported>,
    look: NextLook,
}

/// The jobs that the watcher looks at next: one change costs a look at one job, however many are watched, and one read of the
/// store, however many watch it.
type NextLook = HashMap<JobId, Need>;

/// The last report on a job. Without an appearance, the next look is reported in any case.
#[derive(Debug)]
struct Reported {
    appearance: Option<Appearance>,
    at: Instant,
    /// The version of the last news of the job. News of the same version once more may say that the job was removed.
    version: u64,
}

/// The parts of a job whose change is worth a report.
#[derive(Debug, Clone, PartialEq)]
struct Appearance {
    status: JobStatus,
    attempt: u32,
    cancel_requested: bool,
    progress: Option<Progress>,
    /// The keys of its open questions.
    questions: Vec<String>,
}

impl Appearance {
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

impl JobWatcher {
    pub(crate) fn new(source: Jobs) -> Self {
        let signal = ChangeSignal::new(Arc::clone(&source.local));
        Self { source, signal, jobs: HashMap::new(), look: NextLook::new() }
    }

    /// Watches the job from this record on. A job that is watched already stays as it is.
    pub(crate) fn add(&mut self, job: &JobRecord) {
        if job.status().is_terminal() {
            return;
        }
        let appearance = Some(Appearance::of(job));
        self.look.insert(job.id, Need::Now);
        let (at, version) = (Instant::now(), job.version);
        self.jobs.entry(job.id).or_insert(Reported { appearance, at, version });
    }

    /// As [`add`](Self::add), for a subscriber that may have read the job before it was watched: a job that has ended or asks
    /// something, which may never change again, is reported at once.
    pub(crate) fn add_and_report(&mut self, job: &JobRecord) {
        match job.status() {
            JobStatus::Pending | JobStatus::Running => self.add(job),
            _ => {
                self.look.insert(job.id, Need::Now);
                let (at, version) = (Instant::now(), job.version);
                self.jobs.insert(job.id, Reported { appearance: None, at, version });
            }
        }
    }

    pub(crate) fn remove(&mut self, id: JobId) {
        self.jobs.remove(&id);
    }

    /// Returns whether no job is left to report on.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Waits until at least one job has changed, and returns the jobs that have. Never returns where no job is watched.
    ///
    /// # Cancel safety
    /// A report that was not returned is returned by the next call.
    pub(crate) async fn next(&mut self) -> Vec<Arc<JobRecord>> {
        if self.jobs.is_empty() {
            return std::future::pending().await;
        }
        loop {
            let all: Vec<_> = self.jobs.keys().copied().collect();
            let listening = self.signal.listen(&all, Interest::Progress);
            self.look.retain(|id, _| self.jobs.contains_key(id));
            let source = &self.source;
            let read = |ids: Vec<JobId>| async move { source.found(&ids).await };
            let due = match source.local.looks.look(&self.look, read).await {
                Ok(found) => {
                    let (changed, next_progress) = self.remember(found);
                    if !changed.is_empty() {
                        return changed;
                    }
                    next_progress
                }
                Err(error) => {
                    observe::debug!(%error, "failed to look at the jobs that are watched");
                    Some(Instant::now() + LOOK_AGAIN)
                }
            };
            if self.jobs.is_empty() {
                return std::future::pending().await;
            }
            tokio::select! {
                biased;
                changes = self.signal.changed(listening) => self.take(changes),
                // Progress that came too soon is reported then.
                () = past(due) => {}
            }
        }
    }

    /// Takes note of the jobs to look at.
    fn take(&mut self, changes: Signalled) {
        let mut look = |id, need: Need| {
            let known = self.look.entry(id).or_insert(need);
            *known = known.and(need);
        };
        match changes {
            Signalled::Of(changed) => {
                for (id, version) in changed {
                    let Some(reported) = self.jobs.get_mut(&id) else { continue };
                    let is_new = version > reported.version;
                    look(id, if is_new { Need::Version(version) } else { Need::Now });
                    reported.version = version.max(reported.version);
                }
            }
            Signalled::Any => self.jobs.keys().for_each(|id| look(*id, Need::Now)),
            Signalled::Tick => self.jobs.keys().for_each(|id| look(*id, Need::Tick)),
        }
    }

    /// Remembers what is reported, without a suspension point at which a report could be lost. Returns the jobs to report, and
    /// when the first progress is due that came too soon to be reported now.
    fn remember(&mut self, found: Vec<Arc<JobRecord>>) -> (Vec<Arc<JobRecord>>, Option<Instant>) {
        let (mut changed, mut next_progress) = (Vec::new(), None);
        let there: HashSet<_> = found.iter().map(|job| job.id).collect();
        for (id, _) in self.look.drain().filter(|(id, _)| !there.contains(id)) {
            self.jobs.remove(&id);
        }
        for job in found {
            let Some(reported) = self.jobs.get_mut(&job.id) else { continue };
            let appearance = Appearance::of(&job);
            match &reported.appearance {
                Some(before) if *before == appearance => continue,
                Some(before) if before.differs_in_progress_alone(&appearance) => {
                    let due = reported.at + PROGRESS_EVERY;
                    if Instant::now() < due {
                        next_progress = next_progress.into_iter().chain([due]).min();
                        self.look.insert(job.id, Need::Any);
                        continue;
                    }
                }
                _ => {}
            }
            (reported.appearance, reported.at) = (Some(appearance), Instant::now());
            if job.status().is_terminal() {
                self.jobs.remove(&job.id);
            }
            changed.push(job);
        }
        (changed, next_progress)
    }
}
