//! The store that lives in `meta/jobs.json`: one JSON document, replaced whole, readable by anyone at any instant.
//!
//! One thread per process writes. It gathers what callers hand it, and for each batch takes the folder's lock, takes
//! in what other processes wrote since, applies the batch, replaces the file, and only then acknowledges. So nothing
//! is acknowledged that is not on disk, and no process loses another's update.

mod document;
mod files;
mod owners;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use self::owners::Owners;
use self::writer::Writer;
use super::table::Table;
use super::{JobStore, Pruned, StoreError, StoreFuture};
use crate::job::{Change, JobId, JobPage, JobQuery, JobRecord, OwnerId, Prune};

/// Keeps job records in a folder, by default `~/.job_mcp`; several processes may share it.
///
/// The folder is made with mode 0700 and its files with 0600. A `jobs.json` that is no JSON document of ours is set
/// aside beside itself, with the time in its name, and never overwritten; one of a later version is left alone.
#[derive(Debug)]
pub struct JsonFileStore {
    home: PathBuf,
    owners: Arc<Owners>,
    writer: Writer,
}

impl JsonFileStore {
    /// Opens the store in `home`, making the folder where it is missing.
    ///
    /// # Errors
    /// [`StoreError`] where the folder cannot be made, written, locked or synced, or holds a later version's file.
    pub async fn open(home: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let home = home.into();
        let opened = tokio::task::spawn_blocking(move || {
            let paths = files::Paths::prepare(&home)?;
            let owners = Arc::new(Owners::claim(&paths.owners)?);
            let writer = Writer::start(paths, owners.own())?;
            Ok(Self { home, owners, writer })
        });
        opened.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Does `change` in the next batch, and waits until it is on disk.
    fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Table) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let (acknowledge, answer) = oneshot::channel();
        self.writer.send(Box::new(move |table| {
            let done = change(table);
            Box::new(move |committed| {
                // Nobody may be waiting any more; the change stands all the same.
                let _ = acknowledge.send(committed.and(done));
            })
        }));
        Box::pin(async { answer.await.unwrap_or(Err(StoreError::Closed)) })
    }

    /// Reads from the newest table, after taking in what other processes wrote.
    fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Table) -> T + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(async {
            if self.writer.is_behind() {
                // An empty change makes the writer take in the file. What is known already is better than nothing.
                if let Err(error) = self.write(|_| Ok(())).await {
                    tracing::warn!(%error, "failed to see what other processes wrote; answering with what is known");
                }
            }
            Ok(look(&self.writer.published()))
        })
    }
}

impl JobStore for JsonFileStore {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        self.write(move |table| table.insert(job))
    }

    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        self.write(move |table| table.update(id, change))
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        self.read(move |table| table.get(id))
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        self.read(move |table| table.list(&query))
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        self.write(move |table| Ok(table.prune(&prune)))
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        self.write(move |table| {
            table.withdraw(id);
            Ok(())
        })
    }

    fn abandoned(&self, server: String) -> StoreFuture<'_, Vec<JobId>> {
        let owners = Arc::clone(&self.owners);
        self.read(move |table| owners.without_the_living(table.unfinished(&server)))
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
            self.write(|_| Ok(())).await?;
            self.owners.release();
            Ok(())
        })
    }
}
