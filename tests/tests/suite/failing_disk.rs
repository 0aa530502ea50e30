//! The disk fails at every operation of a workload in turn, once or several times, with nothing, some or all of a write
//! done; then it works again. What the store does not acknowledge has not happened and can be asked for again, what it
//! acknowledged is there, and so it is for whoever opens the folder later.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use smart_async::job::{
    Change, JobEvent, JobId, JobOutput, JobQuery, JobRecord, JobStatus, Prune, Timestamp,
};
use smart_async::store::faults::{Operation, Verdict, Watcher};
use smart_async::store::{JobStore, JsonFileStore, StoreError, StoreFuture};
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
    store: JsonFileStore,
    /// Another process over the folder, whose disk works.
    other: Option<JsonFileStore>,
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
        other = Some(JsonFileStore::open(folder.path()).await.expect("a store opens"));
    }
    if let Some(Failure { after, written, times, .. }) = failure {
        recorder.fail(after, written, times);
    }
    let mut failed = 0;
    let store = loop {
        match JsonFileStore::open_watched(folder.path(), recorder.clone(), SHORT).await {
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
                    assert!(*record == next, "the answer is the record after the change");
                    return self.acknowledged(record);
                }
                Err(error) if error.is_transient() => {
                    self.failed += 1;
                    if self.other.is_none() {
                        self.promises.take_in(&Event::Refused(Arc::clone(&next)));
                    }
                    self.others_turn().await;
                }
                // What could not be taken away in time stands after all, where another process has appended behind it.
                Err(StoreError::Duplicate(_) | StoreError::Illegal { .. })
                    if self.other.is_some() && self.failed > 0 =>
                {
                    let found = self.store.get(next.id).await.expect("jobs can be read");
                    assert_eq!(found.as_ref(), Some(&next), "what stands is what was asked for");
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
                    if self.other.is_none() {
                        take_in(&mut self.promises, Event::RemovalRefused);
                    }
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
            let store = JsonFileStore::open(folder.path()).await.expect("a store opens again");
            let found = check_opened(&store, &self.promises).await;
            assert!(found.len() >= self.jobs.len());
            store.close().await.expect("a store closes");
        }
        let found = self.store.list(JobQuery::default()).await.expect("jobs can be listed");
        self.promises.check(&found.jobs);
    }
}

/// Two processes over a folder. The first has appended a job, and its disk is to fail at the sync.
struct Shared {
    folder: TempDir,
    first: JsonFileStore,
    recorder: Arc<Recorder>,
    second: JsonFileStore,
    job: JobRecord,
}

impl Shared {
    /// Opens both, the second with a journal that it shortens when it is longer than this.
    async fn open(short: u64) -> Self {
        let folder = scratch();
        let recorder = Recorder::without_tape();
        let open = JsonFileStore::open_watched(folder.path(), recorder.clone(), u64::MAX);
        let first = open.await.expect("a store opens");
        let healthy = Recorder::without_tape();
        let open = JsonFileStore::open_watched(folder.path(), healthy, short);
        let second = open.await.expect("a store opens");
        let job = new_job(&mut SeededRng::new(7), &first, 0);
        Self { folder, first, recorder, second, job }
    }

    /// The first one appends the job, `others` do something before it is synced, and the sync fails.
    async fn append(
        &self,
        failures: usize,
        others: impl AsyncFnOnce(&JsonFileStore, JobId),
    ) -> Result<Arc<JobRecord>, StoreError> {
        let insert = |store| JobStore::insert(store, self.job.clone());
        self.send(insert, failures, others).await
    }

    /// The first one ends the job, which runs, `others` do something before that is synced, and the sync fails.
    async fn complete(
        &self,
        failures: usize,
        others: impl AsyncFnOnce(&JsonFileStore, JobId),
    ) -> Result<Arc<JobRecord>, StoreError> {
        self.first.insert(self.job.clone()).await.expect("the disk works");
        self.first.update(self.job.id, start()).await.expect("the disk works");
        let complete = |store| JobStore::update(store, self.job.id, end("the first one's"));
        self.send(complete, failures, others).await
    }

