//! The store that lives in a folder: a journal that is the truth, and `jobs.json`, a view of it for people.
//!
//! A change is acknowledged when it is appended to `meta/journal.ndjson` and synced. The caller's task applies the change to
//! the newest record that this process knows, and serializes the result. One thread of the process, the writer thread,
//! gathers such changes. For each batch it takes the folder's lock, reads what other processes have appended, takes each
//! prepared change whose record is still the newest (and applies the others anew), appends the batch, syncs it, and gives the
//! lock back. So an acknowledged change is on disk, no process loses the update of another, and a change costs the same with
//! a hundred thousand jobs as with ten. Another thread, the view thread, rewrites `meta/jobs.json` and `state/` in its own time.
//! `docs/operate/durability.md` says what that promises.

mod disk;
mod erasure;
mod file_size_limit;
mod folder;
mod format;
mod leftovers;
mod lineage;
mod loaded;
mod lock;
mod log;
mod owners;
mod replay;
mod replica;
mod reserve;
mod result_text;
mod results;
mod salvage;
mod states;
mod tail;
mod trust;
mod view;
mod view_format;
mod view_signal;
#[cfg(feature = "conformance")]
mod watched;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use self::disk::Disk;
use self::folder::Paths;
use self::owners::Owners;
use self::replica::Replica;
use self::results::{LARGE, Results};
use self::tail::Tail;
use self::trust::Trust;
use self::view::ViewWriter;
use self::view_signal::{Pace, ViewSignal};
use self::writer::{BatchEffects, Request, Trouble, Writer};
use super::table::Table;
use super::table::entry::Entry;
use super::transaction::{Prepared, Transaction};
use super::{JobStore, NewsStream, Pruned, StoreError, StoreFuture, UsualRun, max_result_bytes};
use crate::core::clock::WallClock;
use crate::core::env_vars;
use crate::core::job::{
    Change, ClaimQuery, HydratedState, JobId, JobPage, JobQuery, JobRecord, OwnerId, Payload,
    ProgressReport, Prune, ResultLocation, ResultPage, StateName, Timestamp,
};
use crate::core::observe;

/// Keeps job records in a folder, by default `~/.job_mcp`; several processes may share it.
///
/// The store makes the folder with mode 0700 and its files with 0600. It refuses a folder or file that belongs to another user
/// (but root) or that others may write to, unless the variable `JOB_MCP_TRUST_FOLDER` is `true`, and follows no link in the
/// folder. It sets a file that it cannot understand aside, beside
/// itself and with the time in its name, and never overwrites it; it leaves a file of a later version alone. Where a write
/// fails, as on a full disk, the change is refused and may be tried again. Where a sync fails and the journal cannot be
/// written anew, the store stops: it refuses every change with [`StoreError::Stopped`], and goes on by itself once it has
/// read the journal anew and written it to a new file.
#[derive(Debug)]
pub struct JournalStore {
    home: PathBuf,
    owners: Arc<Owners>,
    results: Arc<Results>,
    replica: Replica,
    writer: Writer,
    view: Arc<ViewSignal>,
    tail: Arc<Tail>,
    trouble: Trouble,
    clock: WallClock,
    #[cfg(feature = "conformance")]
    paths: Paths,
}

impl JournalStore {
    /// Opens the store in `home`, making the folder where it is missing.
    ///
    /// # Errors
    /// [`StoreError`] where the folder cannot be made, written, locked or synced, where another user could have written it, or
    /// where it holds a later version's file.
    pub async fn open(home: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with_clock(home, WallClock::default()).await
    }

