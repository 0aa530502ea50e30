//! The disk fails at every operation of a workload in turn, once or several times, with nothing, some or all of a write
//! done; then it works again. What the store does not acknowledge has not happened and can be asked for again, what it
//! acknowledged is there, and so it is for whoever opens the folder later.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use smart_async::job::{
    Change, JobEvent, JobId, JobOutput, JobRecord, JobStatus, Prune, Timestamp,
};
use smart_async::store::conformance::helpers::unnumbered;
use smart_async::store::faults::{Operation, Verdict, Watcher};
use smart_async::store::{JobStore, JournalStore, StoreError};
use smart_async_tests::SeededRng;
use smart_async_tests::disk::{
    Event, Promises, Recorder, check_opened, new_job, next_change, scratch, settle,
};
use tempfile::TempDir;

/// The journal is shortened within the workload.
const SHORT: u64 = 1500;
/// How long the workload is.
const REQUESTS: i64 = 24;
/// No disk of these tests fails so often.
const ATTEMPTS: usize = 40;

/// How the disk fails.
#[derive(Debug, Clone, Copy)]
struct Failure {
    /// After so many operations.
    after: usize,
    /// Of a write, so many bytes are done.
    written: usize,
    /// So often.
    times: usize,
    /// Whether another process uses the folder as well.
    shared: bool,
}

/// Tells which case it is, where it fails.
struct Told<'a>(&'a Failure);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", self.0);
        }
    }
}

struct Patient {
    folder: TempDir,
    store: JournalStore,
    /// Another process over the folder, whose disk works.
    other: Option<JournalStore>,
    recorder: Arc<Recorder>,
    promises: Promises,
    jobs: BTreeMap<JobId, Arc<JobRecord>>,
    rng: SeededRng,
    failed: usize,
}

/// Lives through the workload, and returns how many operations that took.
async fn live(failure: Option<Failure>) -> usize {
    let folder = scratch();
    let recorder = Recorder::without_tape();
    let mut other = None;
    if failure.is_some_and(|failure| failure.shared) {
        other = Some(JournalStore::open(folder.path()).await.expect("a store opens"));
    }
    if let Some(Failure { after, written, times, .. }) = failure {
        recorder.fail(after, written, times);
    }
    let mut failed = 0;
    let store = loop {
        match JournalStore::open_watched(folder.path(), recorder.clone(), SHORT).await {
            Ok(store) => break store,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                failed += 1;
                assert!(failed < ATTEMPTS, "{error}");
            }
        }
    };
    let (promises, jobs, rng) = (Promises::default(), BTreeMap::new(), SeededRng::new(1));
    let mut patient = Patient { folder, store, other, recorder, promises, jobs, rng, failed };
    for second in 0..REQUESTS {
        patient.ask(second).await;
    }
    let operations = patient.recorder.operations();
    patient.end().await;
    operations
}

impl Patient {
    async fn ask(&mut self, second: i64) {
        match second % 8 {
            3 => {
                // A view that could not be written is no harm.
                let _ = self.store.rewrite_view().await;
            }
            5 => self.prune().await,
            6 => self.end_again().await,
            0 | 1 => {
                let job = Arc::new(new_job(&mut self.rng, &self.store, second));
                self.change(None, job).await;
            }
            _ => {
                let live = self.jobs.values().find(|job| !job.status().is_terminal());
                let Some(job) = live.cloned() else { return };
                let (change, next) = next_change(&mut self.rng, &job, second);
                self.change(Some(change), next).await;
            }
        }
        settle(self.folder.path());
        // The process itself shows nothing that was refused.
        let found = check_opened(&self.store, &self.promises).await;
        if self.other.is_none() {
            assert_eq!(found.len(), self.jobs.len());
        }
    }

