//! The store that lives in a folder: a journal that is the truth, and `jobs.json`, a view of it that people read.
//!
//! A change is acknowledged when it is appended to `meta/journal.ndjson` and synced. One thread per process appends: it
//! gathers what callers hand it, and for each batch takes the folder's lock, reads what other processes appended since,
//! applies the batch, appends it, gives the lock back and syncs once. So nothing is acknowledged that is not on disk, no
//! process loses another's update, and a change costs the same with a hundred thousand jobs as with ten. Another thread
//! rewrites `meta/jobs.json` in its own time, whole. `docs/operate/durability.md` says what that promises.

mod disk;
mod folder;
mod format;
mod lock;
mod log;
mod owners;
mod replay;
mod replica;
mod results;
mod states;
mod view;
mod view_format;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use self::disk::Disk;
use self::folder::Paths;
use self::owners::Owners;
use self::replica::{Known, Shared};
use self::results::{LARGE, Results};
use self::states::{Peek, States};
use self::view::{Pace, View};
use self::writer::{Errands, Writer};
use super::table::Table;
use super::table::entry::Kept;
use super::transaction::Draft;
use super::{Clock, HydratedState, JobStore, Pruned, StoreError, StoreFuture};
use crate::core::job::{
    Change, JobId, JobPage, JobQuery, JobRecord, OwnerId, Payload, Prune, ResultLocation,
    ShortPage, StateName,
};
use crate::core::observe;

/// Keeps job records in a folder, by default `~/.job_mcp`; several processes may share it.
///
/// The folder is made with mode 0700 and its files with 0600. A file that cannot be understood is set aside beside
/// itself, with the time in its name, and never overwritten; one of a later version is left alone. What holds where its
/// disk fails, once or twice, stands in `docs/operate/durability.md`.
#[derive(Debug)]
pub struct JsonFileStore {
    home: PathBuf,
    paths: Paths,
    owners: Arc<Owners>,
    results: Arc<Results>,
    known: Shared,
    writer: Writer,
    view: Arc<View>,
    states: Arc<States>,
}

impl JsonFileStore {
    /// Opens the store in `home`, making the folder where it is missing.
    ///
    /// # Errors
    /// [`StoreError`] where the folder cannot be made, written, locked or synced, or holds a later version's file.
    pub async fn open(home: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let home = home.into();
        let open = move || {
            let paths = Paths::prepare(&home, Disk::default())?;
            Self::open_blocking(home, paths, Pace::default())
        };
        spawn_blocking(open).await.unwrap_or(Err(StoreError::Closed))
    }

    fn open_blocking(home: PathBuf, paths: Paths, pace: Pace) -> Result<Self, StoreError> {
        paths.try_locks_out()?;
        let owners = Arc::new(Owners::claim(&paths)?);
        let results = Arc::new(Results::new(paths.clone(), owners.own()));
        let known = {
            let _locked = paths.lock()?;
            let known = Known::open(&paths)?;
            results.clear_away(&owners, |id| known.names_result(id));
            Shared::new(known)
        };
        let view = Arc::new(View::start(paths.clone(), known.clone(), pace)?);
        let writer = Writer::start(
            paths.clone(),
            Arc::clone(&owners),
            Arc::clone(&results),
            known.clone(),
            Arc::clone(&view),
        )?;
        let states = Arc::new(States::open(paths.clone()));
        Ok(Self { home, paths, owners, results, known, writer, view, states })
    }

    /// The folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// See [`open_watched`](Self::open_watched).
    #[cfg(feature = "conformance")]
    pub(super) async fn open_over_watched_disk(
        home: PathBuf,
        watcher: Arc<dyn super::faults::Watcher>,
        short: u64,
    ) -> Result<Self, StoreError> {
        let open = move || {
            let mut paths = Paths::prepare(&home, Disk::watched(watcher))?;
            paths.short_journal = short;
            Self::open_blocking(home, paths, Pace::WhenAsked)
        };
        spawn_blocking(open).await.unwrap_or(Err(StoreError::Closed))
    }

    /// See [`rewrite_view`](Self::rewrite_view).
    #[cfg(feature = "conformance")]
    pub(super) async fn rewrite_view_now(&self) -> Result<bool, StoreError> {
        let (paths, known) = (self.paths.clone(), self.known.clone());
        let rewrite = move || view::rewrite(&paths, &known);
        spawn_blocking(rewrite).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Does `change` in the next batch, and waits until it is on disk.
    fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        self.write_with_errands(|draft, _| change(draft))
    }

