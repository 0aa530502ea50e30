//! The ways in which work becomes a job: a call that outlived its budget is adopted, work that is to run as a job is enqueued, and
//! work whose caller has left is kept. The record is written first in each, so an id that is not on disk never leaves the
//! process.
//!
//! Each write goes on where its caller stops waiting, so that no record is left behind without a supervisor.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::body::Body;
use super::engine::Engine;
use super::key::{CallersKey, insert};
use super::launch::{StartTurn, launch};
use super::supervise::{Recorded, supervise};
use super::turn::{Needs, Turn};
use crate::core::backoff::Backoff;
use crate::core::clock;
use crate::core::context::JobContext;
use crate::core::job::{
    Change, IdempotencyKey, JobEvent, JobId, JobKind, JobRecord, JobScope, JobSpec, JobState,
    JobStatus, OwnerId, PendingReason, Priority, StateTarget,
};
use crate::core::jobs::Error;
use crate::core::local::redaction::{redacted_progress, redacted_questions};
use crate::core::local::{LiveJob, Origin, SharedRun};
use crate::core::observe;
use crate::core::spawn::try_spawn;
use crate::core::store::StoreError;

/// The marks by which a caller finds its job again.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct CallerMarks {
    /// The name of the job, where it is not that of the tool.
    pub(crate) label: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// The caller's own grouping of its jobs.
    pub(crate) session: Option<String>,
    /// How urgent the job is, where the caller says so.
    pub(crate) priority: Option<Priority>,
}

/// The request that makes a job, beside the context of its run.
#[derive(Clone, Default)]
pub(crate) struct Adoption {
    pub(super) tool: String,
    pub(super) marks: CallerMarks,
    /// The client that the job belongs to.
    pub(super) scope: Option<JobScope>,
    /// The call that the job comes from, where it comes from one.
    pub(super) origin: Option<Origin>,
    pub(super) deadline: Option<Duration>,
    /// The kind of work.
    pub(super) kind: JobKind,
    /// How often the work may run again after the end of its server, where it may.
    pub(super) max_reruns: Option<u32>,
    /// How many runs of the tool may be under way at a time.
    pub(super) max_concurrent: Option<u32>,
    pub(super) priority: Priority,
    /// Whether the job is asked for as one.
    pub(super) explicit: bool,
    /// The arguments of the call, where another run may need them.
    pub(super) arguments: Option<Arc<Map<String, Value>>>,
    /// The key of the call, where it has one, and for how long it is kept.
    pub(super) key: Option<(CallersKey, Duration)>,
    /// The state that the result goes into.
    pub(super) state_target: Option<StateTarget>,
    /// The run, where the same calls share it.
    pub(super) shared: Option<Arc<SharedRun>>,
}

impl Adoption {
    /// The request that a call makes.
    pub(crate) fn of_call(
        origin: Origin,
        marks: CallerMarks,
        arguments: Option<Arc<Map<String, Value>>>,
    ) -> Self {
        Self {
            tool: origin.site.tool.to_owned(),
            marks,
            deadline: origin.site.deadline,
            state_target: origin.site.state_target(),
            max_concurrent: origin.site.max_concurrent,
            priority: origin.site.priority,
            origin: Some(origin),
            max_reruns: arguments.is_some().then_some(origin.site.max_reruns),
            arguments,
            ..Self::default()
        }
    }

    /// The same, of a call that this client made.
    pub(crate) fn of_client(self, scope: Option<JobScope>) -> Self {
        Self { scope, ..self }
    }

    /// The same, of a run that the same calls share.
    pub(crate) fn of_shared_run(self, shared: Option<Arc<SharedRun>>) -> Self {
        Self { shared, ..self }
    }

    /// The same, of a call that has a key, which is kept for so long.
    pub(crate) fn with_key(self, key: CallersKey, kept_for: Duration) -> Self {
        Self { key: Some((key, kept_for)), ..self }
    }

    /// The run, as other calls have found it already where they share it.
    fn live(&self, context: Arc<JobContext>) -> Arc<LiveJob> {
        match &self.shared {
            Some(shared) => Arc::clone(shared.job()),
            None => LiveJob::new(context, self.origin),
        }
    }

    /// The record of a body that has not begun.
    pub(super) fn pending_record(&self, engine: &Engine, context: &JobContext) -> JobRecord {
        let mut record = self.record(engine, context.id());
        if context.turn.waits() {
            record.state = JobState::Pending { reason: PendingReason::Queued };
        }
        record
    }