    async fn send<'a>(
        &'a self,
        request: impl FnOnce(&'a JsonFileStore) -> StoreFuture<'a, Arc<JobRecord>>,
        failures: usize,
        others: impl AsyncFnOnce(&JsonFileStore, JobId),
    ) -> Result<Arc<JobRecord>, StoreError> {
        self.recorder.hold(1);
        let answer = request(&self.first);
        self.recorder.held();
        others(&self.second, self.job.id).await;
        self.recorder.fail_where_it_is_held(failures);
        let answer = answer.await;
        self.recorder.go_on();
        answer
    }

    /// Both, and whoever comes later, find the job, and it is `status`; and both can go on.
    async fn check(self, status: Option<JobStatus>) {
        let Self { folder, first, second, job, .. } = self;
        let mut rng = SeededRng::new(8);
        for store in [&first, &second] {
            // Whoever could not take away what it has refused reads on when it can write again.
            let next = new_job(&mut rng, store, 1);
            store.insert(next).await.expect("its disk works");
            let found = store.get(job.id).await.expect("jobs can be read");
            assert_eq!(found.map(|job| job.status()), status);
        }
        first.close().await.expect("a store closes");
        second.close().await.expect("a store closes");
        let later = JsonFileStore::open(folder.path()).await.expect("a store opens again");
        let found = later.get(job.id).await.expect("jobs can be read");
        assert_eq!(found.map(|job| job.status()), status);
    }
}

fn start() -> Change {
    Change::new(JobEvent::Start, Timestamp::UNIX_EPOCH)
}

fn end(result: &str) -> Change {
    Change::new(JobEvent::Complete(JobOutput::new(result)), Timestamp::UNIX_EPOCH)
}

/// Another process finds the job ended, and says so to somebody.
async fn is_refused_a_second_end(store: &JsonFileStore, id: JobId) {
    let refused = store.update(id, end("the second one's")).await.expect_err("a second end");
    let StoreError::Illegal { source, .. } = refused else { panic!("{refused}") };
    assert_eq!(source.status, JobStatus::Completed);
}

#[tokio::test]
async fn what_nobody_built_upon_is_taken_away_when_its_sync_fails() {
    let shared = Shared::open(u64::MAX).await;
    let answer = shared.append(1, async |_, _| {}).await;
    assert!(answer.expect_err("the disk fails").is_transient());
    shared.check(None).await;
}

#[tokio::test]
async fn what_another_process_built_upon_stays_and_is_acknowledged_though_its_sync_failed() {
    let shared = Shared::open(u64::MAX).await;
    let build = async |store: &JsonFileStore, id| {
        store.update(id, start()).await.expect("its disk works");
    };
    let answer = shared.append(1, build).await.expect("it is made durable in another way");
    assert_eq!(*answer, shared.job);
    shared.check(Some(JobStatus::Running)).await;
}

#[tokio::test]
async fn what_another_process_refused_something_for_stays_though_its_sync_failed() {
    let shared = Shared::open(u64::MAX).await;
    let job = shared.job.clone();
    let refuse = async |store: &JsonFileStore, _| {
        let again = store.insert(job).await.expect_err("it is there");
        assert!(matches!(again, StoreError::Duplicate(_)));
    };
    shared.append(1, refuse).await.expect("it is made durable in another way");
    shared.check(Some(JobStatus::Pending)).await;
}

#[tokio::test]
async fn what_a_process_that_opened_meanwhile_refused_something_for_stays_though_its_sync_failed() {
    let shared = Shared::open(u64::MAX).await;
    let (folder, job) = (shared.folder.path(), shared.job.clone());
    // It has synced the journal when it opened, which keeps nobody from cutting it.
    let refuse = async |_: &JsonFileStore, _| {
        let third = JsonFileStore::open(folder).await.expect("a store opens");
        let again = third.insert(job).await.expect_err("it is there");
        assert!(matches!(again, StoreError::Duplicate(_)));
        third.close().await.expect("a store closes");
    };
    shared.append(1, refuse).await.expect("it is made durable in another way");
    shared.check(Some(JobStatus::Pending)).await;
}

