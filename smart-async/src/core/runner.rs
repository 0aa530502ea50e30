//! The execution of jobs, from the record that is written first to the record of the end.
//!
//! The files of this folder stand in layers: `engine` is shared by all; `record` and `sync` write what `supervise` decides;
//! `launch` begins jobs, and gives them to `supervise`; `adopt`, `rerun` and `submit` give work to both; `recover`, `retention` and `sigterm` are services beside them. Only
//! this file names all of them.

mod adopt;
mod body;
mod call_slot;
mod engine;
mod hydrate;
mod idempotency;
mod key;
mod keyed_call;
mod launch;
mod one_at_a_time;
mod record;
mod recover;
mod rerun;
mod retention;
mod settings;
mod shared_answer;
mod shutdown;
mod sigterm;
mod submit;
mod supervise;
mod sync;
mod turn;
mod typed_body;

use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub(crate) use self::adopt::{Adopted, Adopting, Adoption, CallerMarks};
pub(crate) use self::body::Body;
use self::call_slot::CallSlot;
use self::engine::Engine;
pub(crate) use self::engine::interruption;
pub(crate) use self::hydrate::InlineCompletion;
pub(crate) use self::key::CallersKey;
pub(crate) use self::keyed_call::KeyedCall;
use self::one_at_a_time::OneAtATime;
use self::rerun::Rerunners;
pub(crate) use self::rerun::{RerunSupport, Rerunner, Usage};
pub use self::settings::Retention;
pub(crate) use self::settings::Settings;
pub(in crate::core) use self::settings::{Fallback, LoadProbe};
use self::shared_answer::SharedAnswer;
pub use self::submit::{Job, JobRequest, job_fn};
pub(crate) use self::turn::{Needs, Turn, TurnLine};
pub(crate) use self::typed_body::{BodyError, BodySpawner, StopBody, TypedBody};
use crate::core::blocking::Slots;
use crate::core::call_site::CallSite;
use crate::core::context::{JobContext, JobHost};
use crate::core::job::{Actor, JobEvent, JobId, JobOutput, JobRecord};
use crate::core::jobs::{Error, Jobs};
use crate::core::local::{LiveJob, LiveJobs, Local, LostJobs, Origin};
use crate::core::observe;
use crate::core::queue::load::Load;
use crate::core::spawn::try_spawn;
use crate::core::store::StoreError;

/// Runs the jobs of one server. Cheap to clone; all clones are the same runner.
#[derive(Clone)]
pub(crate) struct Runner {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<Engine>,
    rerunners: Arc<Rerunners>,
    /// Set once the owners are known that have died.
    ready: OnceCell<()>,
    /// Cancelled when the first recovery is over.
    recovered: CancellationToken,
    /// Of several recoveries at once each would try to account for all jobs that are left.
    recoveries: OneAtATime,
    /// The recoveries that readers wait for; the answer is the jobs that were changed.
    recoveries_for_readers: SharedAnswer<Vec<JobId>>,
    /// The looks for dead owners that readers wait for, while the first recovery is under way.
    looks_for_readers: SharedAnswer<()>,
    listening: Once,
}

