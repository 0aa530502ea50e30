//! Reruns: work that runs again after the end of its server. Only a server can make a call from its arguments, so jobs that wait
//! stay `pending` until this process has a server with their tool.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::body::Body;
use super::engine::{Engine, false_start};
use super::launch::{StartTurn, launch};
use super::one_at_a_time::OneAtATime;
use super::turn::{Needs, Turn};
use crate::core::backoff::Backoff;
use crate::core::context::JobContext;
use crate::core::job::{
    Change, ClaimQuery, FailureKind, JobEvent, JobFailure, JobRecord, JobStatus,
};
use crate::core::local::{LiveJob, Origin};
use crate::core::observe;
use crate::core::shield::panic_message;
use crate::core::spawn::try_spawn;
use crate::core::sync::Mutex;

/// Whether a server can make a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RerunSupport {
    /// The server does not have the tool.
    NoTool,
    /// The server has the tool, whose calls do not run again any more.
    NotRerunnable,
    /// The server has the tool, and its calls may run again.
    Rerunnable,
}

/// A server that can make calls again.
pub(crate) trait Rerunner: Send + Sync {
    /// Whether the server can make the calls of this tool again.
    fn supports(&self, tool: String) -> BoxFuture<'_, RerunSupport>;

    /// Makes the call again that became `job`. Returns when the work has been taken on; an error says why it was not.
    fn rerun(&self, job: Arc<JobRecord>) -> BoxFuture<'_, Result<(), String>>;
}

/// The use that a client makes of this process, as its requests show it.
///
/// Clients start throw-away processes to ask for a version (`initialize`, `server/discover`, `ping`), and kill them. A waiting job that
/// such a process takes on is interrupted once more for nothing, so that only a process in use takes jobs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Lists and settings: a host asks for these when it begins to use a server, and so does an inspector that ends it at once.
    SetUp,
    /// Anything else.
    Work,
}

/// How long after the first list a process counts as in use.
const IN_USE_AFTER_SET_UP: Duration = Duration::from_secs(5);

/// How long after its start a server counts as in use though no client asks for anything: no probe takes that long.
pub(super) const IN_USE_UNASKED: Duration = Duration::from_secs(60);

/// After what time the process asks again for jobs that it could not claim.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The servers of this process that can make calls again, for as long as they are there.
#[derive(Default)]
pub(super) struct Rerunners {
    known: Mutex<Vec<Weak<dyn Rerunner>>>,
    is_set_up: AtomicBool,
    is_in_use: AtomicBool,
    /// Of the tasks that go through the waiting jobs, one at a time is enough.
    looks: OneAtATime,
}

impl Rerunners {
    pub(super) fn add(&self, server: Weak<dyn Rerunner>) {
        let mut servers = self.known.lock();
        servers.retain(|server| server.strong_count() > 0);
        servers.push(server);
    }

    /// Takes note of a use. Returns after what time the process takes waiting jobs on, where this use decides that.
    pub(super) fn used_for(&self, usage: Usage) -> Option<Duration> {
        let (known, wait) = match usage {
            Usage::SetUp => (&self.is_set_up, IN_USE_AFTER_SET_UP),
            Usage::Work => (&self.is_in_use, Duration::ZERO),
        };
        let is_first = !known.load(Ordering::Relaxed) && !known.swap(true, Ordering::Relaxed);
        is_first.then_some(wait)
    }

    /// Lets this process take waiting jobs on.
    pub(super) fn set_in_use(&self) {
        self.is_in_use.store(true, Ordering::Relaxed);
    }

    /// Returns whether the waiting jobs are to be left alone, because the servers of this process may be a probe's.
    fn may_be_probed(&self) -> bool {
        !self.is_in_use.load(Ordering::Relaxed) && !self.known.lock().is_empty()
    }

    fn all(&self) -> Vec<Arc<dyn Rerunner>> {
        let servers = self.known.lock();
        servers.iter().filter_map(Weak::upgrade).collect()
    }