    fn record(&self, engine: &Engine, id: JobId) -> JobRecord {
        let mut spec = JobSpec::new(&*self.tool, engine.server(), engine.local.now());
        spec.kind = self.kind;
        if let Some(label) = &self.marks.label {
            spec.label.clone_from(label);
        }
        spec.tags.clone_from(&self.marks.tags);
        spec.session.clone_from(&self.marks.session);
        spec.scope.clone_from(&self.scope);
        spec.deadline = self.deadline;
        spec.max_concurrent = self.max_concurrent;
        spec.priority = self.marks.priority.unwrap_or(self.priority);
        spec.explicit = self.explicit;
        spec.max_reruns = self.max_reruns;
        spec.arguments = self.arguments.as_deref().cloned();
        spec.state_target.clone_from(&self.state_target);
        spec.idempotency = self.key.as_ref().map(|(key, kept_for)| {
            let until = clock::after(spec.created_at, *kept_for);
            IdempotencyKey::new(key.hash.clone(), key.arguments.clone(), until)
        });
        let mut record = JobRecord::new(id, spec);
        record.owner = Some(engine.local.store.owner());
        record
    }

    /// The record of a body that runs already: `running` since the body began.
    fn running_record(&self, engine: &Engine, context: &JobContext) -> JobRecord {
        let mut record = self.record(engine, context.id());
        let site = self.origin.map(|origin| origin.site);
        let progress = context.progress.read();
        record.progress = progress.map(|progress| redacted_progress(site, progress));
        // A new job can always start.
        if let Ok(state) = JobState::STARTING
            .apply(JobEvent::Start, engine.local.ago(context.run_began().elapsed()))
        {
            record.state = state;
        }
        record.with_questions(redacted_questions(site, context.questions.all()))
    }
}

/// Supervises a body that was spawned already: that runs, or waits for its turn.
fn see_to(
    engine: &Arc<Engine>,
    live: Arc<LiveJob>,
    body: Body,
    limit: Option<Duration>,
    recorded: Option<Recorded>,
) {
    if live.context.turn.waits() {
        let turn = StartTurn::ToCome(body.needs());
        let begin = body.into_begin();
        launch(engine, live, turn, move |_, turn| begin(turn), limit, recorded);
    } else {
        supervise(engine, live, body, limit, recorded);
    }
}

/// A job whose record is on disk, and whose body is not supervised yet. Dropped, it takes its record back.
pub(crate) struct Adopted {
    engine: Arc<Engine>,
    /// The job; taken once its body is supervised.
    live: Option<Arc<LiveJob>>,
    /// The record as the store has it.
    record: Arc<JobRecord>,
    deadline: Option<Duration>,
}

impl Adopted {
    /// Supervises the body from now on. Returns the job, where it has a caller that is to be told of it, and its record.
    pub(crate) fn supervise(mut self, body: Body) -> (Option<Arc<LiveJob>>, Arc<JobRecord>) {
        let live = self.live.take();
        if let Some(live) = &live {
            self.engine.local.live.insert(live);
            see_to(&self.engine, Arc::clone(live), body, self.deadline, None);
        }
        (live, Arc::clone(&self.record))
    }

    /// The record as the store has it.
    pub(crate) fn record(&self) -> Arc<JobRecord> {
        Arc::clone(&self.record)
    }

    /// Returns whether the record is the call's own, for its key: it stays, and the call writes its end.
    fn has_key(&self) -> bool {
        self.record.spec.idempotency.is_some()
    }

    /// Takes its record back, and returns when that is done.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait only.
    pub(crate) async fn take_back(mut self) {
        if let Some(live) = self.live.take()
            && !self.has_key()
        {
            let in_flight = self.engine.local.in_flight();
            let _ = tokio::spawn(withdraw(Arc::clone(&self.engine), live.id(), in_flight)).await;
        }
    }
}

/// The body ended, or was stopped, before any caller learned of the job: no record is left behind.
impl Drop for Adopted {
    fn drop(&mut self) {
        if let Some(live) = self.live.take()
            && !self.has_key()
        {
            let in_flight = self.engine.local.in_flight();
            try_spawn(withdraw(Arc::clone(&self.engine), live.id(), in_flight));
        }
    }
}

