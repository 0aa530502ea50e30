//! The manager without MCP: work that is no tool, waiting, ending, and starting again.

use std::time::Duration;

use serde_json::json;
use smart_async::job::{FailureKind, JobFailure, JobOutput, JobQuery, JobState, JobStatus, Prune};
use smart_async::manager::{Cancelled, Error, Retention, WaitFor};
use smart_async::{CurrentJob, Job, JobId, JobManager, JobRequest, job_fn};
use smart_async_tests::{FaultyStore, Gate, runtime_clock};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(3600);

/// Work that waits at a gate, and says that it is there.
fn at(gate: &Gate) -> impl Job + use<> {
    let gate = gate.clone();
    job_fn(move |job: CurrentJob| {
        let gate = gate.clone();
        async move {
            job.progress().report(1, 4, "at the gate");
            gate.arrive();
            gate.opened().await;
            Ok(JobOutput::new("through").with_metadata("gates", 1))
        }
    })
}

fn quick() -> impl Job {
    job_fn(|_| async { Ok(JobOutput::new(json!({"quick": true}))) })
}

#[tokio::test(start_paused = true)]
async fn submitted_work_runs_and_its_result_stays() {
    let jobs = JobManager::in_memory();
    let request =
        JobRequest::new("index").label("the big index").tag("colour", "red").session("monday");
    let id = jobs.submit(request, quick()).await.unwrap();
    let waited = jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    let job = &waited.jobs[0];
    assert_eq!(
        (job.status(), &*job.spec.tool, &*job.spec.label),
        (JobStatus::Completed, "index", "the big index")
    );
    assert_eq!(
        (job.spec.tags["colour"].as_str(), job.spec.session.as_deref()),
        ("red", Some("monday"))
    );
    for _ in 0..2 {
        assert_eq!(jobs.result(id).await.unwrap().result, json!({"quick": true}));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_pending_before_it_runs_and_known_at_once() {
    let jobs = JobManager::in_memory();
    let mut changes = jobs.subscribe();
    let id = jobs.submit(JobRequest::new("index"), quick()).await.unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&JobStatus::Completed) {
        let change = changes.recv().await.unwrap();
        assert_eq!(change.id, id);
        seen.push(change.status);
    }
    assert_eq!(seen, [JobStatus::Pending, JobStatus::Running, JobStatus::Completed]);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_the_caller_chose_is_taken_once() {
    let jobs = JobManager::in_memory();
    let id = JobId::new();
    assert_eq!(jobs.submit(JobRequest::new("index").id(id), quick()).await.unwrap(), id);
    let again = jobs.submit(JobRequest::new("index").id(id), quick()).await;
    assert!(matches!(again, Err(Error::Store(_))), "{again:?}");
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_returns_for_the_first_or_for_all_or_when_its_time_is_over() {
    let jobs = JobManager::in_memory();
    let (gate, never) = (Gate::new(), Gate::new());
    let one = jobs.submit(JobRequest::new("one"), at(&gate)).await.unwrap();
    let two = jobs.submit(JobRequest::new("two"), at(&never)).await.unwrap();
    let waited = jobs.wait(&[one, two], WaitFor::any(), Duration::from_secs(1)).await.unwrap();
    assert!(waited.timed_out && waited.jobs.iter().all(|job| !job.status().is_terminal()));

    let waiting = jobs.clone();
    let any = tokio::spawn(async move { waiting.wait(&[one, two], WaitFor::any(), LONG).await });
    gate.open();
    let waited = any.await.unwrap().unwrap();
    assert!(!waited.timed_out);
    assert_eq!(
        waited.jobs.iter().map(|job| job.status()).collect::<Vec<_>>(),
        [JobStatus::Completed, JobStatus::Running]
    );

    assert!(
        jobs.wait(&[one, two], WaitFor::all(), Duration::from_secs(1)).await.unwrap().timed_out
    );
    never.open();
    assert!(!jobs.wait(&[one, two], WaitFor::all(), LONG).await.unwrap().timed_out);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_progress_returns_on_progress() {
    let jobs = JobManager::in_memory();
    let (first, second) = (Gate::new(), Gate::new());
    let (reporting, staying) = (first.clone(), second.clone());
    let work = job_fn(move |job: CurrentJob| {
        let (reporting, staying) = (reporting.clone(), staying.clone());
        async move {
            job.progress().report(1, (), "begun");
            reporting.arrive();
            reporting.opened().await;
            job.progress().report(2, (), "got on");
            staying.opened().await;
            Ok(JobOutput::default())
        }
    });
    let id = jobs.submit(JobRequest::new("walk"), work).await.unwrap();
    first.arrived(1).await;
    let waiting = jobs.clone();
    let wait =
        tokio::spawn(async move { waiting.wait(&[id], WaitFor::any().or_progress(), LONG).await });
    tokio::task::yield_now().await;
    first.open();
    let waited = wait.await.unwrap().unwrap();
    assert_eq!(waited.jobs[0].progress.as_ref().unwrap().message.as_deref(), Some("got on"));
    second.open();
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_job_that_is_not_there_is_an_error() {
    let jobs = JobManager::in_memory();
    let id = JobId::new();
    let waited = jobs.wait(&[id], WaitFor::any(), LONG).await;
    assert!(matches!(waited, Err(Error::NotFound(unknown)) if unknown == id));
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_job_without_one_says_why() {
    let jobs = JobManager::in_memory();
    let gate = Gate::new();
    let running = jobs.submit(JobRequest::new("run"), at(&gate)).await.unwrap();
    assert!(matches!(jobs.result(running).await, Err(Error::NotEnded { .. })));
    let work =
        job_fn(|_| async { Err(JobFailure::error("no luck").with_details(json!({"why": 7}))) });
    let failing = jobs.submit(JobRequest::new("fail"), work).await.unwrap();
    jobs.wait(&[failing], WaitFor::any(), LONG).await.unwrap();
    match jobs.result(failing).await {
        Err(Error::Failed { failure, .. }) => assert_eq!(failure.details, Some(json!({"why": 7}))),
        other => panic!("{other:?}"),
    }
    let Cancelled::Stopped(_) = jobs.cancel(running).await.unwrap() else {
        panic!("it should stop")
    };
    assert!(matches!(jobs.result(running).await, Err(Error::Cancelled(_))));
}

struct Telephone {
    answered: Gate,
    hung_up: Gate,
}

impl Job for Telephone {
    async fn execute(&self, _: CurrentJob) -> smart_async::job::Outcome {
        self.answered.arrive();
        self.hung_up.opened().await;
        Ok(JobOutput::default())
    }

    async fn cancel(&self) {
        self.hung_up.open();
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_can_help_to_stop_itself() {
    let jobs = JobManager::in_memory();
    let (answered, hung_up) = (Gate::new(), Gate::new());
    let call = Telephone { answered: answered.clone(), hung_up };
    let id = jobs.submit(JobRequest::new("call"), call).await.unwrap();
    answered.arrived(1).await;
    let began = tokio::time::Instant::now();
    let Cancelled::Stopped(job) = jobs.cancel(id).await.unwrap() else { panic!("it should stop") };
    assert_eq!(job.status(), JobStatus::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(1), "no grace was needed");
}

#[tokio::test(start_paused = true)]
async fn a_job_cancelled_while_its_start_is_being_written_never_starts() {
    let insert = Gate::new();
    let store = FaultyStore::slow(insert.clone());
    let jobs = JobManager::builder().with_store(store.clone());
    let (gate, id) = (Gate::new(), JobId::new());
    let submitting = tokio::spawn({
        let (jobs, work) = (jobs.clone(), at(&gate));
        async move { jobs.submit(JobRequest::new("run").id(id), work).await }
    });
    insert.arrived(1).await;
    store.set_broken(true);
    insert.open();
    submitting.await.unwrap().unwrap();
    while store.failures() == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let cancelling = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.cancel(id).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.set_broken(false);
    let Ok(Cancelled::Stopped(job)) = cancelling.await.unwrap() else { panic!("it should stop") };
    assert_eq!(job.status(), JobStatus::Cancelled);
    assert!(tokio::time::timeout(LONG, gate.arrived(1)).await.is_err(), "the work must not begin");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_stops_submitted_work() {
    let jobs = JobManager::in_memory();
    let request = JobRequest::new("run").deadline(Duration::from_secs(3));
    let id = jobs.submit(request, at(&Gate::new())).await.unwrap();
    let waited = jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    match &waited.jobs[0].state {
        JobState::Failed { failure, .. } => assert_eq!(failure.kind, FailureKind::Deadline),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_all_clocks_is_no_limit() {
    let jobs = JobManager::builder().cancel_grace(Duration::MAX).in_memory();
    let gate = Gate::new();
    let request = JobRequest::new("run").deadline(Duration::MAX);
    let id = jobs.submit(request, at(&gate)).await.unwrap();
    gate.arrived(1).await;
    gate.open();
    let waited = jobs.wait(&[id], WaitFor::any(), Duration::MAX).await.unwrap();
    assert_eq!(waited.jobs[0].status(), JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn the_end_lets_jobs_end_for_a_moment_and_marks_the_rest() {
    let jobs = JobManager::in_memory();
    let (soon, never) = (Gate::new(), Gate::new());
    let ending = jobs.submit(JobRequest::new("soon"), at(&soon)).await.unwrap();
    let lasting = jobs.submit(JobRequest::new("never"), at(&never)).await.unwrap();
    soon.arrived(1).await;
    never.arrived(1).await;
    let shutting = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.shutdown().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(jobs.submit(JobRequest::new("late"), quick()).await, Err(Error::Stopping)));
    soon.open();
    shutting.await.unwrap().unwrap();
    assert_eq!(jobs.status(ending).await.unwrap().status(), JobStatus::Completed);
    let job = jobs.status(lasting).await.unwrap();
    match &job.state {
        JobState::Failed { failure, .. } => assert_eq!(failure.kind, FailureKind::Interrupted),
        other => panic!("{other:?}"),
    }
    assert_eq!(job.progress.as_ref().unwrap().percentage, Some(25.0), "with its last progress");
    jobs.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_result_that_waits_for_the_store_is_not_overwritten_by_the_end() {
    let store = FaultyStore::working();
    let jobs = JobManager::builder().with_store(store.clone());
    let gate = Gate::new();
    let id = jobs.submit(JobRequest::new("run"), at(&gate)).await.unwrap();
    gate.arrived(1).await;
    store.set_broken(true);
    gate.open();
    while store.failures() < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let shutting = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.shutdown().await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    store.set_broken(false);
    shutting.await.unwrap().unwrap();
    assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_how_many_ends_it_could_not_write() {
    for (number, said) in [(1, "the end of 1 job could"), (3, "the ends of 3 jobs could")] {
        let store = FaultyStore::working();
        let jobs = JobManager::builder().with_store(store.clone());
        let gate = Gate::new();
        for _ in 0..number {
            jobs.submit(JobRequest::new("run"), at(&gate)).await.unwrap();
        }
        gate.arrived(number).await;
        store.set_broken(true);
        for _ in 0..2 {
            let error = jobs.shutdown().await.unwrap_err().to_string();
            assert!(error.contains(&format!("{said} not be written")), "{error}");
            assert!(error.contains("no storage space"), "with the reason: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_sweep_keeps_what_is_young_and_few() {
    let jobs = JobManager::builder()
        .retention(Retention::new(LONG * 24, 2))
        .clock(runtime_clock())
        .in_memory();
    for _ in 0..5 {
        let id = jobs.submit(JobRequest::new("run"), quick()).await.unwrap();
        jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    }
    tokio::time::sleep(LONG + Duration::from_secs(1)).await;
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_sweep_keeps_the_newest_that_fit() {
    let retention = Retention::new(LONG * 24, 1000).max_bytes(30_000);
    let jobs = JobManager::builder().retention(retention).clock(runtime_clock()).in_memory();
    let work = || job_fn(|_| async { Ok(JobOutput::new("x".repeat(10_000))) });
    for _ in 0..5 {
        let id = jobs.submit(JobRequest::new("run"), work()).await.unwrap();
        jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    }
    tokio::time::sleep(LONG + Duration::from_secs(1)).await;
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_keeps_for_ever_removes_nothing() {
    let jobs = JobManager::builder()
        .retention(Retention::new(Duration::MAX, usize::MAX).max_bytes(u64::MAX))
        .in_memory();
    let id = jobs.submit(JobRequest::new("run"), quick()).await.unwrap();
    jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    tokio::time::sleep(LONG * 2).await;
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 1);
}

/// A server that starts again after its process was gone, as seen from the folder.
#[tokio::test]
async fn the_jobs_of_a_dead_life_are_interrupted_and_other_servers_left_alone() {
    let folder = TempDir::new().unwrap();
    let open = |server: &str| JobManager::builder().folder(folder.path()).server(server).open();
    let (mine, others) = {
        // The runtime of a process that dies: its tasks are dropped where they stand.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (open, other) = (open("reactor"), open("boiler"));
        let ids = runtime.spawn(async {
            let (jobs, other) = (open.await.unwrap(), other.await.unwrap());
            let gate = Gate::new();
            let mine = jobs.submit(JobRequest::new("run"), at(&gate)).await.unwrap();
            gate.arrived(1).await;
            let others = other.submit(JobRequest::new("run"), at(&gate)).await.unwrap();
            gate.arrived(2).await;
            (mine, others)
        });
        let ids = ids.await.unwrap();
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
        ids
    };
    let jobs = open("reactor").await.unwrap();
    let job = jobs.status(mine).await.unwrap();
    match &job.state {
        JobState::Failed { failure, .. } => assert_eq!(failure.kind, FailureKind::Interrupted),
        other => panic!("{other:?}"),
    }
    let stored = jobs.store().get(others).await.unwrap().unwrap();
    assert_eq!(stored.status(), JobStatus::Running, "another server's job is left alone");
    let shown = jobs.status(others).await.unwrap();
    assert_eq!(shown.status(), JobStatus::Failed, "and shown as it is");
    jobs.prune(Prune::default()).await.unwrap();
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs[0].id, others);
}

#[tokio::test]
async fn a_job_whose_owner_dies_later_is_accounted_for_by_whoever_asks() {
    let folder = TempDir::new().unwrap();
    let open = || JobManager::builder().folder(folder.path()).server("reactor").open();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let opening = open();
    let id = runtime.spawn(async {
        let (jobs, gate) = (opening.await.unwrap(), Gate::new());
        let id = jobs.submit(JobRequest::new("run"), at(&gate)).await.unwrap();
        gate.arrived(1).await;
        id
    });
    let id = id.await.unwrap();
    let jobs = open().await.unwrap();
    assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Running, "its owner lives");
    tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Failed);
}

#[tokio::test]
async fn a_job_of_another_process_can_be_cancelled() {
    let folder = TempDir::new().unwrap();
    let open = || {
        JobManager::builder()
            .folder(folder.path())
            .server("reactor")
            .cancel_grace(Duration::ZERO)
            .open()
    };
    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    let gate = Gate::new();
    let id = one.submit(JobRequest::new("run"), at(&gate)).await.unwrap();
    gate.arrived(1).await;
    let Cancelled::Stopped(job) = two.cancel(id).await.unwrap() else { panic!("it should stop") };
    assert_eq!(job.status(), JobStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_manager_without_its_folder_promises_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let jobs = JobManager::builder().folder(&file).open_or_memory().await;
    let health = jobs.health();
    assert!(!health.durable && health.store_error.unwrap().contains("a file"));
    let refused = jobs.submit(JobRequest::new("run"), quick()).await;
    assert!(matches!(refused, Err(Error::NotDurable(_))), "{refused:?}");
    assert!(jobs.health().store_error.is_some(), "health does not mend itself");
}

#[test]
fn what_is_public_can_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    fn check_send<T: Send>(_: T) {}
    check::<JobManager>();
    check::<CurrentJob>();
    check::<smart_async::ProgressReporter>();
    check::<smart_async::Reply<()>>();
    check::<Error>();
    let jobs = JobManager::in_memory();
    let id = JobId::new();
    check_send(jobs.status(id));
    check_send(jobs.cancel(id));
    check_send(jobs.wait(&[id], WaitFor::any(), LONG));
    check_send(jobs.shutdown());
    check_send(smart_async::cancelled());
}

#[tokio::test(start_paused = true)]
async fn what_was_being_stopped_when_the_server_ends_ends_as_it_was_stopped() {
    let jobs = JobManager::builder().drain_grace(Duration::ZERO).in_memory();
    // Deaf to its token, and so still there when the grace begins.
    let deaf = || job_fn(|_| std::future::pending());
    let late = JobRequest::new("late").deadline(Duration::from_secs(1));
    let late = jobs.submit(late, deaf()).await.unwrap();
    let unwanted = jobs.submit(JobRequest::new("unwanted"), deaf()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let cancelling = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.cancel(unwanted).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    jobs.shutdown().await.unwrap();
    let _ = cancelling.await.unwrap();
    assert_eq!(jobs.status(unwanted).await.unwrap().status(), JobStatus::Cancelled);
    match &jobs.status(late).await.unwrap().state {
        JobState::Failed { failure, .. } => assert_eq!(failure.kind, FailureKind::Deadline),
        other => panic!("{other:?}"),
    }
}