    /// The server that supports reruns of `tool` best, where one has it.
    async fn find(&self, tool: &str) -> Option<(RerunSupport, Arc<dyn Rerunner>)> {
        let mut best = None;
        for server in self.all() {
            let support = server.supports(tool.to_owned()).await;
            if support > best.as_ref().map_or(RerunSupport::NoTool, |(support, _)| *support) {
                best = Some((support, server));
            }
        }
        best
    }
}

/// Reruns, in the background, the jobs that wait for a server which this process has, where it is in use.
pub(super) fn run_waiting(engine: &Arc<Engine>, servers: &Arc<Rerunners>) {
    if servers.may_be_probed() {
        return;
    }
    let Some(place) = servers.looks.place() else { return };
    let (engine, servers) = (Arc::clone(engine), Arc::clone(servers));
    try_spawn(async move {
        let _turn = place.turn().await;
        match engine.local.store.abandoned(Some(engine.server().to_owned())).await {
            Ok(jobs) => look_at_waiting(&engine, &servers, jobs).await,
            Err(error) => {
                observe::error!(%error, "failed to look for work that waits to run again");
            }
        }
    });
}

async fn look_at_waiting(engine: &Arc<Engine>, servers: &Rerunners, jobs: Vec<Arc<JobRecord>>) {
    // A body that still runs here after its job was given back must not run a second time beside itself.
    let runs_here = |job: &JobRecord| engine.local.live.get(job.id).is_some();
    let waiting = jobs.into_iter().filter(|job| job.waits_for_server() && !runs_here(job));
    let mut of_tool = BTreeMap::<_, Vec<_>>::new();
    for job in waiting {
        of_tool.entry(job.spec.tool.clone()).or_default().push(job);
    }
    let mut is_held_back = false;
    for (tool, jobs) in of_tool {
        let found = servers.find(&tool).await;
        // The server may be a probe's that has come since the look began.
        if found.is_some() && servers.may_be_probed() {
            continue;
        }
        if let Some((RerunSupport::Rerunnable, server)) = found {
            let mut query = ClaimQuery::new(engine.server(), jobs.len());
            query.jobs = jobs.iter().map(|job| job.id).collect();
            query.limits = Some(engine.queue.limits_for_reruns().await);
            let claimed = claim(engine, query).await;
            is_held_back |= claimed.len() < jobs.len();
            for job in claimed {
                take_on(engine, Arc::clone(&server), job);
            }
            continue;
        }
        let oldest = engine.local.ago(engine.settings.retention().max_age);
        for job in jobs {
            match &found {
                _ if engine.is_stopping() => return,
                Some(_) => give_up(engine, &job, "its calls do not run again any more").await,
                None if job.updated_at < oldest => {
                    give_up(engine, &job, "no server came that has the tool").await;
                }
                None => {
                    observe::debug!(job_id = %job.id, tool, "job waits for a server that has its tool");
                }
            }
        }
    }
    if is_held_back {
        look_again(engine);
    }
}

/// Looks at the waiting jobs again in a moment: some could not be claimed, as where the limits on running jobs have no room.
fn look_again(engine: &Engine) {
    let (local, gone) = (Arc::clone(&engine.local), engine.gone.clone());
    try_spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = gone.cancelled() => return,
        }
        if let Some(runner) = local.lost_jobs() {
            runner.look_for_waiting();
        }
    });
}

