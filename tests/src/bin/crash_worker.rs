//! The process that the crash harness kills: runs many jobs through random lives in a folder, and says on stdout what it
//! is about to ask of the store, and what the store has acknowledged. It ends with its input, so that none is left behind.
//!
//! `crash_worker <folder> <name> <seed>`; the name is another for each life.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;

use smart_async::job::{
    Change, FailureKind, JobEvent, JobFailure, JobId, JobOutput, JobQuery, JobRecord, JobSpec,
    JobStatus, Progress, Prune, Question, ResultLocation, Timestamp,
};
use smart_async::store::conformance::helpers::unnumbered;
use smart_async::store::{JobStore, JournalStore, StoreError};
use smart_async_tests::SeededRng;
use smart_async_tests::crash::Line;

/// How many tasks use the store at once.
const TASKS: u64 = 4;
/// How many live jobs a task has at most.
const LIVE: u64 = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().expect("the harness gives a folder, a name and a seed");
    let (folder, name) = (PathBuf::from(argument()), argument());
    let seed = argument().parse().expect("a seed is a number");
    std::thread::spawn(answer_marks);

    let store = JournalStore::open(folder).await.expect("the store opens after any crash");
    say(&Line::Open(serde_json::json!(store.owner())));
    let store = Arc::new(store);
    let mut rng = SeededRng::new(seed);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let lane = Lane {
            store: Arc::clone(&store),
            server: format!("{name}-{task}"),
            rng: SeededRng::new(rng.next()),
            live: Vec::new(),
            ended: Vec::new(),
        };
        tasks.spawn(lane.run(task == 0));
    }
    // A task ends only where the store broke a rule.
    tasks.join_next().await.expect("there are tasks").expect("the store keeps its rules");
}

fn say(line: &Line) {
    let mut text = serde_json::to_vec(line).expect("a line is JSON");
    text.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).expect("the harness listens");
}

fn answer_marks() {
    for line in io::stdin().lock().lines() {
        let Some(mark) = line.ok().and_then(|line| line.parse().ok()) else { break };
        say(&Line::Mark(mark));
    }
    std::process::exit(0);
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("the clock is right");
    let millis = since.as_millis().try_into().expect("it is not the end of time");
    Timestamp::from_timestamp_millis(millis).expect("a moment of our days")
}

/// The number of a job's last change.
fn number(job: &JobRecord) -> u64 {
    job.progress.as_ref().map_or(0, |progress| progress.current as u64)
}

/// The jobs of one task, which nobody else touches while this process lives.
struct Lane {
    store: Arc<JournalStore>,
    server: String,
    rng: SeededRng,
    live: Vec<JobRecord>,
    ended: Vec<JobRecord>,
}

impl Lane {
    async fn run(mut self, looks_after_others: bool) {
        if looks_after_others {
            self.look_after_others().await;
        }
        loop {
            match self.rng.below(100) {
                0..2 if looks_after_others => self.look_after_others().await,
                2..5 => self.prune().await,
                5..7 => self.withdraw().await,
                7..10 => self.end_again().await,
                10..13 => self.cancel_anothers().await,
                13..27 => self.insert().await,
                _ => self.change().await,
            }
        }
    }

    async fn insert(&mut self) {
        if self.live.len() as u64 >= LIVE {
            return;
        }
        let mut job =
            JobRecord::new(JobId::new(), JobSpec::new("simulate", self.server.clone(), now()));
        job.owner = Some(self.store.owner());
        job.progress = Some(Progress::new(0.0, None, None));
        say(&Line::Try(job.to_json()));
        let inserted = self.store.insert(job.clone()).await.expect("a new job is inserted");
        job.sequence = inserted.sequence;
        assert!(*inserted == job, "the answer is the job");
        say(&Line::Done(job.id, 0));
        self.live.push(job);
    }

    /// One of the keys under which questions are asked.
    fn key(&mut self) -> String {
        ["name", "size"][self.rng.below(2) as usize].to_owned()
    }

    /// Whatever may happen to one of the live jobs.
    async fn change(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let index = self.rng.below(self.live.len() as u64) as usize;
        let job = self.live.swap_remove(index);
        let length = self.rng.below(3000) as usize;
        let payload = "x".repeat(length);
        let event = match self.rng.below(20) {
            0..5 => JobEvent::Start,
            5..11 => JobEvent::Progress,
            11..13 => {
                let request = serde_json::json!({"params": {"message": payload}});
                JobEvent::Ask(self.key(), Box::new(Question::new(request, now(), now())))
            }
            13..15 => JobEvent::Answer(self.key(), payload.clone().into()),
            15 => JobEvent::GiveUp(self.key()),
            16 => JobEvent::RequestCancel,
            17 => {
                // Some are so large that they get a file of their own.
                let result = payload.repeat(1 + self.rng.below(6) as usize);
                JobEvent::Complete(JobOutput::new(result).with_metadata("length", length))
            }
            18 => JobEvent::Fail(JobFailure::error(payload.clone())),
            _ => JobEvent::Cancel,
        };
        let message = self.rng.once_in(2).then_some(payload);
        let next = Progress::new((number(&job) + 1) as f64, None, message);
        let change = Change::new(event, now()).with_progress(Some(next));
        let Ok(expected) = job.apply(change.clone()) else {
            self.live.push(job);
            return;
        };
        let expected =
            self.update(change, expected).await.expect("a change that is allowed is made");
        if expected.status().is_terminal() {
            self.ended.push(expected);
        } else {
            self.live.push(expected);
        }
    }

