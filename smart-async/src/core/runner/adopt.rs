//! How work becomes a job: a call that outlived its budget is adopted, work that is to run as a job is enqueued, and
//! work whose caller has left is kept. The record comes first in each: an id that is not on disk is never handed out.
//!
//! Writing runs in tasks of its own, so that whoever stops waiting leaves no record behind that nobody looks after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use super::OpenCallGuard;
use super::body::Body;
use super::supervise::interrupted;
use crate::core::backoff::Backoff;
use crate::core::context::JobContext;
use crate::core::job::{
    Change, JobEvent, JobId, JobKind, JobRecord, JobScope, JobSpec, JobState, OwnerId, StateTarget,
};
use crate::core::jobs::Error;
use crate::core::local::redaction::{progress_for_the_store, questions_for_the_store};
use crate::core::local::{LiveJob, Origin, SharedRun};
use crate::core::manager::JobManager;
use crate::core::spawn::try_spawn;
use crate::core::store::StoreError;
use crate::core::{clock, observe};

/// What the record of a job begins with, beside what the work itself says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Adoption {
    pub(in crate::core) tool: String,
    pub(in crate::core) label: Option<String>,
    pub(in crate::core) tags: BTreeMap<String, String>,
    pub(in crate::core) session: Option<String>,
    /// Whose it is.
    pub(in crate::core) scope: Option<JobScope>,
    /// The call that the job comes from, where it comes from one.
    pub(in crate::core) origin: Option<Origin>,
    pub(in crate::core) deadline: Option<Duration>,
    /// The kind of work.
    pub(in crate::core) kind: JobKind,
    /// How often the work may run again after the end of its server, where it may.
    pub(in crate::core) max_reruns: Option<u32>,
    /// The arguments of the call, where another run may need them.
    pub(in crate::core) arguments: Option<Arc<Map<String, Value>>>,
    /// The state that the result goes into.
    pub(in crate::core) state_target: Option<StateTarget>,
    /// The run, where the same calls share it.
    pub(in crate::core) shared: Option<Arc<SharedRun>>,
}

impl Adoption {
    /// What the record of a call begins with.
    pub(crate) fn of_call(
        origin: Origin,
        label: Option<String>,
        arguments: Option<Arc<Map<String, Value>>>,
    ) -> Self {
        Self {
            tool: origin.site.tool.to_owned(),
            label,
            deadline: origin.site.deadline,
            state_target: origin.site.state.map(StateTarget::from),
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

    /// The work: as others have found it already, where they could.
    fn live(&self, context: Arc<JobContext>) -> Arc<LiveJob> {
        match &self.shared {
            Some(shared) => Arc::clone(shared.job()),
            None => LiveJob::new(context, self.origin),
        }
    }

    fn record(&self, manager: &JobManager, id: JobId) -> JobRecord {
        let mut spec = JobSpec::new(&*self.tool, manager.server(), clock::now());
        spec.kind = self.kind;
        if let Some(label) = &self.label {
            spec.label.clone_from(label);
        }
        spec.tags.clone_from(&self.tags);
        spec.session.clone_from(&self.session);
        spec.scope.clone_from(&self.scope);
        spec.deadline = self.deadline;
        spec.max_reruns = self.max_reruns;
        spec.arguments = self.arguments.as_deref().cloned();
        spec.state_target.clone_from(&self.state_target);
        let mut record = JobRecord::new(id, spec);
        record.owner = Some(manager.store().owner());
        record
    }

    /// The record of work that runs already: it is `running` since the work began.
    fn running_record(&self, manager: &JobManager, context: &JobContext) -> JobRecord {
        let mut record = self.record(manager, context.id());
        record.progress = context.progress.read().map(|progress| match self.origin {
            Some(origin) => progress_for_the_store(origin.site, progress),
            None => progress,
        });
        // Work that is new can always start.
        if let Ok(state) =
            JobState::STARTING.apply(JobEvent::Start, clock::ago(context.began.elapsed()))
        {
            record.state = state;
        }
        let questions = context.questions.all();
        record.with_questions(match self.origin {
            Some(origin) => questions_for_the_store(origin.site, questions),
            None => questions,
        })
    }
}

/// A job whose record is on disk, and whose body is not watched over yet. Dropped, it takes its record back.
pub(crate) struct Adopted {
    manager: JobManager,
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
            self.manager.live().insert(live);
            self.manager.supervise(Arc::clone(live), body, self.deadline, None);
        }
        (live, Arc::clone(&self.record))
    }
}