/// Lets a server run the work of a claimed job again.
fn take_on(engine: &Arc<Engine>, server: Arc<dyn Rerunner>, job: Arc<JobRecord>) {
    observe::info!(job_id = %job.id, tool = %job.spec.tool, attempt = job.attempt, "running a job again after the end of its server");
    let (engine, in_flight) = (Arc::clone(engine), engine.local.in_flight());
    tokio::spawn(async move {
        let _in_flight = in_flight;
        let call = server.rerun(Arc::clone(&job));
        // The author's code between the server and the tool may panic or hang.
        let refusal = tokio::select! {
            called = std::panic::AssertUnwindSafe(call).catch_unwind() => match called {
                Ok(Ok(())) => return,
                Ok(Err(reason)) => reason,
                Err(panic) => format!("the server panicked: {}", panic_message(&*panic)),
            },
            () = engine.halted.cancelled() => "the server is ending".to_owned(),
        };
        // Work that has begun all the same goes on.
        if engine.local.live.get(job.id).is_none() {
            give_up(&engine, &job, &refusal).await;
        }
    });
}

/// Makes this process the owner of jobs that wait, and tries until that is known: a claim in doubt may stand all the same, and no
/// other process takes on a job that has a living owner.
async fn claim(engine: &Engine, query: ClaimQuery) -> Vec<Arc<JobRecord>> {
    let local = &engine.local;
    let is_ours = |job: &JobRecord| {
        job.status() == JobStatus::Pending
            && job.owner == Some(local.store.owner())
            && local.live.get(job.id).is_none()
    };
    let mut backoff = Backoff::default();
    let mut in_doubt = false;
    while !engine.is_stopping() {
        let claimed = match local.observed(local.store.claim(query.clone()).await) {
            // Those of an attempt in doubt are ours already.
            Ok(_) if in_doubt => {
                let found = local.store.get_many(query.jobs.clone()).await;
                found.map(|found| found.into_iter().filter(|job| is_ours(job)).collect())
            }
            claimed => claimed,
        };
        match claimed {
            Ok(claimed) => return claimed,
            Err(error) => {
                observe::error!(%error, "failed to take on jobs that wait to run again");
                if !error.is_transient() || engine.pause(&mut backoff).await.is_err() {
                    return Vec::new();
                }
                in_doubt |= error.is_in_doubt();
            }
        }
    }
    Vec::new()
}

/// Ends a job whose work could not begin again.
async fn give_up(engine: &Engine, job: &JobRecord, reason: &str) {
    let event = if engine.is_stopping() {
        false_start()
    } else {
        let message = format!(
            "the server that ran this job ended, and the call could not be made again: {reason}"
        );
        JobEvent::Fail(JobFailure::new(FailureKind::Interrupted, message))
    };
    let change = Change::new(event, engine.local.now()).owned_by(job.owner);
    let mut backoff = Backoff::default();
    loop {
        match engine.local.update(job.id, change.clone()).await {
            Ok(job) => {
                let (job_id, tool) = (job.id, &job.spec.tool);
                match job.status() {
                    JobStatus::Pending => {
                        observe::info!(%job_id, tool, "this server ends before a job runs again, which waits for the next one");
                    }
                    // The reason may quote the arguments, so it stands in the record alone.
                    status => {
                        observe::warn!(%job_id, tool, %status, "a job could not run again; job_status shows why");
                    }
                }
                return engine.local.announce(&job);
            }
            Err(error) if error.is_transient() && engine.pause(&mut backoff).await.is_ok() => {}
            // Another process ended it; or the store is closed, and the next start accounts for it.
            Err(_) => return,
        }
    }
}

/// Supervises the work of a job that this process has claimed. `start` is called once, when it is its turn.
pub(super) fn resume(
    engine: &Arc<Engine>,
    origin: Origin,
    context: JobContext,
    needs: Needs,
    start: impl FnOnce(&Arc<JobContext>, Turn) -> Body + Send + 'static,
) {
    engine.keep_owner_alive(&context);
    let turn = StartTurn::of(needs, engine, &context);
    let live = LiveJob::new(Arc::new(context), Some(origin));
    engine.local.live.insert(&live);
    if origin.site.coalesce {
        engine.local.live.share_again(&live);
    }
    launch(engine, live, turn, start, origin.site.deadline, None);
}