/// The write of the record of a body that runs already. It runs in its caller's task; dropped before its end, it goes on in a
/// task of its own.
pub(crate) struct Adopting(Option<BoxFuture<'static, Result<Adopted, StoreError>>>);

impl Future for Adopting {
    type Output = Result<Adopted, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(write) = &mut self.0 else { return Poll::Ready(Err(StoreError::Closed)) };
        let adopted = ready!(write.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(adopted)
    }
}

impl Drop for Adopting {
    fn drop(&mut self) {
        if let Some(write) = self.0.take() {
            try_spawn(write.map(drop));
        }
    }
}

/// Writes the record of a body that runs already.
pub(super) fn adopt(
    engine: &Arc<Engine>,
    adoption: Adoption,
    context: Arc<JobContext>,
) -> Adopting {
    let (engine, in_flight) = (Arc::clone(engine), engine.local.in_flight());
    let write = async move {
        let _in_flight = in_flight;
        engine.local.ready().await;
        // The call goes on waiting, as while a store fails, and tries again.
        if let Some(limit) = engine.reached_limit() {
            let reason = io::Error::other(Error::TooManyLive(limit).to_string());
            return Err(StoreError::io("take one more job into", "the server", reason));
        }
        let record = record_running(&engine, &adoption, &context).await?;
        let live = Some(adoption.live(context));
        Ok(Adopted { engine, live, record, deadline: adoption.deadline })
    };
    Adopting(Some(write.boxed()))
}

async fn record_running(
    engine: &Engine,
    adoption: &Adoption,
    context: &JobContext,
) -> Result<Arc<JobRecord>, StoreError> {
    engine.keep_owner_alive(context);
    let (local, id) = (&engine.local, context.id());
    let attempt = match context.turn.waits() {
        true => adoption.pending_record(engine, context),
        false => adoption.running_record(engine, context),
    };
    let inserted = local.store.insert(attempt).await;
    let record = match local.observed(inserted) {
        Ok(record) => {
            local.announce(&record);
            record
        }
        // An earlier attempt reached the disk after all: no other job has this id.
        Err(StoreError::Duplicate(_)) => {
            local.store.get(id).await?.ok_or(StoreError::NotFound(id))?
        }
        Err(error) => return Err(error),
    };
    let record = match record.call_open {
        true => detach(engine, adoption, context).await?,
        false => record,
    };
    // The body may have begun since an earlier attempt.
    let record = match record.status() == JobStatus::Pending && !context.turn.waits() {
        true => local.update(id, local.own_change(JobEvent::Start)).await?,
        false => record,
    };
    context.questions.apply_recorded(&record.questions);
    context.turn.keep_record();
    Ok(record)
}

/// Makes a job of the record that an open call has for its slot.
async fn detach(
    engine: &Engine,
    adoption: &Adoption,
    context: &JobContext,
) -> Result<Arc<JobRecord>, StoreError> {
    let site = adoption.origin.map(|origin| origin.site);
    let began = engine.local.ago(context.run_began().elapsed());
    let questions = redacted_questions(site, context.questions.all());
    let event = JobEvent::Detach((!context.turn.waits()).then_some(began), questions);
    let progress = context.progress.read().map(|progress| redacted_progress(site, progress));
    let change = engine.local.own_change(event).with_progress(progress);
    let job = engine.local.update(context.id(), change).await?;
    engine.local.announce(&job);
    Ok(job)
}

/// Takes back the record of a job that no caller learned of, however long that takes. A shutdown waits for it.
pub(super) async fn withdraw(engine: Arc<Engine>, id: JobId, _in_flight: TaskTrackerToken) {
    let mut backoff = Backoff::default();
    while let Err(error) = engine.local.observed(engine.local.store.withdraw(id).await) {
        observe::error!(job_id = %id, %error, "the record of a call that ended inline could not be taken back");
        if !error.is_transient() || engine.pause(&mut backoff).await.is_err() {
            // Recovery accounts for it when this process is gone.
            return;
        }
    }
}

/// Takes back the record of an attempt in doubt, where it stands once the store has recovered, unless another attempt has taken
/// its place since.
pub(super) async fn withdraw_attempt(
    engine: Arc<Engine>,
    attempt: JobRecord,
    in_flight: TaskTrackerToken,
) {
    // A store that has not recovered refuses this change as transient. After that it refuses it for good, whichever job stands.
    let refused =
        Change::new(JobEvent::Progress, attempt.updated_at).owned_by(Some(OwnerId::new()));
    let mut backoff = Backoff::default();
    while let Err(error) = engine.local.store.update(attempt.id, refused.clone()).await
        && error.is_transient()
        && engine.pause(&mut backoff).await.is_ok()
    {}
    let stands = engine.local.store.get(attempt.id).await;
    if stands.is_ok_and(|job| job.is_some_and(|job| job.unnumbered() == attempt)) {
        withdraw(engine, attempt.id, in_flight).await;
    }
}

/// Writes the record of a job that has not begun, and launches it. `start` is called once, when it is its turn.
pub(super) async fn enqueue(
    engine: &Arc<Engine>,
    adoption: Adoption,
    context: Arc<JobContext>,
    needs: Needs,
    start: impl FnOnce(&Arc<JobContext>, Turn) -> Body + Send + 'static,
) -> Result<(Arc<LiveJob>, Arc<JobRecord>), Error> {
    let engine = Arc::clone(engine);
    let adoption = Adoption { explicit: true, ..adoption };
    let written = tokio::spawn(async move {
        engine.local.ready().await;
        context.turn.wait_in_queue();
        let turn = StartTurn::ToCome(needs);
        let record = create(&engine, &adoption, &context).await?;
        let live = adoption.live(context);
        engine.local.live.insert(&live);
        engine.local.announce(&record);
        launch(&engine, Arc::clone(&live), turn, start, adoption.deadline, None);
        Ok((live, record))
    });
    written.await.unwrap_or(Err(Error::Stopping))
}

/// Writes the record of a job that has not begun.
async fn create(
    engine: &Arc<Engine>,
    adoption: &Adoption,
    context: &JobContext,
) -> Result<Arc<JobRecord>, Error> {
    if engine.is_stopping() {
        return Err(Error::Stopping);
    }
    if let Some(limit) = engine.reached_limit() {
        return Err(Error::TooManyLive(limit));
    }
    if !engine.settings.hands_out_ids {
        return Err(engine.not_durable());
    }
    engine.keep_owner_alive(context);
    let (local, id) = (&engine.local, context.id());
    if local.store.get(id).await?.is_some() {
        return Err(StoreError::Duplicate(id).into());
    }
    let attempt = adoption.pending_record(engine, context);
    match insert(engine, &attempt).await {
        Ok(record) => Ok(record),
        Err(error) => {
            // The caller learns that there is no job, so the record must not stand.
            if error.is_in_doubt() {
                let in_flight = local.in_flight();
                tokio::spawn(withdraw_attempt(Arc::clone(engine), attempt, in_flight));
            }
            Err(error.into())
        }
    }
}

/// Keeps work whose caller has left. Where its record cannot be written, the work goes on, its result waits in memory for the
/// caller's return, and the write is tried again and again.
pub(super) fn keep(
    engine: &Arc<Engine>,
    adoption: Adoption,
    live: Arc<LiveJob>,
    body: Body,
    adopting: Option<Adopting>,
) {
    let deadline = adoption.deadline;
    let recorded = {
        let (engine, live) = (Arc::clone(engine), Arc::clone(&live));
        tokio::spawn(async move { record_at_last(&engine, &adoption, &live, adopting).await })
    };
    let recorded = recorded.map(|recorded| recorded.unwrap_or(false)).boxed().shared();
    see_to(engine, live, body, deadline, Some(recorded));
}

/// Writes the record of kept work, however long that takes. Returns whether it was written before the runner ended.
async fn record_at_last(
    engine: &Engine,
    adoption: &Adoption,
    live: &LiveJob,
    adopting: Option<Adopting>,
) -> bool {
    engine.local.ready().await;
    // The call may have been writing the record when its caller left.
    if let Some(adopting) = adopting
        && let Ok(mut adopted) = adopting.await
    {
        adopted.live = None;
        return true;
    }
    let mut backoff = Backoff::default();
    while let Err(error) = record_running(engine, adoption, &live.context).await {
        observe::error!(tool = adoption.tool, %error, "work whose caller has left could not be stored");
        if !error.is_transient() {
            return false;
        }
        if engine.pause(&mut backoff).await.is_err() {
            let last = record_running(engine, adoption, &live.context).await;
            return last.inspect_err(|error| engine.count_unwritten(error)).is_ok();
        }
    }
    true
}