    /// As [`open`](Self::open); the store dates its records by this clock.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with_clock(
        home: impl Into<PathBuf>,
        clock: WallClock,
    ) -> Result<Self, StoreError> {
        let home = home.into();
        let open = move || {
            let paths = Paths::prepare(&home, Disk::new(Trust::of(&env_vars::process)), clock)?;
            Self::open_blocking(home, paths, Pace::default())
        };
        spawn_blocking(open).await.unwrap_or(Err(StoreError::Closed))
    }

    fn open_blocking(home: PathBuf, paths: Paths, pace: Pace) -> Result<Self, StoreError> {
        file_size_limit::survive();
        paths.try_locks_out()?;
        let owners = Arc::new(Owners::new(&paths));
        let results = Arc::new(Results::new(paths.clone(), owners.own()));
        let replica = {
            let _locked = paths.lock()?;
            Replica::open(&paths)?
        };
        let (view, trouble) = (Arc::new(ViewSignal::new(pace)), Trouble::default());
        let writer = Writer::start(
            paths.clone(),
            Arc::clone(&owners),
            Arc::clone(&results),
            replica.clone(),
            Arc::clone(&view),
            trouble.clone(),
        )?;
        view::start(ViewWriter::new(paths.clone(), writer.clone()), &view)?;
        let tail = Tail::new(replica.clone(), Arc::clone(&owners));
        let clock = paths.clock.clone();
        #[cfg(not(feature = "conformance"))]
        drop(paths);
        Ok(Self {
            home,
            owners,
            results,
            replica,
            writer,
            view,
            tail,
            trouble,
            clock,
            #[cfg(feature = "conformance")]
            paths,
        })
    }

    /// The folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Makes `change` in the next batch, and waits until that is on disk.
    fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>, &mut BatchEffects) -> Result<T, StoreError>
        + Send
        + 'static,
    ) -> StoreFuture<'_, T> {
        let answer = hand_in(&self.writer, change);
        Box::pin(async { answer.await.unwrap_or(Err(StoreError::Closed)) })
    }

    /// Like [`write`](Self::write), for a change with a result that goes into a file of its own. A blocking thread writes the
    /// file and calls `prepare` with the record's statement about it; the function that it returns makes the change.
    ///
    /// All of that goes on where the caller drops the future, so that the caller leaves no orphaned file behind.
    fn write_with_result<C>(
        &self,
        id: JobId,
        payload: Payload,
        prepare: impl FnOnce(&Replica, ResultLocation) -> C + Send + 'static,
    ) -> StoreFuture<'_, Arc<JobRecord>>
    where
        C: FnOnce(&mut Transaction<'_>) -> Result<Arc<JobRecord>, StoreError> + Send + 'static,
    {
        let (results, writer) = (Arc::clone(&self.results), self.writer.clone());
        let (replica, owners) = (self.replica.clone(), Arc::clone(&self.owners));
        let handed_in = spawn_blocking(move || {
            // Another process removes the unfinished files of an owner that does not live.
            owners.register()?;
            let result = results.write(id, &payload)?;
            let change = prepare(&replica, result.result_location());
            Ok(hand_in(&writer, move |transaction, effects| {
                let changed = change(transaction);
                let results =
                    if changed.is_ok() { &mut effects.arrived } else { &mut effects.refused };
                results.push(result);
                changed
            }))
        });
        Box::pin(async {
            let answer = handed_in.await.unwrap_or(Err(StoreError::Closed))?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    /// Looks at the newest table, after taking in what other processes have appended.
    fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Table) -> T + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(async {
            if self.replica.is_behind() {
                let replica = self.replica.clone();
                let caught_up = spawn_blocking(move || replica.catch_up()).await;
                // An answer from what is known already is better than none.
                if let Ok(Err(error)) = caught_up {
                    observe::warn!(%error, "failed to see what other processes wrote; answering with what is known");
                }
            }
            Ok(look(&self.replica.known().table))
        })
    }
}

/// Hands a change to the writer thread, and returns the channel of its answer.
fn hand_in<T: Send + 'static>(
    writer: &Writer,
    change: impl FnOnce(&mut Transaction<'_>, &mut BatchEffects) -> Result<T, StoreError>
    + Send
    + 'static,
) -> oneshot::Receiver<Result<T, StoreError>> {
    let (acknowledge, answer) = oneshot::channel();
    writer.send(Request::Change(Box::new(move |transaction, effects| {
        let done = change(transaction, effects);
        Box::new(move |committed| {
            // A caller that has left misses the answer; the change stands all the same.
            let _ = acknowledge.send(committed.and(done));
        })
    })));
    answer
}

/// Applies a change to the newest record that this process knows, and serializes the result. `None` where that is not
/// possible: the writer thread, which knows more, decides.
fn prepare(replica: &Replica, id: JobId, change: &Change) -> Option<Prepared> {
    let base = Arc::clone(replica.known().table.find(id)?.record());
    let next = base.apply(change.clone()).ok()?;
    let next = format::prepare(next, Some(&base));
    Some(Prepared { base, next })
}

/// The writer thread writes what was handed in; but jobs of this owner count as abandoned from then on.
impl Drop for JournalStore {
    fn drop(&mut self) {
        self.view.close();
        self.tail.close();
        self.owners.release();
    }
}

impl JobStore for JournalStore {
    fn insert(&self, mut job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        match job.take_payload() {
            Some(payload) if payload.is_larger_than(LARGE) => {
                self.write_with_result(job.id, payload, move |_, result_location| {
                    job.result_location = result_location;
                    let job = format::prepare(job, None);
                    move |transaction: &mut Transaction<'_>| transaction.insert(job)
                })
            }
            payload => {
                if let Some(payload) = payload {
                    let result_location = job.result_location;
                    job.put_payload(payload);
                    job.result_location = result_location;
                }
                let job = format::prepare(job, None);
                self.write(move |transaction, _| transaction.insert(job))
            }
        }
    }

    fn update(&self, id: JobId, mut change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        match change.take_payload() {
            Some(payload) if payload.is_larger_than(LARGE) => {
                self.write_with_result(id, payload, move |replica, result_location| {
                    change.result_location = result_location;
                    let prepared = prepare(replica, id, &change);
                    move |transaction: &mut Transaction<'_>| {
                        transaction.update(id, change, prepared)
                    }
                })
            }
            payload => {
                if let Some(payload) = payload {
                    change.put_payload(payload);
                }
                let prepared = prepare(&self.replica, id, &change);
                self.write(move |transaction, _| transaction.update(id, change, prepared))
            }
        }
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        self.read(move |table| table.find(id).map(|job| Arc::clone(job.record())))
    }

    fn get_with_result(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        let is_in_file = |job: &JobRecord| job.result_location.is_in_file();
        Box::pin(async move {
            let found = self.get(id).await?;
            let Some(job) = found.clone().filter(|job| is_in_file(job)) else { return Ok(found) };
            let results = Arc::clone(&self.results);
            let read = spawn_blocking(move || results.read(id)).await;
            match read.unwrap_or(Err(StoreError::Closed)) {
                Ok(payload) => {
                    let mut whole = Arc::unwrap_or_clone(job);
                    whole.put_payload(payload);
                    Ok(Some(Arc::new(whole)))
                }
                Err(error) => {
                    // Another process may have pruned it meanwhile, and its file with it.
                    let now = self.get(id).await?;
                    if now.as_ref().is_some_and(|now| is_in_file(now)) {
                        observe::error!(job_id = %id, %error, "failed to read the result of a job");
                    }
                    Ok(now)
                }
            }
        })
    }

    fn result_page(
        &self,
        id: JobId,
        offset: u64,
        max_bytes: usize,
    ) -> StoreFuture<'_, Option<ResultPage>> {
        Box::pin(async move {
            let Some(job) = self.get(id).await? else { return Ok(None) };
            let of_record = ResultPage::of(&job, offset, max_bytes);
            if !job.result_location.is_in_file() {
                return Ok(of_record);
            }
            let results = Arc::clone(&self.results);
            let read = spawn_blocking(move || results.page(id, offset, max_bytes)).await;
            match read.unwrap_or(Err(StoreError::Closed)) {
                // The text of a job that failed is its error, which the record has.
                Ok(page) => Ok(page.or(of_record)),
                Err(error) => {
                    observe::error!(job_id = %id, %error, "failed to read a part of the result of a job");
                    Ok(None)
                }
            }
        })
    }

    fn max_result_bytes(&self) -> Option<u64> {
        Some(max_result_bytes())
    }

    fn get_many(&self, ids: Vec<JobId>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        self.read(move |table| table.get_many(&ids))
    }

    fn claim(&self, query: ClaimQuery) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        let owner = self.owner();
        self.write(move |transaction, _| transaction.claim(&query, owner))
    }

    fn record_progress(&self, reports: Vec<ProgressReport>) -> StoreFuture<'_, Vec<JobId>> {
        let owner = self.owner();
        self.write(move |transaction, _| Ok(transaction.record_progress(reports, owner)))
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        self.read(move |table| table.list(&query))
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        let (sender, erased) = oneshot::channel();
        let pruned = self.write(move |transaction, effects| {
            effects.remove_orphans = true;
            effects.erasures.push(sender);
            Ok(transaction.prune(&prune))
        });
        let view = Arc::clone(&self.view);
        Box::pin(async {
            let pruned = pruned.await?;
            if pruned.removed > 0 {
                // The jobs are gone in any case; what failed is in the log, and is tried again.
                let _ = erased.await;
                let _ = spawn_blocking(move || view.wait_until_tried()).await;
            }
            Ok(pruned)
        })
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        self.write(move |transaction, _| {
            transaction.withdraw(id);
            Ok(())
        })
    }

    fn abandoned(&self, server: Option<String>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        let unfinished = self.read(move |table| {
            let unfinished = table.live(server.as_deref()).map(Entry::record);
            unfinished.cloned().collect::<Vec<_>>()
        });
        Box::pin(async {
            let unfinished = unfinished.await?;
            if unfinished.is_empty() {
                return Ok(unfinished);
            }
            // The disk tells whether an owner lives.
            let owners = Arc::clone(&self.owners);
            let abandoned = spawn_blocking(move || owners.without_the_living(unfinished)).await;
            abandoned.map_err(|_| StoreError::Closed)
        })
    }

    fn usual_runs(&self, server: String) -> StoreFuture<'_, Vec<UsualRun>> {
        self.read(move |table| table.usual_runs(server))
    }

    fn news(&self) -> Option<NewsStream> {
        self.tail.news()
    }

    fn put_state(&self, state: HydratedState) -> StoreFuture<'_, bool> {
        let state = Arc::new(state);
        self.write(move |transaction, _| Ok(transaction.put_state(state)))
    }

    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        self.read(move |table| table.states().get(&field).cloned())
    }

    fn states(&self) -> StoreFuture<'_, Vec<Arc<HydratedState>>> {
        self.read(|table| table.states().values().cloned().collect())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn owner(&self) -> OwnerId {
        self.owners.own()
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.get()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        // The writer thread works in order: when it answers this, everything that was handed in before is on disk.
        let written = self.write(|_, _| Ok(()));
        self.tail.close();
        Box::pin(async {
            let written = written.await;
            let view = Arc::clone(&self.view);
            let _ = spawn_blocking(move || {
                view.close();
                view.wait_until_closed();
            })
            .await;
            self.owners.release();
            written
        })
    }
}