impl Adopted {
    /// Takes its record back, and returns when that is done.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting only.
    pub(crate) async fn take_back(mut self) {
        if let Some(live) = self.live.take() {
            let withdrawal = self.manager.clone().withdraw(live.id(), self.manager.open_call());
            let _ = tokio::spawn(withdrawal).await;
        }
    }
}

/// The work ended, or was stopped, before anybody heard of the job: no record is left behind.
impl Drop for Adopted {
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            try_spawn(self.manager.clone().withdraw(live.id(), self.manager.open_call()));
        }
    }
}

impl JobManager {
    /// Writes the record of work that runs already. The task goes on where nobody waits for it.
    pub(crate) fn adopt(
        &self,
        adoption: Adoption,
        context: Arc<JobContext>,
    ) -> JoinHandle<Result<Adopted, StoreError>> {
        let (manager, open) = (self.clone(), self.open_call());
        tokio::spawn(async move {
            let _open = open;
            manager.ready().await;
            let record = manager.record_running(&adoption, &context).await?;
            let live = Some(adoption.live(context));
            Ok(Adopted { manager, live, record, deadline: adoption.deadline })
        })
    }

    /// Work that may run again keeps its process's name alive for as long as it runs: by that name others know that it
    /// does. A body that holds a thread of its own runs on after everything else has been dropped.
    pub(in crate::core) fn hold_name(&self, context: &JobContext) {
        context.keep_alive(Arc::clone(&self.inner.store));
    }

    async fn record_running(
        &self,
        adoption: &Adoption,
        context: &JobContext,
    ) -> Result<Arc<JobRecord>, StoreError> {
        if adoption.max_reruns.is_some() {
            self.hold_name(context);
        }
        let id = context.id();
        let record =
            match self.note(self.store().insert(adoption.running_record(self, context)).await) {
                Ok(record) => {
                    self.announce(&record);
                    record
                }
                // An earlier attempt reached the disk after all: no other job has this id.
                Err(StoreError::Duplicate(_)) => {
                    self.store().get(id).await?.ok_or(StoreError::NotFound(id))?
                }
                Err(error) => return Err(error),
            };
        context.questions.apply_recorded(&record.questions);
        Ok(record)
    }

    /// Takes back the record of a job that nobody heard of, however long that takes. The manager's end waits for it as for
    /// an open call.
    async fn withdraw(self, id: JobId, _open: OpenCallGuard) {
        let mut backoff = Backoff::default();
        while let Err(error) = self.note(self.store().withdraw(id).await) {
            observe::error!(job_id = %id, %error, "the record of a call that ended inline could not be taken back");
            if self.pause(&mut backoff).await.is_err() {
                // It is accounted for when this process is gone.
                return;
            }
        }
    }

    /// Takes back the record of an attempt that is in doubt, where it stands once the store has recovered, unless another
    /// attempt has taken its place since.
    async fn withdraw_attempt(self, attempt: JobRecord, open: OpenCallGuard) {
        // A store that has not recovered refuses this change as transient; then it refuses it for good, whichever job stands.
        let refused =
            Change::new(JobEvent::Progress, attempt.updated_at).owned_by(Some(OwnerId::new()));
        let mut backoff = Backoff::default();
        while let Err(error) = self.store().update(attempt.id, refused.clone()).await
            && error.is_transient()
            && self.pause(&mut backoff).await.is_ok()
        {}
        let stands = self.store().get(attempt.id).await;
        if stands.is_ok_and(|job| job.is_some_and(|job| *job == attempt)) {
            self.withdraw(attempt.id, open).await;
        }
    }