#[tokio::test]
async fn what_stands_in_a_shortened_journal_is_acknowledged_though_its_sync_failed() {
    let shared = Shared::open(1).await;
    let shorten = async |store: &JsonFileStore, _| {
        for number in 0..20 {
            let job = new_job(&mut SeededRng::new(100 + number), store, 1);
            let id = store.insert(job).await.expect("its disk works").id;
            store.withdraw(id).await.expect("its disk works");
        }
    };
    let journal = shared.folder.path().join("meta/journal.ndjson");
    let header = || fs::read_to_string(&journal).unwrap().lines().next().unwrap().to_owned();
    let before = header();
    shared.append(1, shorten).await.expect("it stands in the new journal");
    assert_ne!(before, header(), "the journal was shortened");
    shared.check(Some(JobStatus::Pending)).await;
}

/// Where all else fails, too: what was acknowledged stays.
#[tokio::test]
async fn what_another_process_acknowledged_stays_though_the_disk_goes_on_failing() {
    for failures in 2..12 {
        let shared = Shared::open(u64::MAX).await;
        let build = async |store: &JsonFileStore, id| {
            store.update(id, start()).await.expect("its disk works");
        };
        let answer = shared.append(failures, build).await;
        assert!(answer.expect_err("the disk fails").is_transient());
        shared.check(Some(JobStatus::Running)).await;
    }
}

/// Whoever was refused a second end was told that there is a first one.
#[tokio::test]
async fn an_end_that_another_process_has_acknowledged_by_a_refusal_is_not_undone() {
    for failures in 1..12 {
        let shared = Shared::open(u64::MAX).await;
        let answer = shared.complete(failures, is_refused_a_second_end).await;
        assert_eq!(answer.is_ok(), failures == 1, "one failure is made good");
        let found = shared.second.get(shared.job.id).await.expect("jobs can be read");
        assert_eq!(found.map(|job| job.status()), Some(JobStatus::Completed));
        shared.check(Some(JobStatus::Completed)).await;
    }
}

/// The sync fails, and then it cannot be cut off.
#[tokio::test]
async fn what_could_not_be_taken_away_stands_once_another_process_has_built_upon_it() {
    let shared = Shared::open(u64::MAX).await;
    let answer = shared.complete(2, async |_, _| {}).await;
    assert!(answer.expect_err("the disk fails").is_transient());
    is_refused_a_second_end(&shared.second, shared.job.id).await;
    shared.check(Some(JobStatus::Completed)).await;
}

#[tokio::test]
async fn what_could_not_be_taken_away_is_gone_where_nobody_has_built_upon_it() {
    for failures in 2..4 {
        let shared = Shared::open(u64::MAX).await;
        let answer = shared.append(failures, async |_, _| {}).await;
        assert!(answer.expect_err("the disk fails").is_transient());
        shared.check(None).await;
    }
}

/// The handles over which the journal was synced.
#[derive(Debug, Default)]
struct Handles(Mutex<Vec<(u64, RawFd)>>);

impl Watcher for Handles {
    fn announce(&self, operation: Operation<'_>) -> Verdict {
        if let Operation::Sync(file) = operation {
            let inode = file.metadata().expect("an open file").ino();
            self.0.lock().unwrap().push((inode, file.as_raw_fd()));
        }
        Verdict::GoOn
    }
}

impl Handles {
    fn of(&self, path: &Path) -> Vec<RawFd> {
        let inode = fs::metadata(path).unwrap().ino();
        let mut synced = std::mem::take(&mut *self.0.lock().unwrap());
        synced.retain(|(file, _)| *file == inode);
        synced.into_iter().map(|(_, handle)| handle).collect()
    }
}

/// The system says once for each handle that it could not write something. Whoever appends has to hear of it.
#[tokio::test]
async fn the_view_hears_of_failures_over_a_handle_of_its_own() {
    let folder = scratch();
    let handles = Arc::<Handles>::default();
    let open = JsonFileStore::open_watched(folder.path(), handles.clone(), u64::MAX);
    let store = open.await.expect("a store opens");
    let journal = folder.path().join("meta/journal.ndjson");
    handles.of(&journal);
    store.insert(new_job(&mut SeededRng::new(9), &store, 0)).await.expect("its disk works");
    let writers = handles.of(&journal);
    assert_eq!(writers.len(), 1);
    for _ in 0..2 {
        assert!(store.rewrite_view().await.expect("its disk works"));
        let views = handles.of(&journal);
        assert_eq!(views.len(), 1);
        assert_ne!(views, writers);
    }
    store.close().await.expect("a store closes");
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