    /// As [`write`](Self::write), for a change that is not of the table alone.
    fn write_with_errands<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Draft<'_>, &mut Errands) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let answer = hand_in(&self.writer, change);
        Box::pin(async { answer.await.unwrap_or(Err(StoreError::Closed)) })
    }

    /// As [`write`](Self::write), for a change that comes with a result that goes into a file of its own. The file is
    /// written off the async threads; `change` gets what the record says of it, and decides whether the end is taken.
    ///
    /// Nothing of this needs whoever waits: a caller that leaves leaves no file behind that nobody looks after.
    fn write_with_result(
        &self,
        id: JobId,
        payload: Payload,
        change: impl FnOnce(&mut Draft<'_>, ResultLocation) -> Result<Arc<JobRecord>, StoreError>
        + Send
        + 'static,
    ) -> StoreFuture<'_, Arc<JobRecord>> {
        let (results, writer) = (Arc::clone(&self.results), self.writer.clone());
        let handed_in = spawn_blocking(move || {
            let result = results.write(id, &payload)?;
            Ok(hand_in(&writer, move |draft, errands| {
                // Dropped where the change is refused, and with it its file.
                let job = change(draft, result.result_location())?;
                errands.arrived.push(result);
                Ok(job)
            }))
        });
        Box::pin(async {
            let answer = handed_in.await.unwrap_or(Err(StoreError::Closed))?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    /// Looks at the newest table, after taking in what other processes appended.
    fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Table) -> T + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(async {
            if self.known.lock().is_behind() {
                let (known, paths) = (self.known.clone(), self.paths.clone());
                let caught_up = spawn_blocking(move || known.lock().catch_up(&paths)).await;
                // What is known already is better than nothing.
                if let Ok(Err(error)) = caught_up {
                    observe::warn!(%error, "failed to see what other processes wrote; answering with what is known");
                }
            }
            Ok(look(&self.known.lock().table))
        })
    }
}

/// Hands a change to the writer, and returns where its answer will come.
fn hand_in<T: Send + 'static>(
    writer: &Writer,
    change: impl FnOnce(&mut Draft<'_>, &mut Errands) -> Result<T, StoreError> + Send + 'static,
) -> oneshot::Receiver<Result<T, StoreError>> {
    let (acknowledge, answer) = oneshot::channel();
    writer.send(Box::new(move |draft, errands| {
        let done = change(draft, errands);
        Box::new(move |committed| {
            // Nobody may be waiting any more; the change stands all the same.
            let _ = acknowledge.send(committed.and(done));
        })
    }));
    answer
}

/// Whatever is still being written is written; but whoever runs on is not run by this store any more.
impl Drop for JsonFileStore {
    fn drop(&mut self) {
        self.owners.release();
    }
}

impl JobStore for JsonFileStore {
    fn insert(&self, mut job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        match job.take_payload() {
            Some(payload) if payload.is_larger_than(LARGE) => {
                self.write_with_result(job.id, payload, move |draft, result_location| {
                    job.result_location = result_location;
                    draft.insert(job)
                })
            }
            payload => {
                if let Some(payload) = payload {
                    let result_location = job.result_location;
                    job.put_payload(payload);
                    job.result_location = result_location;
                }
                // Made by the caller: of many that come at once, the one thread that writes has the least time.
                let job = Arc::new(job);
                self.write(move |draft| draft.insert(job))
            }
        }
    }

    fn update(&self, id: JobId, mut change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        match change.take_payload() {
            Some(payload) if payload.is_larger_than(LARGE) => {
                self.write_with_result(id, payload, move |draft, result_location| {
                    change.result_location = result_location;
                    draft.update(id, change)
                })
            }
            payload => {
                if let Some(payload) = payload {
                    change.put_payload(payload);
                }
                self.write(move |draft| draft.update(id, change))
            }
        }
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        let kept = self.read(move |table| table.find(id).cloned());
        // What is kept as text is read after the table was let go of.
        Box::pin(async { Ok(kept.await?.and_then(|kept| kept.record())) })
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
                    // It may have been pruned meanwhile, and its file with it.
                    let now = self.get(id).await?;
                    let stands = now.as_ref().is_some_and(|now| is_in_file(now));
                    if stands && !self.known.lock().is_at_rest() {
                        observe::error!(job_id = %id, %error, "failed to read the result of a job");
                    }
                    Ok(now)
                }
            }
        })
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        let page = self.read(move |table| table.list(&query));
        Box::pin(async { Ok(page.await?.read()) })
    }

    fn list_in_short(&self, query: JobQuery) -> StoreFuture<'_, ShortPage> {
        let page = self.read(move |table| table.list(&query));
        Box::pin(async { Ok(page.await?.in_short()) })
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        self.write_with_errands(move |draft, errands| {
            errands.clear_away = true;
            Ok(draft.prune(&prune))
        })
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        self.write(move |draft| {
            draft.withdraw(id);
            Ok(())
        })
    }

    fn abandoned(&self, server: String) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        let unfinished = self.read(move |table| table.unfinished(&server));
        Box::pin(async {
            let unfinished: Vec<_> = unfinished.await?.iter().filter_map(Kept::record).collect();
            if unfinished.is_empty() {
                return Ok(unfinished);
            }
            // Whether an owner lives is asked of the disk.
            let owners = Arc::clone(&self.owners);
            let abandoned = spawn_blocking(move || owners.without_the_living(unfinished)).await;
            abandoned.map_err(|_| StoreError::Closed)
        })
    }

    fn put_state(&self, state: HydratedState, clock: Clock) -> StoreFuture<'_, bool> {
        let states = Arc::clone(&self.states);
        Box::pin(async move {
            let putting = spawn_blocking(move || states.put(state, clock));
            putting.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        Box::pin(async move {
            if let Peek::Known(state) = self.states.peek(&field) {
                return Ok(state);
            }
            let states = Arc::clone(&self.states);
            let reading = spawn_blocking(move || states.read(&field));
            reading.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    fn owner(&self) -> OwnerId {
        self.owners.own()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            // The writer works in order: when it answers this, all that was handed in before is on disk.
            let close = |_: &mut Draft<'_>, errands: &mut Errands| {
                errands.closes = true;
                Ok(())
            };
            let written = self.write_with_errands(close).await;
            let _ = spawn_blocking(self.view.close()).await;
            self.owners.release();
            written
        })
    }
}
