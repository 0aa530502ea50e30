//! The dispatcher: claims slots for the queued jobs of this process, and tells each when its turn has come. It works while a job
//! waits, and at no other time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::load::{HeavyRun, Load, LoadGate};
use crate::core::backoff::Backoff;
use crate::core::job::{ClaimLimits, ClaimQuery, JobId, NeededSlots, OwnerId};
use crate::core::local::Local;
use crate::core::observe;
use crate::core::spawn::try_spawn;
use crate::core::store::{News, NewsStream, StoreError};
use crate::core::sync::Mutex;

/// How often the dispatcher asks though nothing has happened: another process may have died, or leave its slot unused.
const TICK: Duration = Duration::from_secs(1);

/// How much news is looked at together.
const NEWS: usize = 256;

/// The limits on all jobs and on those of a session, as they are now.
pub(in crate::core) type LimitsNow = Box<dyn Fn() -> ClaimLimits + Send + Sync>;

pub(in crate::core) struct Dispatcher {
    local: Arc<Local>,
    limits: LimitsNow,
    gate: LoadGate,
    line: Mutex<JobLine>,
    /// Wakes the service when a job came into the line, or a slot may be free.
    wake: Notify,
    /// Cancelled when the engine is gone.
    gone: CancellationToken,
}

#[derive(Default)]
struct JobLine {
    waiting: HashMap<JobId, QueuedJob>,
    /// The slots that jobs wait for which the last claim has not given out. A job that comes and needs the same ones waits as well.
    taken: HashSet<NeededSlots>,
    /// Why heavy work does not begin, where it does not.
    held: Option<String>,
    is_served: bool,
}

struct QueuedJob {
    server: String,
    /// `None` as long as its record could not be read.
    needs: Option<NeededSlots>,
    heaviness: Heaviness,
    turn: oneshot::Sender<Option<HeavyRun>>,
}

impl JobLine {
    /// Takes note of the slots that jobs wait for now.
    fn take_note(&mut self) {
        self.taken = self.waiting.values().filter_map(|job| job.needs.clone()).collect();
    }

    /// The jobs that may begin and those that may not, where the load holds some back.
    fn held_back(&self) -> Option<(Vec<JobId>, Vec<JobId>)> {
        self.held.as_ref()?;
        let ids = |heaviness| {
            let waiting = self.waiting.iter();
            waiting.filter(move |(_, job)| job.heaviness == heaviness).map(|(id, _)| *id).collect()
        };
        Some((ids(Heaviness::Light), ids(Heaviness::Heavy)))
    }

    /// Takes note of the slots that a job needs. Returns whether they may be free.
    fn may_have_slots(&mut self, id: JobId, needs: Option<NeededSlots>) -> bool {
        let may_be_free = needs.as_ref().is_none_or(|needs| !self.taken.contains(needs));
        if let Some(job) = self.waiting.get_mut(&id) {
            job.needs = needs;
        }
        may_be_free
    }
}

/// Whether the load of the machine decides when work begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core) enum Heaviness {
    /// It begins when it has its slot.
    Light,
    /// It takes much of the machine.
    Heavy,
}

/// A place in the line. Dropped, the job is not told of its turn.
struct LinePlace {
    dispatcher: Arc<Dispatcher>,
    id: JobId,
}

impl Dispatcher {
    pub(in crate::core) fn new(
        local: Arc<Local>,
        limits: LimitsNow,
        gate: LoadGate,
        gone: CancellationToken,
    ) -> Arc<Self> {
        let (line, wake) = (Mutex::default(), Notify::new());
        Arc::new(Self { local, limits, gate, line, wake, gone })
    }

    /// Waits until the queued job of this id has its slot: until its record says that it is about to start. A job that has its slot
    /// by then does not wait.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait only: the place in the line is that of the record.
    pub(in crate::core) async fn turn(
        self: &Arc<Self>,
        id: JobId,
        server: &str,
        heaviness: Heaviness,
    ) -> Option<HeavyRun> {
        let (turn, comes) = oneshot::channel();
        let _place = LinePlace { dispatcher: Arc::clone(self), id };
        {
            let mut line = self.line.lock();
            line.waiting
                .insert(id, QueuedJob { server: server.to_owned(), needs: None, heaviness, turn });
            if !std::mem::replace(&mut line.is_served, true) {
                let dispatcher = Arc::clone(self);
                try_spawn(async move { dispatcher.serve().await });
            }
        }
        let job = self.local.store.get(id).await.ok().flatten();
        // An earlier wait may have been given up in the moment in which the job got its slot.
        if job.as_ref().is_some_and(|job| job.holds_slot()) {
            return self.count(heaviness);
        }
        if self.line.lock().may_have_slots(id, job.as_deref().map(NeededSlots::of)) {
            self.wake.notify_one();
        }
        match comes.await {
            Ok(run) => run,
            Err(_) => std::future::pending().await,
        }
    }

    /// Counts work that begins, where it is heavy.
    fn count(&self, heaviness: Heaviness) -> Option<HeavyRun> {
        (heaviness == Heaviness::Heavy).then(|| self.gate.begin())
    }

    /// The reason why the job of this id does not begin, where that is the load of the machine.
    pub(in crate::core) fn held_by_load(&self, id: JobId) -> Option<String> {
        let line = self.line.lock();
        let job = line.waiting.get(&id)?;
        line.held.clone().filter(|_| job.heaviness == Heaviness::Heavy)
    }

    /// The load of the machine.
    pub(in crate::core) async fn load(&self) -> Load {
        self.gate.load().await
    }