    /// Asks for a change until it is made, as a job's supervisor does.
    async fn change(&mut self, change: Option<Change>, next: Arc<JobRecord>) {
        let mut in_doubt = false;
        for _ in 0..ATTEMPTS {
            self.promises.take_in(&Event::Tried(Arc::clone(&next)));
            let answer = match &change {
                None => self.store.insert((*next).clone()).await,
                Some(change) => self.store.update(next.id, change.clone()).await,
            };
            match answer {
                Ok(record) => {
                    // An attempt whose disk failed twice may stand, and was a version of its own.
                    let mut next = (*next).clone();
                    next.version = record.version;
                    assert!(
                        unnumbered(&record) == next,
                        "the answer is the record after the change"
                    );
                    return self.acknowledged(next.into());
                }
                Err(error) if error.is_transient() => {
                    self.failed += 1;
                    in_doubt |= error.is_in_doubt();
                    if !in_doubt {
                        self.promises.take_in(&Event::Refused(Arc::clone(&next)));
                    }
                    wait_for_recovery(&error).await;
                    self.others_turn().await;
                }
                // A change that was in doubt stands.
                Err(StoreError::Duplicate(_) | StoreError::Illegal { .. }) if in_doubt => {
                    let found = self.store.get(next.id).await.expect("jobs can be read");
                    let found = found.map(|found| unnumbered(&found));
                    assert_eq!(
                        found.as_ref(),
                        Some(&*next),
                        "the change that was asked for stands"
                    );
                    return self.acknowledged(next);
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("a disk that works again is not used again");
    }

    fn acknowledged(&mut self, job: Arc<JobRecord>) {
        self.promises.take_in(&Event::Acknowledged(Arc::clone(&job)));
        self.jobs.insert(job.id, job);
    }

    /// Another process writes while this one's disk fails.
    async fn others_turn(&mut self) {
        let Some(other) = &self.other else { return };
        let job = Arc::new(new_job(&mut self.rng, other, 0));
        self.promises.take_in(&Event::Tried(Arc::clone(&job)));
        other.insert((*job).clone()).await.expect("its disk works");
        self.acknowledged(job);
    }

    async fn prune(&mut self) {
        let mut in_doubt = false;
        for _ in 0..ATTEMPTS {
            let prune = Prune::default();
            let doomed = prune.select(self.jobs.values().map(AsRef::as_ref));
            let take_in = |promises: &mut Promises, event: fn(JobId) -> Event| {
                doomed.iter().for_each(|id| promises.take_in(&event(*id)));
            };
            take_in(&mut self.promises, Event::RemovalTried);
            match self.store.prune(prune).await {
                Ok(_) => {
                    take_in(&mut self.promises, Event::Removed);
                    return self.jobs.retain(|id, _| !doomed.contains(id));
                }
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    self.failed += 1;
                    in_doubt |= error.is_in_doubt();
                    if !in_doubt {
                        take_in(&mut self.promises, Event::RemovalRefused);
                    }
                    wait_for_recovery(&error).await;
                    self.others_turn().await;
                }
            }
        }
        panic!("a disk that works again is not used again");
    }

    /// A second end is refused for good.
    async fn end_again(&mut self) {
        let ended = self.jobs.values().find(|job| job.status().is_terminal());
        let Some(id) = ended.map(|job| job.id) else { return };
        let end = Change::new(JobEvent::Complete(JobOutput::new("late")), Timestamp::UNIX_EPOCH);
        let refused = self.store.update(id, end).await.expect_err("a second end");
        assert!(refused.is_transient() || matches!(refused, StoreError::Illegal { .. }));
    }

    async fn end(mut self) {
        self.recorder.go_on();
        let job = Arc::new(new_job(&mut self.rng, &self.store, 0));
        self.change(None, job).await;
        if let Some(other) = &self.other {
            check_opened(other, &self.promises).await;
        }
        // What a kill leaves, and what an orderly end leaves.
        let killed = scratch();
        fs::create_dir(killed.path().join("meta")).unwrap();
        for file in ["meta/journal.ndjson", "meta/jobs.json"] {
            let _ = fs::copy(self.folder.path().join(file), killed.path().join(file));
        }
        self.store.close().await.expect("a store closes");
        for folder in [&killed, &self.folder] {
            let store = JournalStore::open(folder.path()).await.expect("a store opens again");
            let found = check_opened(&store, &self.promises).await;
            assert!(found.len() >= self.jobs.len());
            store.close().await.expect("a store closes");
        }
        check_opened(&self.store, &self.promises).await;
    }
}

/// Waits a little where the store has stopped: it recovers by itself.
async fn wait_for_recovery(error: &StoreError) {
    if matches!(error, StoreError::Stopped { .. }) || error.is_in_doubt() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two processes over a folder, of which the first one's disk fails.
struct Shared {
    folder: TempDir,
    first: JournalStore,
    recorder: Arc<Recorder>,
    second: JournalStore,
}

impl Shared {
    async fn open() -> Self {
        let folder = scratch();
        let recorder = Recorder::without_tape();
        let open = JournalStore::open_watched(folder.path(), recorder.clone(), u64::MAX);
        let first = open.await.expect("a store opens");
        let second = JournalStore::open(folder.path()).await.expect("a store opens");
        // A process takes its name with its first job.
        for (seed, store) in [(90, &first), (91, &second)] {
            let job = new_job(&mut SeededRng::new(seed), store, 0);
            store.insert(job).await.expect("its disk works");
        }
        Self { folder, first, recorder, second }
    }

    fn job(&self, seed: u64) -> JobRecord {
        new_job(&mut SeededRng::new(seed), &self.first, 0)
    }

    /// The first line of the journal: each journal has another one.
    fn header(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("meta/journal.ndjson")).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    /// Both processes can write, and both and a later one find the job, or do not.
    async fn check(self, id: JobId, expected: Option<JobStatus>) {
        let Self { folder, first, second, .. } = self;
        let mut rng = SeededRng::new(8);
        for store in [&first, &second] {
            let next = new_job(&mut rng, store, 1);
            store.insert(next).await.expect("its disk works");
            let found = store.get(id).await.expect("jobs can be read");
            assert_eq!(found.map(|job| job.status()), expected);
        }
        first.close().await.expect("a store closes");
        second.close().await.expect("a store closes");
        let later = JournalStore::open(folder.path()).await.expect("a store opens again");
        let found = later.get(id).await.expect("jobs can be read");
        assert_eq!(found.map(|job| job.status()), expected);
    }
}

fn end(result: &str) -> Change {
    Change::new(JobEvent::Complete(JobOutput::new(result)), Timestamp::UNIX_EPOCH)
}

/// As on a full disk: the store waits for room with the journal that it has.
#[tokio::test]
async fn a_change_whose_write_fails_is_refused_and_the_journal_stays() {
    for written in [0, 1, 100, usize::MAX - 1] {
        let shared = Shared::open().await;
        let (job, header) = (shared.job(7), shared.header());
        shared.recorder.fail(0, written, 1);
        let refused = shared.first.insert(job.clone()).await.expect_err("the disk fails");
        assert!(refused.is_transient() && !refused.is_in_doubt(), "{refused}");
        assert!(shared.first.get(job.id).await.unwrap().is_none());
        assert_eq!(shared.header(), header);
        shared.check(job.id, None).await;
    }
}

#[tokio::test]
async fn a_change_whose_sync_fails_is_refused_for_certain_where_a_new_journal_can_be_written() {
    let shared = Shared::open().await;
    let (job, header) = (shared.job(7), shared.header());
    shared.recorder.fail(1, 0, 1);
    let refused = shared.first.insert(job.clone()).await.expect_err("the disk fails");
    assert!(refused.is_transient() && !refused.is_in_doubt(), "{refused}");
    assert_ne!(shared.header(), header, "another journal stands in its place");
    shared.check(job.id, None).await;
}

#[tokio::test]
async fn another_process_sees_and_changes_nothing_before_it_is_synced() {
    for fails in [false, true] {
        let shared = Shared::open().await;
        let job = shared.job(7);
        shared.recorder.hold(1);
        let inserted = shared.first.insert(job.clone());
        shared.recorder.held();
        let start = Change::new(JobEvent::Start, Timestamp::UNIX_EPOCH);
        let mut started = shared.second.update(job.id, start);
        let waits = tokio::time::timeout(Duration::from_millis(100), &mut started).await;
        assert!(waits.is_err(), "the other process waits for the sync");
        if fails {
            shared.recorder.fail_where_it_is_held(1);
        } else {
            shared.recorder.go_on();
        }
        assert_eq!(inserted.await.is_err(), fails);
        let started = started.await;
        assert_eq!(matches!(started, Err(StoreError::NotFound(_))), fails, "{started:?}");
        shared.check(job.id, (!fails).then_some(JobStatus::Running)).await;
    }
}

/// The sync fails, and no new journal can be written for a while.
#[tokio::test]
async fn a_store_that_cannot_know_stops_says_so_and_recovers_by_itself() {
    let shared = Shared::open().await;
    let job = shared.job(7);
    shared.recorder.fail(1, 0, usize::MAX);
    let refused = shared.first.insert(job.clone()).await.expect_err("the disk fails");
    assert!(refused.is_transient() && refused.is_in_doubt(), "{refused}");
    assert!(refused.to_string().contains("whether the change stands is not known yet"));
    let trouble = shared.first.trouble().expect("it has stopped");
    assert!(trouble.contains("the job store has stopped after a failed write"), "{trouble}");
    // No other process builds upon what may not be on disk.
    let mut others = shared.second.withdraw(JobId::new());
    let waits = tokio::time::timeout(Duration::from_millis(100), &mut others).await;
    assert!(waits.is_err(), "the lock is kept");
    for seed in 0..10 {
        let refused = shared.first.insert(shared.job(seed)).await.expect_err("it has stopped");
        assert!(matches!(refused, StoreError::Stopped { .. }), "{refused}");
    }
    let refused = shared.first.rewrite_view().await.expect_err("it has stopped");
    assert!(refused.is_transient());
    shared.recorder.go_on();
    others.await.expect("its disk works");
    assert_eq!(shared.first.trouble(), None);
    // The insert that was in doubt stands, as reading tells.
    let again = shared.first.insert(job.clone()).await;
    assert!(matches!(again, Err(StoreError::Duplicate(_))), "{again:?}");
    assert_eq!(unnumbered(&shared.first.get(job.id).await.unwrap().unwrap()), job);
    shared.check(job.id, Some(JobStatus::Pending)).await;
}

#[tokio::test]
async fn an_end_that_is_in_doubt_stands_once_and_no_other_one_does() {
    for failures in 2..12 {
        let shared = Shared::open().await;
        let job = shared.job(7);
        shared.first.insert(job.clone()).await.unwrap();
        let start = Change::new(JobEvent::Start, Timestamp::UNIX_EPOCH);
        shared.first.update(job.id, start).await.unwrap();
        shared.recorder.fail(1, 0, failures);
        let refused = shared.first.update(job.id, end("the first one's")).await;
        assert!(refused.expect_err("the disk fails").is_in_doubt());
        let late = shared.second.update(job.id, end("the second one's")).await;
        let Err(StoreError::Illegal { .. }) = late else { panic!("{late:?}") };
        let found = shared.first.get(job.id).await.unwrap().unwrap();
        assert_eq!(found.to_json()["result"], "the first one's");
        shared.check(job.id, Some(JobStatus::Completed)).await;
    }
}

#[tokio::test]
async fn a_store_that_has_stopped_can_be_closed() {
    let shared = Shared::open().await;
    shared.recorder.fail(1, 0, usize::MAX);
    let job = shared.job(7);
    shared.first.insert(job.clone()).await.expect_err("the disk fails");
    let closed = tokio::time::timeout(Duration::from_secs(60), shared.first.close()).await;
    assert!(closed.expect("it ends").is_err());
    drop(shared.first);
    shared.second.insert(new_job(&mut SeededRng::new(8), &shared.second, 0)).await.unwrap();
    assert!(shared.second.get(job.id).await.unwrap().is_some(), "it stands in the journal");
}

/// Fails the next write to the journal when all of it is done, and holds the cut that follows.
#[derive(Debug, Default)]
struct HeldCut {
    state: Mutex<Cut>,
    changed: Condvar,
}

#[derive(Debug, Default, PartialEq, Clone, Copy)]
enum Cut {
    #[default]
    Nothing,
    WriteFails,
    WriteFailed,
    Held,
}

impl HeldCut {
    fn set(&self, state: Cut) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    fn wait_for(&self, state: Cut) {
        let found = self.state.lock().unwrap();
        drop(self.changed.wait_while(found, |found| *found != state).unwrap());
    }
}

impl Watcher for HeldCut {
    fn announce(&self, operation: Operation<'_>) -> Verdict {
        let state = *self.state.lock().unwrap();
        match (operation, state) {
            (Operation::Write(..), Cut::WriteFails) => {
                self.set(Cut::WriteFailed);
                return Verdict::Fail { written: usize::MAX };
            }
            (Operation::Cut(..), Cut::WriteFailed) => {
                self.set(Cut::Held);
                self.wait_for(Cut::Nothing);
            }
            _ => {}
        }
        Verdict::GoOn
    }
}

/// Another process reads lines before their writer cuts them off, and the writer appends other ones of the same length in
/// their place: the other process must not write on without those.
#[tokio::test]
async fn lines_that_take_the_place_of_others_that_were_cut_off_are_read() {
    let folder = scratch();
    let watcher = Arc::<HeldCut>::default();
    let open = JournalStore::open_watched(folder.path(), watcher.clone(), u64::MAX);
    let (first, second) = (open.await.unwrap(), JournalStore::open(folder.path()).await.unwrap());
    let job = |seed| {
        let mut job = new_job(&mut SeededRng::new(seed), &first, 0);
        job.spec_mut().label = "of one length".to_owned();
        job
    };
    let (cut_off, stays) = (job(1), job(2));
    watcher.set(Cut::WriteFails);
    let refused = first.insert(cut_off.clone());
    watcher.wait_for(Cut::Held);
    assert!(second.get(cut_off.id).await.unwrap().is_some(), "it is in the file by now");
    watcher.set(Cut::Nothing);
    refused.await.expect_err("the disk fails");
    first.insert(stays.clone()).await.unwrap();
    second.insert(job(3)).await.unwrap();
    assert!(second.get(stays.id).await.unwrap().is_some());
    assert!(second.get(cut_off.id).await.unwrap().is_none());
    first.close().await.unwrap();
    second.close().await.unwrap();
}

/// Has the disk fail at every operation, in every way.
fn fail_everywhere(shared: bool) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let operations = runtime().block_on(live(None));
    let mut failures = Vec::new();
    for after in 0..operations {
        for (written, times) in [(0, 1), (100, 1), (usize::MAX - 1, 1), (0, 3), (100, 3), (37, 9)] {
            failures.push(Failure { after, written, times, shared });
        }
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(failure) = failures.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let told = Told(failure);
                    runtime().block_on(live(Some(*failure)));
                    drop(told);
                }
            });
        }
    });
    println!("{operations} operations, {} failures", failures.len());
    assert!(failures.len() > 300, "the workload is not too short");
}

#[test]
fn what_a_failing_disk_refuses_has_not_happened_and_what_it_took_stays() {
    fail_everywhere(false);
}

#[test]
fn a_failing_disk_of_one_process_loses_nothing_of_another() {
    fail_everywhere(true);
}