impl Runner {
    pub(in crate::core) fn new(
        local: Arc<Local>,
        settings: Settings,
        host: Arc<dyn JobHost>,
    ) -> Self {
        let inner = Arc::new(Inner {
            engine: Arc::new(Engine::new(Arc::clone(&local), settings, host)),
            rerunners: Arc::default(),
            ready: OnceCell::new(),
            recovered: CancellationToken::new(),
            recoveries: OneAtATime::default(),
            recoveries_for_readers: SharedAnswer::default(),
            looks_for_readers: SharedAnswer::default(),
            listening: Once::new(),
        });
        let weak: Weak<Inner> = Arc::downgrade(&inner);
        local.set_lost_jobs(weak);
        Self { inner }
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    /// The server whose jobs these are.
    pub(crate) fn server(&self) -> &str {
        self.engine().server()
    }

    /// Names the server, unless it has a name, and recovers the jobs that an earlier process of it left behind.
    pub(crate) fn serve_as(&self, server: Option<&str>) {
        if let Some(server) = server {
            let _ = self.engine().server.set(server.to_owned());
        }
        let runner = self.clone();
        try_spawn(async move { runner.ready().await });
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.engine().settings
    }

    /// The jobs of this process.
    pub(crate) fn live(&self) -> &LiveJobs {
        &self.engine().local.live
    }

    /// Counts a call among those that a shutdown waits for, until the token is dropped.
    pub(crate) fn open_call(&self) -> TaskTrackerToken {
        self.engine().local.in_flight()
    }

    /// Waits until the jobs of an earlier process of this server are shown as recovery leaves them.
    pub(crate) async fn ready(&self) {
        self.inner.wait_until_ready().await;
    }

    /// The failure of the store, or the reason why jobs are kept in memory only.
    pub(crate) fn store_error(&self) -> Option<String> {
        self.engine().store_error()
    }

    /// The share of blocking bodies.
    pub(crate) fn slots(&self) -> &Arc<Slots> {
        &self.engine().slots
    }

    /// The manager, as the jobs carry it along.
    pub(crate) fn host(&self) -> Arc<dyn JobHost> {
        Arc::clone(&self.engine().host)
    }

    /// See [`JobManager::submit`](crate::JobManager::submit).
    pub(crate) async fn submit(&self, request: JobRequest, work: impl Job) -> Result<JobId, Error> {
        submit::submit(self.engine(), request, work).await
    }

    /// Writes the record of a body that runs already. The write goes on where the caller stops waiting.
    pub(crate) fn adopt(&self, adoption: Adoption, context: Arc<JobContext>) -> Adopting {
        adopt::adopt(self.engine(), adoption, context)
    }

    /// The error of a request for a job, or for a key, where neither can outlive the process.
    pub(crate) fn not_durable(&self) -> Error {
        self.engine().not_durable()
    }

    /// Gives an open call its key, before its work starts.
    pub(crate) async fn hold_key(
        &self,
        site: &'static CallSite,
        adoption: Adoption,
        context: &Arc<JobContext>,
    ) -> Result<KeyedCall, StoreError> {
        keyed_call::hold(self.engine(), site, adoption, Arc::clone(context)).await
    }

    /// The place of an open call in the line for a slot of its tool, of which so many runs may be under way.
    pub(crate) fn call_slot(
        &self,
        adoption: Adoption,
        context: &Arc<JobContext>,
        needs: Needs,
        limit: u32,
    ) -> Box<dyn TurnLine> {
        Box::new(CallSlot::new(self.engine(), adoption, Arc::clone(context), needs, limit))
    }

    /// Writes the record of a job that has not begun, and launches it. `start` is called once, when it is its turn.
    pub(crate) async fn enqueue(
        &self,
        adoption: Adoption,
        context: Arc<JobContext>,
        needs: Needs,
        start: impl FnOnce(&Arc<JobContext>, Turn) -> Body + Send + 'static,
    ) -> Result<(Arc<LiveJob>, Arc<JobRecord>), Error> {
        adopt::enqueue(self.engine(), adoption, context, needs, start).await
    }

    /// Registers a run whose caller has left, so that the same call finds it from now on.
    pub(crate) fn register_undelivered(&self, live: &Arc<LiveJob>) {
        let jobs = self.live();
        if !jobs.holds(live) {
            jobs.insert(live);
            jobs.remember_undelivered(live);
        }
    }

    /// Keeps work whose caller has left. Where its record cannot be written, the work goes on, its result waits in memory for
    /// the caller's return, and the write is tried again and again.
    pub(crate) fn keep(
        &self,
        adoption: Adoption,
        live: Arc<LiveJob>,
        body: Body,
        adopting: Option<Adopting>,
    ) {
        adopt::keep(self.engine(), adoption, live, body, adopting);
    }

    /// Forgets a run that was registered and is not kept after all.
    pub(crate) fn forget(&self, live: &LiveJob) {
        live.ends_with(&JobEvent::Cancel);
        self.live().remove(live);
    }

    /// Supervises the work of a job that this process has claimed. `start` is called once, when it is its turn.
    pub(crate) fn resume(
        &self,
        origin: Origin,
        context: JobContext,
        needs: Needs,
        start: impl FnOnce(&Arc<JobContext>, Turn) -> Body + Send + 'static,
    ) {
        rerun::resume(self.engine(), origin, context, needs, start);
    }

    /// Takes note of a server that can make calls again, and lets it make those that wait once this process is in use.
    pub(crate) fn add_rerunner(&self, server: &Arc<impl Rerunner + 'static>) {
        let server: Weak<dyn Rerunner> = Arc::downgrade(server) as _;
        self.inner.rerunners.add(server);
        rerun::run_waiting(&self.inner.engine, &self.inner.rerunners);
        self.inner.take_on_waiting_after(rerun::IN_USE_UNASKED);
    }

    /// Takes note that a client uses this process.
    pub(crate) fn used_for(&self, usage: Usage) {
        if let Some(wait) = self.inner.rerunners.used_for(usage) {
            self.inner.take_on_waiting_after(wait);
        }
    }

    /// How many explicit jobs may run at a time.
    pub(crate) fn limit_on_jobs(&self) -> usize {
        self.engine().queue.limits().jobs
    }

    /// The load of the machine, where it can be known.
    pub(crate) async fn load(&self) -> Load {
        self.engine().queue.load().await
    }

    /// The reason why the job of this id does not begin, where that is the load of the machine.
    pub(crate) fn held_by_load(&self, id: JobId) -> Option<String> {
        self.engine().queue.held_by_load(id)
    }

    /// Requests that a job stops, in this process at once and then in its record, without waiting for its end.
    pub(crate) fn request_stop(&self, id: JobId, jobs: Jobs) {
        if let Some(live) = self.live().get(id) {
            live.request_cancel();
        }
        // In the record as well, so that the work does not run again if this process ends first.
        try_spawn(async move {
            let _ = jobs.cancel(id, Actor::Client(None)).await;
        });
    }

    /// Puts the result of a call that ended inline into its state.
    pub(crate) async fn hydrate_inline(&self, completion: &InlineCompletion, output: &JobOutput) {
        hydrate::put_inline(self.engine(), completion, output).await;
    }

    /// Ends by SIGTERM, where the program does not handle the signal itself.
    pub(crate) fn listen_for_sigterm(&self) {
        if !self.settings().end_on_sigterm {
            return;
        }
        self.inner.listening.call_once(|| {
            let weak = Arc::downgrade(self.engine());
            let shutdown = Box::new(move || {
                let engine = weak.upgrade()?;
                let shutdown: BoxFuture<'static, ()> = Box::pin(async move {
                    if let Err(error) = shutdown::shutdown(&engine).await {
                        observe::error!(%error, "the orderly end of the server failed");
                    }
                });
                Some(shutdown)
            });
            sigterm::listen(shutdown, shutdown::longest_shutdown(self.engine()));
        });
    }

    /// See [`JobManager::shutdown`](crate::JobManager::shutdown).
    pub(crate) async fn shutdown(&self) -> Result<(), Error> {
        shutdown::shutdown(self.engine()).await
    }

    /// Returns whether no new work is taken.
    pub(crate) fn is_stopping(&self) -> bool {
        self.engine().is_stopping()
    }

    /// Waits until everything that still runs has to stop.
    pub(crate) async fn halted(&self) {
        self.engine().halted.cancelled().await;
    }
}