    /// The limits by which a claim goes now.
    pub(in crate::core) fn limits(&self) -> ClaimLimits {
        (self.limits)()
    }

    /// The limits for jobs that have waited since the end of their server: the slots of dead owners are free, and no queued job
    /// comes first.
    pub(in crate::core) async fn limits_for_reruns(&self) -> ClaimLimits {
        let dead_owners = self.dead_owners().await;
        ClaimLimits { dead_owners, yields: false, ..self.limits() }
    }

    /// Serves the line until it is empty.
    async fn serve(self: Arc<Self>) {
        let mut served = Served { dispatcher: Arc::clone(&self), is_done: false };
        let mut news = self.local.store.news();
        let mut dead = HashSet::new();
        let mut backoff = Backoff::default();
        let mut tick = Instant::now() + TICK;
        loop {
            let is_tick = Instant::now() >= tick;
            if is_tick {
                tick = Instant::now() + TICK;
                dead = self.dead_owners().await;
                self.look_at_records().await;
            }
            self.look_at_load().await;
            let Some(servers) = self.servers() else {
                served.is_done = true;
                return;
            };
            for server in servers {
                match self.claim(server, &dead, !is_tick).await {
                    Ok(()) => backoff = Backoff::default(),
                    Err(error) => {
                        observe::error!(%error, "failed to claim slots for queued jobs; trying again");
                        sleep(backoff.next()).await;
                        // A claim in doubt may stand.
                        self.look_at_records().await;
                    }
                }
            }
            self.line.lock().take_note();
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.slot_may_be_free(&mut news) => {}
                () = sleep_until(tick) => {}
                () = self.gone.cancelled() => return,
            }
        }
    }

    /// The servers of the jobs in the line. `None` where it is empty, and is served no more.
    fn servers(&self) -> Option<HashSet<String>> {
        let mut line = self.line.lock();
        line.taken.clear();
        if line.waiting.is_empty() {
            line.is_served = false;
            return None;
        }
        Some(line.waiting.values().map(|waiting| waiting.server.clone()).collect())
    }

    async fn claim(
        &self,
        server: String,
        dead: &HashSet<OwnerId>,
        yields: bool,
    ) -> Result<(), StoreError> {
        let mut query = ClaimQuery::new(server, usize::MAX);
        query.queued = true;
        query.limits = Some(ClaimLimits { dead_owners: dead.clone(), yields, ..self.limits() });
        let Some((light, heavy)) = self.line.lock().held_back() else {
            return self.claim_by(query).await;
        };
        // An empty list would mean any.
        if !light.is_empty() {
            self.claim_by(ClaimQuery { jobs: light, ..query.clone() }).await?;
        }
        // One always begins, whatever the load.
        if !self.gate.is_running() && !heavy.is_empty() {
            self.claim_by(ClaimQuery { jobs: heavy, limit: 1, ..query }).await?;
        }
        Ok(())
    }

    async fn claim_by(&self, query: ClaimQuery) -> Result<(), StoreError> {
        for job in self.local.observed(self.local.store.claim(query).await)? {
            self.call(job.id);
        }
        Ok(())
    }

    /// Takes note of whether the load lets heavy work begin, where some waits.
    async fn look_at_load(&self) {
        let waits = self.line.lock().waiting.values().any(|job| job.heaviness == Heaviness::Heavy);
        let held = if waits { self.gate.holds().await } else { None };
        self.line.lock().held = held;
    }

    /// Tells a job that its turn has come. One that does not wait at the moment finds that in its record.
    fn call(&self, id: JobId) {
        if let Some(waiting) = self.line.lock().waiting.remove(&id) {
            // The job may be going.
            let _ = waiting.turn.send(self.count(waiting.heaviness));
        }
    }

    /// Calls the jobs whose records say that they have their slots.
    async fn look_at_records(&self) {
        let ids: Vec<_> = self.line.lock().waiting.keys().copied().collect();
        if let Ok(jobs) = self.local.store.get_many(ids).await {
            jobs.iter().filter(|job| job.holds_slot()).for_each(|job| self.call(job.id));
        }
    }

    async fn dead_owners(&self) -> HashSet<OwnerId> {
        let lost = self.local.store.abandoned(None).await.unwrap_or_default();
        lost.iter().filter_map(|job| job.owner).collect()
    }

    /// Waits until a job has ended or is gone, or another process is: a slot may be free by that. The news of a job that goes on is
    /// passed over.
    async fn slot_may_be_free(&self, news: &mut Option<NewsStream>) {
        let Some(stream) = news else { return std::future::pending().await };
        let mut told = stream.ready_chunks(NEWS);
        while let Some(told) = told.next().await {
            for news in told {
                let News::Changed { id, .. } = news else { return };
                let is_free = match self.local.store.get(id).await {
                    Ok(Some(job)) => !job.holds_slot() && !job.waits_for_slot(),
                    Ok(None) => true,
                    Err(_) => false,
                };
                if is_free {
                    return;
                }
            }
        }
        *news = None;
        std::future::pending::<()>().await;
    }
}

impl Drop for LinePlace {
    fn drop(&mut self) {
        self.dispatcher.line.lock().waiting.remove(&self.id);
    }
}

/// Lets another task serve the line where this one ends early, as with its runtime.
struct Served {
    dispatcher: Arc<Dispatcher>,
    is_done: bool,
}

impl Drop for Served {
    fn drop(&mut self) {
        if !self.is_done {
            self.dispatcher.line.lock().is_served = false;
        }
    }
}