    /// Asks for a change, and returns the record after it: what was expected, but for another's wish to cancel.
    async fn update(
        &self,
        change: Change,
        mut expected: JobRecord,
    ) -> Result<JobRecord, StoreError> {
        say(&Line::Try(unnumbered(&expected).to_json()));
        let mut updated = self.store.update(expected.id, change).await?;
        if updated.result_location != ResultLocation::InRecord {
            let found = self.store.get_with_result(expected.id).await?;
            updated = found.expect("nobody else removes it");
        }
        expected.cancel_requested |= updated.cancel_requested;
        // Another worker's request to cancel is a version of its own.
        assert!(updated.version >= expected.version, "versions count up");
        expected.version = updated.version;
        expected.end_sequence = updated.end_sequence;
        assert!(*updated == expected, "the answer is the record after the change");
        say(&Line::Done(expected.id, number(&expected)));
        Ok(expected)
    }

    /// Notes on a job of another process that it is to be cancelled.
    async fn cancel_anothers(&mut self) {
        let mut query = JobQuery::default();
        query.statuses = vec![JobStatus::Running];
        let page = self.store.list(query).await.expect("jobs can be listed");
        let own = Some(self.store.owner());
        let others: Vec<_> =
            page.jobs.iter().filter(|job| job.owner != own && !job.cancel_requested).collect();
        if others.is_empty() {
            return;
        }
        let id = others[self.rng.below(others.len() as u64) as usize].id;
        say(&Line::TryCancel(id));
        match self.store.update(id, Change::new(JobEvent::RequestCancel, now())).await {
            Ok(record) => {
                assert!(record.cancel_requested);
                say(&Line::Cancelled(id));
            }
            // It has ended, or is gone.
            Err(StoreError::Illegal { .. } | StoreError::NotFound(_)) => {}
            Err(error) => panic!("failed to cancel another's job: {error}"),
        }
    }

    /// A second end, which must be refused.
    async fn end_again(&mut self) {
        let Some(job) = self.ended.last() else { return };
        let end = Change::new(JobEvent::Complete(JobOutput::new("late")), now());
        let refused = self.store.update(job.id, end).await;
        assert!(matches!(refused, Err(StoreError::Illegal { .. })), "a second end: {refused:?}");
    }

    async fn prune(&mut self) {
        let keep = self.rng.below(3) as usize;
        let mut prune = Prune::default();
        (prune.server, prune.keep_newest) = (Some(self.server.clone()), keep);
        let doomed = prune.select(&self.ended);
        say(&Line::TryRemove(doomed.clone()));
        let pruned = self.store.prune(prune).await.expect("jobs can be pruned");
        assert_eq!(pruned.removed, doomed.len(), "what was to be pruned is pruned");
        self.ended.retain(|job| !doomed.contains(&job.id));
        say(&Line::Removed(doomed));
    }

    async fn withdraw(&mut self) {
        let Some(job) = self.live.pop() else { return };
        say(&Line::TryRemove(vec![job.id]));
        self.store.withdraw(job.id).await.expect("a job can be withdrawn");
        say(&Line::Removed(vec![job.id]));
    }

    /// Fails the jobs of owners that live no more, as a server does when it starts.
    async fn look_after_others(&self) {
        let mut query = JobQuery::default();
        query.statuses =
            JobStatus::ALL.into_iter().filter(|status| !status.is_terminal()).collect();
        let page = self.store.list(query).await.expect("jobs can be listed");
        let servers: std::collections::BTreeSet<_> =
            page.jobs.iter().map(|job| job.spec.server.clone()).collect();
        for server in servers {
            for job in self.store.abandoned(Some(server)).await.expect("the store can tell") {
                self.interrupt(job.id).await;
            }
        }
    }

    async fn interrupt(&self, id: JobId) {
        say(&Line::Abandoned(id));
        let Some(found) = self.store.get(id).await.expect("jobs can be read") else { return };
        let next = Progress::new((number(&found) + 1) as f64, None, Some(self.server.clone()));
        let failure = JobFailure::new(FailureKind::Interrupted, "its process was killed");
        let change = Change::new(JobEvent::Fail(failure), now()).with_progress(Some(next));
        // Somebody else was faster.
        let Ok(expected) = found.apply(change.clone()) else { return };
        match self.update(change, expected).await {
            Ok(_) | Err(StoreError::Illegal { .. }) => {}
            Err(error) => panic!("failed to interrupt an abandoned job: {error}"),
        }
    }
}