impl Inner {
    /// Waits until the owners are known that have died.
    async fn wait_until_ready(self: &Arc<Self>) {
        // Boxed, because every read would carry the size along of what is done once.
        self.ready.get_or_init(|| Box::pin(self.begin_first_recovery())).await;
    }

    /// Looks for what an earlier process left behind, and accounts for it in the background: that may be much. A store that fails
    /// now is no reason not to serve: what was left behind is shown as it is, and stays until the next look.
    async fn begin_first_recovery(self: &Arc<Self>) {
        let abandoned = recover::look(&self.engine).await;
        recover::remember_runs(&self.engine).await;
        let (inner, over) = (Arc::clone(self), self.recovered.clone().drop_guard());
        try_spawn(async move {
            {
                let _turn = inner.recoveries.turn().await;
                inner.account_for(abandoned).await;
            }
            drop(over);
            retention::start(&inner.engine);
        });
    }

    /// Lets this process take on the jobs that wait for its servers, in the background and after this time.
    fn take_on_waiting_after(self: &Arc<Self>, wait: Duration) {
        let (weak, gone) = (Arc::downgrade(self), self.engine.gone.clone());
        try_spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = gone.cancelled() => return,
            }
            let Some(inner) = weak.upgrade() else { return };
            inner.wait_until_ready().await;
            inner.rerunners.set_in_use();
            rerun::run_waiting(&inner.engine, &inner.rerunners);
        });
    }

    /// Accounts for the jobs that are lost now.
    async fn recover_lost(&self) -> Vec<JobId> {
        let _turn = self.recoveries.turn().await;
        self.account_for(recover::look(&self.engine).await).await
    }

    async fn account_for(&self, abandoned: Vec<Arc<JobRecord>>) -> Vec<JobId> {
        let recovered = recover::account_for(&self.engine, abandoned).await;
        if recovered.is_work_waiting {
            rerun::run_waiting(&self.engine, &self.rerunners);
        }
        recovered.changed
    }
}

impl LostJobs for Inner {
    fn server(&self) -> &str {
        self.engine.server()
    }

    fn ready(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.wait_until_ready().await })
    }

    fn recovered(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.recovered.cancelled())
    }

    fn is_recovering(&self) -> bool {
        !self.recovered.is_cancelled()
    }

    fn recover(&self) -> BoxFuture<'_, Vec<JobId>> {
        Box::pin(async {
            if !self.is_recovering() {
                return self.recoveries_for_readers.of(self.recover_lost()).await;
            }
            let look = async { drop(recover::look(&self.engine).await) };
            self.looks_for_readers.of(look).await;
            Vec::new()
        })
    }

    fn look_for_lost(self: Arc<Self>) {
        let Some(place) = self.recoveries.place() else { return };
        try_spawn(async move {
            let _turn = place.turn().await;
            self.account_for(recover::look(&self.engine).await).await;
        });
    }

    fn look_for_waiting(&self) {
        rerun::run_waiting(&self.engine, &self.rerunners);
    }
}
