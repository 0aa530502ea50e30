//! The one thread of a process that writes `jobs.json`, and the copy of the table that readers look at.

use std::fs::File;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError, RwLock};

use super::document::{self, Leftovers, Parsed};
use super::files::{Paths, Stamp};
use crate::job::OwnerId;
use crate::store::StoreError;
use crate::store::table::Table;

/// A change to the table; what it returns is told, once the batch is on disk or is not, how that went.
pub(super) type Request = Box<dyn FnOnce(&mut Table) -> Acknowledge + Send>;
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// How many requests share one rewrite of the file.
const BATCH: usize = 1024;

/// The handle to the thread. Dropping it lets the thread finish what was handed in, and end.
#[derive(Debug)]
pub(super) struct Writer {
    requests: mpsc::Sender<Request>,
    published: Arc<RwLock<Published>>,
    paths: Paths,
}

/// What is on disk, as far as this process knows.
#[derive(Debug, Clone)]
struct Published {
    table: Arc<Table>,
    stamp: Option<Stamp>,
}

impl Writer {
    /// Reads the file and starts the thread.
    pub(super) fn start(paths: Paths, owner: OwnerId) -> Result<Self, StoreError> {
        let mut file = JobsFile {
            paths: paths.clone(),
            owner,
            table: Table::default(),
            leftovers: Leftovers::default(),
            stamp: None,
            held: None,
            unsaved: false,
        };
        {
            let _locked = paths.lock()?;
            file.take_in()?;
            if file.unsaved || file.stamp.is_none() {
                // Shows now, not at the first job, whether the folder can be written.
                file.commit()?;
            }
        }
        let published = Arc::new(RwLock::new(file.to_publish()));
        let (requests, inbox) = mpsc::channel();
        let shared = Arc::clone(&published);
        std::thread::Builder::new()
            .name("smart-async-store".to_owned())
            .spawn(move || file.serve(&inbox, &shared))
            .map_err(|error| StoreError::io("start the writer of", &paths.jobs, error))?;
        Ok(Self { requests, published, paths })
    }

    pub(super) fn send(&self, request: Request) {
        // A thread that is gone drops the request, and with it the sender that its caller waits for.
        let _ = self.requests.send(request);
    }

    pub(super) fn published(&self) -> Arc<Table> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner).table)
    }

    /// Whether another process has replaced the file since.
    pub(super) fn is_behind(&self) -> bool {
        self.paths.stamp() != self.published.read().unwrap_or_else(PoisonError::into_inner).stamp
    }
}

/// The writer's own view: the table as it will be on disk when the batch is done.
struct JobsFile {
    paths: Paths,
    /// The process whose unfinished jobs no other may lose.
    owner: OwnerId,
    table: Table,
    leftovers: Leftovers,
    stamp: Option<Stamp>,
    /// The file that was read or written last. Held open, its inode is not given to another file, so that a stamp
    /// tells files apart for certain.
    held: Option<File>,
    /// The table holds what the file does not.
    unsaved: bool,
}

impl JobsFile {
    fn serve(mut self, inbox: &mpsc::Receiver<Request>, published: &RwLock<Published>) {
        while let Ok(first) = inbox.recv() {
            let batch: Vec<_> =
                std::iter::once(first).chain(inbox.try_iter()).take(BATCH).collect();
            let mut acknowledgements = Vec::with_capacity(batch.len());
            let result = self.run(batch, &mut acknowledgements);
            if let Err(error) = &result {
                tracing::error!(%error, "failed to write the job store");
            }
            *published.write().unwrap_or_else(PoisonError::into_inner) = self.to_publish();
            for acknowledge in acknowledgements {
                acknowledge(result.clone());
            }
        }
    }

    /// Does a batch as a whole: all of it is on disk afterwards, or none.
    fn run(
        &mut self,
        batch: Vec<Request>,
        acknowledgements: &mut Vec<Acknowledge>,
    ) -> Result<(), StoreError> {
        let locked = self.paths.lock().and_then(|lock| self.take_in().map(|()| lock));
        let before = self.table.clone();
        acknowledgements.extend(batch.into_iter().map(|request| request(&mut self.table)));
        self.unsaved |= !self.table.same_as(&before);
        let committed = locked.and_then(|_lock| if self.unsaved { self.commit() } else { Ok(()) });
        if committed.is_err() {
            // The new file may stand there all the same, where only syncing its folder failed. Nobody was told of it,
            // so what was there before is put back with the next batch.
            self.table = before;
            self.stamp = self.paths.stamp();
        }
        committed
    }

    /// Takes in the file as another process left it. Needs the lock.
    fn take_in(&mut self) -> Result<(), StoreError> {
        let stamp = self.paths.stamp();
        if stamp.is_some() && stamp == self.stamp {
            return Ok(());
        }
        let Some((file, text)) = self.paths.read_jobs()? else {
            if self.stamp.is_some() {
                tracing::warn!(path = %self.paths.jobs.display(), "the jobs file was removed; writing it anew");
                self.unsaved = true;
            }
            return Ok(());
        };
        match document::parse(&text) {
            Ok(Parsed::Document { jobs, leftovers }) => {
                let mut table = Table::default();
                for job in jobs {
                    if let Err(error) = table.insert(job) {
                        tracing::warn!(%error, "jobs.json holds a job twice; the first is taken");
                    }
                }
                self.unsaved = table.bring_along(&self.table, self.owner);
                (self.table, self.leftovers) = (table, leftovers);
                (self.stamp, self.held) = (stamp, Some(file));
            }
            Ok(Parsed::LaterVersion(found)) => {
                let path = self.paths.jobs.clone();
                return Err(StoreError::LaterVersion { path, found, known: document::VERSION });
            }
            Err(error) => {
                let aside = self.paths.set_aside()?;
                tracing::error!(
                    %error, aside = %aside.display(),
                    "jobs.json is damaged; it was set aside, and the store goes on with what is known"
                );
                self.unsaved = true;
            }
        }
        Ok(())
    }

    /// Puts the table on disk. Needs the lock.
    fn commit(&mut self) -> Result<(), StoreError> {
        let text = document::render(self.table.jobs().map(AsRef::as_ref), &self.leftovers)
            .map_err(|error| StoreError::io("render", &self.paths.jobs, error.into()))?;
        self.held = Some(self.paths.replace_jobs(&text)?);
        self.stamp = self.paths.stamp();
        self.unsaved = false;
        Ok(())
    }

    fn to_publish(&self) -> Published {
        Published { table: Arc::new(self.table.clone()), stamp: self.stamp }
    }
}
