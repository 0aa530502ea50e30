//! The store that lives in a folder: a journal that is the truth, and `jobs.json`, a view of it that people read.
//!
//! A change is acknowledged when it is appended to `meta/journal.ndjson` and synced. One thread per process appends: it
//! gathers what callers hand it, and for each batch takes the folder's lock, reads what other processes appended since,
//! applies the batch, appends it and syncs once. So nothing is acknowledged that is not on disk, no process loses
//! another's update, and a change costs the same with a hundred thousand jobs as with ten. Another thread rewrites
//! `meta/jobs.json` in its own time, whole. `docs/durability.md` says what that promises.

mod document;
mod files;
mod journal;
mod known;
mod lines;
mod owners;
mod state;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use self::files::Paths;
use self::known::{Known, Shared};
use self::owners::Owners;
use self::state::{Peek, States};
use self::view::View;
use self::writer::Writer;
use super::draft::Draft;
use super::table::Table;
use super::{Clock, HydratedState, JobStore, Pruned, StoreError, StoreFuture};
use crate::job::{Change, JobId, JobPage, JobQuery, JobRecord, OwnerId, Prune, StateName};
use crate::observe;

/// Keeps job records in a folder, by default `~/.job_mcp`; several processes may share it.
///
/// The folder is made with mode 0700 and its files with 0600. A file that cannot be understood is set aside beside
/// itself, with the time in its name, and never overwritten; one of a later version is left alone.
#[derive(Debug)]
pub struct JsonFileStore {
    home: PathBuf,
    paths: Paths,
    owners: Arc<Owners>,
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
        spawn_blocking(observe::carried(move || Self::open_blocking(home)))
            .await
            .unwrap_or(Err(StoreError::Closed))
    }

    fn open_blocking(home: PathBuf) -> Result<Self, StoreError> {
        let paths = Paths::prepare(&home)?;
        paths.try_locks_out()?;
        let owners = Arc::new(Owners::claim(&paths.owners)?);
        let known = {
            let _locked = paths.lock()?;
            Shared::new(Known::open(&paths)?)
        };
        let view = Arc::new(View::start(paths.clone(), known.clone())?);
        let writer =
            Writer::start(paths.clone(), Arc::clone(&owners), known.clone(), Arc::clone(&view))?;
        let states = Arc::new(States::open(paths.clone()));
        Ok(Self { home, paths, owners, known, writer, view, states })
    }

    /// The folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Does `change` in the next batch, and waits until it is on disk.
    fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let (acknowledge, answer) = oneshot::channel();
        self.writer.send(Box::new(move |draft| {
            let done = change(draft);
            Box::new(move |committed| {
                // Nobody may be waiting any more; the change stands all the same.
                let _ = acknowledge.send(committed.and(done));
            })
        }));
        Box::pin(async { answer.await.unwrap_or(Err(StoreError::Closed)) })
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
                    tracing::warn!(%error, "failed to see what other processes wrote; answering with what is known");
                }
            }
            Ok(look(&self.known.lock().table))
        })
    }
}

/// Whatever is still being written is written; but whoever runs on is not run by this store any more.
impl Drop for JsonFileStore {
    fn drop(&mut self) {
        self.owners.release();
    }
}

impl JobStore for JsonFileStore {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        self.write(move |draft| draft.insert(job))
    }

    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        self.write(move |draft| draft.update(id, change))
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        self.read(move |table| table.find(id).cloned())
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        self.read(move |table| table.list(&query))
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        self.write(move |draft| Ok(draft.prune(&prune)))
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        self.write(move |draft| {
            draft.withdraw(id);
            Ok(())
        })
    }

    fn abandoned(&self, server: String) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        let owners = Arc::clone(&self.owners);
        self.read(move |table| owners.without_the_living(table.unfinished(&server)))
    }

    fn put_state(&self, state: HydratedState, clock: Clock) -> StoreFuture<'_, bool> {
        let states = Arc::clone(&self.states);
        Box::pin(async move {
            let putting = spawn_blocking(observe::carried(move || states.put(state, clock)));
            putting.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        Box::pin(async move {
            if let Peek::Known(state) = self.states.peek(&field) {
                return Ok(state);
            }
            let states = Arc::clone(&self.states);
            let reading = spawn_blocking(observe::carried(move || states.read(&field)));
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
            let written = self.write(|_| Ok(())).await;
            let _ = spawn_blocking(self.view.close()).await;
            self.owners.release();
            written
        })
    }
}