    /// Writes the record of work that has not begun, and starts it in the background. `start` is called once, when it
    /// is its turn.
    pub(crate) async fn enqueue(
        &self,
        adoption: Adoption,
        context: Arc<JobContext>,
        start: impl FnOnce(&Arc<JobContext>) -> Body + Send + 'static,
    ) -> Result<(Arc<LiveJob>, Arc<JobRecord>), Error> {
        let manager = self.clone();
        let written = tokio::spawn(async move {
            manager.ready().await;
            if manager.is_stopping() {
                return Err(Error::Stopping);
            }
            if !manager.hands_out_ids() {
                let reason = manager.health().store_error;
                return Err(Error::NotDurable(
                    reason.unwrap_or_else(|| "the job folder cannot be used".to_owned()),
                ));
            }
            if adoption.max_reruns.is_some() {
                manager.hold_name(&context);
            }
            let id = context.id();
            if manager.store().get(id).await?.is_some() {
                return Err(StoreError::Duplicate(id).into());
            }
            let attempt = adoption.record(&manager, id);
            let record = match manager.note(manager.store().insert(attempt.clone()).await) {
                Ok(record) => record,
                Err(error) => {
                    // The caller is told that there is no job, so the record must not stand.
                    if error.is_in_doubt() {
                        let open = manager.open_call();
                        tokio::spawn(manager.withdraw_attempt(attempt, open));
                    }
                    return Err(error.into());
                }
            };
            let live = adoption.live(context);
            manager.live().insert(&live);
            manager.announce(&record);
            manager.launch(Arc::clone(&live), start, adoption.deadline);
            Ok((live, record))
        });
        written.await.unwrap_or(Err(Error::Stopping))
    }

    /// Registers a run whose caller has left, so that the same call finds it from now on.
    pub(crate) fn register_undelivered(&self, live: &Arc<LiveJob>) {
        if !self.live().holds(live) {
            self.live().insert(live);
            self.live().remember_undelivered(live);
        }
    }

    /// Keeps work whose caller has left. Where its record cannot be written, the work goes on, its result waits in
    /// memory for the caller's return, and the record is tried again and again.
    pub(crate) fn keep(
        &self,
        adoption: Adoption,
        live: Arc<LiveJob>,
        body: Body,
        adopting: Option<JoinHandle<Result<Adopted, StoreError>>>,
    ) {
        let deadline = adoption.deadline;
        let recorded = {
            let (manager, live) = (self.clone(), Arc::clone(&live));
            tokio::spawn(async move { manager.record_at_last(&adoption, &live, adopting).await })
        };
        self.supervise(live, body, deadline, Some(recorded));
    }

    /// Writes the record of kept work, however long that takes; not where the manager ends first.
    async fn record_at_last(
        &self,
        adoption: &Adoption,
        live: &LiveJob,
        adopting: Option<JoinHandle<Result<Adopted, StoreError>>>,
    ) -> bool {
        self.ready().await;
        // The record may have been under way when the caller left.
        if let Some(adopting) = adopting
            && let Ok(Ok(mut adopted)) = adopting.await
        {
            adopted.live = None;
            return true;
        }
        let mut backoff = Backoff::default();
        while let Err(error) = self.record_running(adoption, &live.context).await {
            observe::error!(tool = adoption.tool, %error, "work whose caller has left could not be stored");
            if self.pause(&mut backoff).await.is_err() {
                return self.record_running(adoption, &live.context).await.is_ok();
            }
        }
        true
    }

    /// Pauses before another attempt; an error where the manager ends, so that only a last attempt makes sense.
    pub(in crate::core) async fn pause(&self, backoff: &mut Backoff) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.halted() => Err(Error::Stopping),
            () = tokio::time::sleep(backoff.next()) => Ok(()),
        }
    }

    /// The end of a job that is still running when the manager ends.
    pub(in crate::core) fn interruption() -> JobEvent {
        JobEvent::Interrupt(interrupted())
    }
}
