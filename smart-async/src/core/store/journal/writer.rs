//! The one thread of a process that appends to the journal. It gathers the requests that callers hand in while it is busy,
//! writes them as one batch, and answers when the batch is synced. The folder's lock is held from the first look until then.
//!
//! Where a sync fails, nothing can tell what of the file is on disk: the thread puts a new journal in its place that says
//! what was known before. Where that fails as well, the store stops: the thread refuses every request, keeps the folder's
//! lock, and tries to read the journal anew and to write it to a new file, until that succeeds.

use std::any::Any;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use tokio::sync::oneshot;

use super::erasure;
use super::folder::Paths;
use super::format;
use super::lock::FolderLock;
use super::log::AppendError;
use super::owners::Owners;
use super::replica::{CaughtUp, Replica, Snapshot, Source};
use super::reserve::Reserve;
use super::results::{NewResult, Results, doomed};
use super::view_signal::ViewSignal;
use crate::core::job::{JobId, JobRecord, OwnerId};
use crate::core::observe;
use crate::core::shield::{panic_message, shielded};
use crate::core::store::StoreError;
use crate::core::store::table::entry::{Entry, Put};
use crate::core::store::table::{Changes, Table};
use crate::core::store::transaction::Transaction;
use crate::core::sync::Mutex;

/// A change to the table; its outcome is told with the function that it returns, once the batch is on disk or is not.
pub(super) type ChangeRequest =
    Box<dyn FnOnce(&mut Transaction<'_>, &mut BatchEffects) -> Acknowledge + Send>;
pub(super) type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A request that a caller hands in.
pub(super) enum Request {
    Change(ChangeRequest),
    /// The view thread asks for everything that it shows. All of that is on disk.
    Snapshot(mpsc::Sender<Result<Snapshot, StoreError>>),
}

/// The effects of a batch beside the changes of the table.
#[derive(Debug, Default)]
pub(super) struct BatchEffects {
    /// Results on disk whose jobs' ends are part of the batch.
    pub(super) arrived: Vec<NewResult>,
    /// Results whose jobs' ends were refused. Their files are removed before the answers.
    pub(super) refused: Vec<NewResult>,
    /// Whether to look for result files that no job names.
    pub(super) remove_orphans: bool,
    /// The journal is to lose what no record has any more. The channels tell when that is done.
    pub(super) erasures: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

/// Why the store takes no changes, while it takes none. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn set(&self, reason: Option<&StoreError>) {
        *self.0.lock() = reason
            .map(|reason| StoreError::Stopped { reason: Arc::new(reason.clone()) }.to_string());
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

/// The pauses between attempts at recovering double up to this many times the first one.
const LONGEST_PAUSE: u32 = 100;
/// How many requests share one sync.
const BATCH: usize = 4096;

/// The handle to the thread. When the last one is dropped, the thread finishes what was handed in, and ends.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Request>);

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        paths: Paths,
        owners: Arc<Owners>,
        results: Arc<Results>,
        replica: Replica,
        view: Arc<ViewSignal>,
        trouble: Trouble,
    ) -> Result<Self, StoreError> {
        let (sender, requests) = mpsc::channel();
        let journal = paths.journal.clone();
        let lock = FolderLock::new(paths.clone());
        let (reserve, is_registered) = (Reserve::new(paths.clone()), false);
        let thread =
            Thread { lock, paths, owners, is_registered, results, replica, view, trouble, reserve };
        std::thread::Builder::new()
            .name("smart-async-journal".to_owned())
            .spawn(move || thread.serve(&requests))
            .map_err(|error| StoreError::io("start the writer of", journal, error))?;
        Ok(Self(sender))
    }

    pub(super) fn send(&self, request: Request) {
        // A thread that is gone drops the request, and with it the sender of the caller's channel.
        let _ = self.0.send(request);
    }

    /// Everything that the view shows. Blocks until the next batch is done.
    pub(super) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let (sender, receiver) = mpsc::channel();
        self.send(Request::Snapshot(sender));
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Has the journal lose what no record has any more. The channel tells when that is done; where it fails, the view thread
    /// tries it again.
    pub(super) fn erase(&self) -> oneshot::Receiver<Result<(), StoreError>> {
        let (sender, receiver) = oneshot::channel();
        self.send(Request::Change(Box::new(|_, effects| {
            effects.erasures.push(sender);
            Box::new(|_| {})
        })));
        receiver
    }
}

/// The callers of a batch.
#[derive(Default)]
struct Waiting {
    changes: Vec<Acknowledge>,
    snapshots: Vec<mpsc::Sender<Result<Snapshot, StoreError>>>,
}

impl Waiting {
    fn refuse(self, error: &StoreError) {
        for acknowledge in self.changes {
            acknowledge(Err(error.clone()));
        }
        for snapshot in self.snapshots {
            let _ = snapshot.send(Err(error.clone()));
        }
    }
}

/// Why a batch was not written.
enum Failure {
    /// Nothing of it stands.
    Refused(StoreError),
    /// Nothing can tell what of it stands, so that the store stops.
    InDoubt(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

struct Thread {
    lock: FolderLock,
    paths: Paths,
    /// The process whose unfinished jobs no other may lose.
    owners: Arc<Owners>,
    /// Whether the process has taken its name: it does that before the first job of its own is written.
    is_registered: bool,
    results: Arc<Results>,
    replica: Replica,
    view: Arc<ViewSignal>,
    trouble: Trouble,
    reserve: Reserve,
}

impl Thread {
    fn serve(mut self, inbox: &mpsc::Receiver<Request>) {
        while let Ok(first) = inbox.recv() {
            let (mut untried, mut waiting) = (VecDeque::from([first]), Waiting::default());
            let written = shielded(|| self.batch(&mut untried, inbox, &mut waiting));
            match written.unwrap_or_else(|panic| Err(Failure::InDoubt(panicked(&*panic)))) {
                Ok(()) => {}
                Err(Failure::Refused(error)) => {
                    observe::error!(%error, "failed to write the job store");
                    waiting.refuse(&error);
                }
                Err(Failure::InDoubt(error)) => {
                    observe::error!(%error, "the job store has stopped: it refuses changes until it has read its journal anew");
                    self.trouble.set(Some(&error));
                    waiting.refuse(&error.clone().but_in_doubt());
                    untried.into_iter().for_each(|request| self.refuse(request, &error));
                    self.recover(inbox, error);
                    self.trouble.set(None);
                }
            }
            self.lock.release();
        }
    }

    /// Writes the requests that are there, those of `untried` first, up to a batch, as a whole: all of them are acknowledged, or
    /// none.
    ///
    /// Where it panics, nothing tells what of the batch stands, and the requests in `untried` are none of it.
    fn batch(
        &mut self,
        untried: &mut VecDeque<Request>,
        inbox: &mpsc::Receiver<Request>,
        waiting: &mut Waiting,
    ) -> Result<(), Failure> {
        let replica = self.replica.clone();
        let locked = self.lock.take();
        let mut source = replica.source();
        let caught_up = locked.and_then(|()| self.catch_up(&mut source));

        let mut effects = BatchEffects::default();
        let mut known = replica.known();
        let mut transaction = Transaction::new(&known.table, self.paths.clock.now());
        if let Some(previous) = &source.previous_table {
            transaction.bring_along(previous, self.owners.own());
        }
        // The requests that came while the thread waited for the lock share the sync.
        untried.extend(inbox.try_iter().take(BATCH - untried.len()));
        while let Some(request) = untried.pop_front() {
            match request {
                Request::Change(change) => {
                    waiting.changes.push(change(&mut transaction, &mut effects));
                }
                Request::Snapshot(sender) => waiting.snapshots.push(sender),
            }
        }
        let mut changes = transaction.into_changes();
        // A store whose folder cannot be reached refuses the requests with the reason.
        if let Err(error) = caught_up {
            return Err(error.into());
        }
        if changes.is_empty() {
            drop(known);
            effects.refused.clear();
            // The answers may rest on lines of a process that died before it synced them.
            let settled = source.journal.settle();
            settled.or_else(|error| self.renew(&mut source, error))?;
            source.previous_table = None;
            self.remove_orphans(&source, &effects);
            self.acknowledge(&source, waiting);
            self.erase(&mut source, effects.erasures);
            return Ok(());
        }
        let doomed = doomed(&changes, &known.table);
        let merely_progress = is_merely_progress(&changes, &known.table);
        let owes_erasure = erasure::is_caused_by(&changes, &known.table);
        known.appending = true;
        drop(known);
        effects.refused.clear();
        let removed: HashSet<_> = removed(&changes).collect();
        if effects.remove_orphans && !removed.is_empty() {
            // Before the removal: wherever a crash comes, no copy has a job that is gone.
            self.paths.edit_set_aside(|text| erasure::without(text, |id| removed.contains(&id)));
        }
        let written = self.write(&mut source, &mut changes, &mut effects);
        {
            let mut known = replica.known();
            known.appending = false;
            if written.is_ok() {
                replica.commit(&mut known, changes, &source);
            }
        }
        written?;
        source.previous_table = None;
        self.view.behind(merely_progress);
        source.journal.forget(|id| removed.contains(&id));
        if owes_erasure {
            source.journal.owe_erasure();
            self.view.owes_erasure(false);
        }
        self.results.remove(&doomed);
        self.remove_orphans(&source, &effects);
        self.acknowledge(&source, waiting);
        if source.journal.is_long(self.paths.short_journal) {
            // A failure is in the log, and the long one stays.
            let _ = self.shorten(&mut source);
        }
        self.erase(&mut source, effects.erasures);
        Ok(())
    }

    /// Reads what other processes have appended, in the folder that is there now.
    fn catch_up(&mut self, source: &mut Source) -> Result<(), StoreError> {
        let mut caught_up = self.replica.catch_up_to_append(source, &self.lock)?;
        if caught_up == CaughtUp::NeedsNewLock {
            self.lock.take_anew()?;
            caught_up = self.replica.catch_up_to_append(source, &self.lock)?;
        }
        if caught_up == CaughtUp::AnotherJournal || source.previous_table.is_some() {
            // A person who removed the folder removed the file of this process's name as well.
            self.owners.reassert();
        }
        Ok(())
    }

    /// Puts the results in place and appends the changes.
    fn write(
        &mut self,
        source: &mut Source,
        changes: &mut Changes,
        effects: &mut BatchEffects,
    ) -> Result<(), Failure> {
        if has_job_of(changes, self.owners.own()) {
            self.owners.register()?;
            // A person may have removed the file that stands for it.
            self.owners.reassert();
            effects.remove_orphans |= !std::mem::replace(&mut self.is_registered, true);
        }
        let before = |id| self.replica.known().table.find(id).map(|job| Arc::clone(job.record()));
        let text = format::batch(changes, before)
            .map_err(|error| StoreError::io("render", &self.paths.journal, error.into()))?;
        // A record that names a file is appended once the file is there for good.
        let placed = self.results.place(std::mem::take(&mut effects.arrived), changes)?;
        let mut appended = source.journal.append(&text);
        let removes = removed(changes).next().is_some();
        if removes && matches!(appended, Err(AppendError::Refused(_))) && self.reserve.release() {
            appended = source.journal.append(&text);
        }
        let refused = match appended {
            Ok(()) => return Ok(()),
            Err(AppendError::Refused(error)) if removes => {
                match self.replica.renew_with(source, changes) {
                    Ok(()) => return Ok(()),
                    // It may stand in its place all the same.
                    Err(error) if source.journal.is_replaced() => Failure::InDoubt(error),
                    Err(_) => Failure::Refused(error),
                }
            }
            Err(AppendError::Refused(error)) => Failure::Refused(error),
            Err(AppendError::InDoubt(error)) => match self.renew(source, error.clone()) {
                Ok(()) => Failure::Refused(error),
                Err(in_doubt) => in_doubt,
            },
        };
        if matches!(refused, Failure::Refused(_)) {
            self.results.remove(&placed);
        }
        Err(refused)
    }

    /// Puts a new journal in place that says what is known, after a sync failed for this reason.
    fn renew(&self, source: &mut Source, error: StoreError) -> Result<(), Failure> {
        match self.replica.renew(source) {
            Ok(()) => {
                observe::warn!(%error, "failed to sync the journal; a new one with everything that was acknowledged stands in its place");
                self.view.behind(false);
                Ok(())
            }
            Err(second) => {
                observe::error!(error = %second, "failed to put a new journal in the place of one that could not be synced");
                Err(Failure::InDoubt(error))
            }
        }
    }

    /// Tells the callers that their requests are on disk.
    fn acknowledge(&self, source: &Source, waiting: &mut Waiting) {
        let changes = std::mem::take(&mut waiting.changes);
        let snapshots = std::mem::take(&mut waiting.snapshots);
        for acknowledge in changes {
            acknowledge(Ok(()));
        }
        for sender in snapshots {
            let snapshot = Snapshot::of(source, &self.replica.known());
            // A view thread that has ended needs it no more.
            let _ = sender.send(Ok(snapshot));
        }
    }

    /// Refuses requests until the journal was read anew and written to a new file, or no caller is left. The folder's lock is
    /// kept meanwhile: another process could read lines that are not on disk, and build upon them.
    fn recover(&mut self, inbox: &mpsc::Receiver<Request>, reason: StoreError) {
        let stopped = StoreError::Stopped { reason: Arc::new(reason) };
        let mut pause = self.paths.recovery_pause;
        loop {
            let next = Instant::now() + pause;
            pause = (pause * 2).min(self.paths.recovery_pause * LONGEST_PAUSE);
            loop {
                let left = next.saturating_duration_since(Instant::now());
                match inbox.recv_timeout(left) {
                    Ok(request) => self.refuse(request, &stopped),
                    Err(mpsc::RecvTimeoutError::Timeout) => break,
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            }
            let recovered = shielded(|| self.try_to_recover());
            match recovered.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                Ok(()) => {
                    observe::warn!("the job store has read its journal anew, and goes on");
                    self.view.behind(false);
                    return;
                }
                Err(error) => observe::debug!(%error, "the job store could not recover yet"),
            }
        }
    }

    fn try_to_recover(&mut self) -> Result<(), StoreError> {
        // A panic may have left it set.
        self.replica.known().appending = false;
        if !self.lock.is_in_place() {
            self.lock.take_anew()?;
        }
        let replica = self.replica.clone();
        replica.recover(&mut replica.source())
    }

    /// Refuses a request that was not tried.
    fn refuse(&self, request: Request, error: &StoreError) {
        match request {
            Request::Change(change) => {
                let mut effects = BatchEffects::default();
                let acknowledge = {
                    let known = self.replica.known();
                    let now = self.paths.clock.now();
                    change(&mut Transaction::new(&known.table, now), &mut effects)
                };
                drop(effects);
                acknowledge(Err(error.clone()));
            }
            Request::Snapshot(sender) => {
                let _ = sender.send(Err(error.clone()));
            }
        }
    }

    /// Removes result files that no job names, where a request of the batch asked for that. Needs the folder's lock.
    fn remove_orphans(&self, source: &Source, effects: &BatchEffects) {
        if effects.remove_orphans {
            let is_named = |id| source.names_result(&self.replica.known().table, id);
            self.results.remove_orphans(&self.owners, is_named);
        }
    }

    /// Has the journal lose what no record has any more, where a request of the batch asked for that, and answers. Needs the folder's
    /// lock.
    fn erase(
        &mut self,
        source: &mut Source,
        erasures: Vec<oneshot::Sender<Result<(), StoreError>>>,
    ) {
        if erasures.is_empty() {
            return;
        }
        let contents = self.replica.known().table.contents().clone();
        let erased = match source.journal.owes_erasure(&contents) {
            Ok(true) => self.shorten(source),
            owes => owes.map(drop),
        };
        if erased.is_ok() {
            self.reserve.keep();
        }
        for erasure in erasures {
            // The caller may have left.
            let _ = erasure.send(erased.clone());
        }
    }

    /// Replaces the journal by one that says the same and no more. Needs the folder's lock. Where that fails, the long one
    /// stays.
    fn shorten(&self, source: &mut Source) -> Result<(), StoreError> {
        if source.journal.is_replaced() {
            // A person moved the folder away, and the lock with it: another process may have begun another journal.
            return Ok(());
        }
        let shortened = self.replica.renew(source);
        if let Err(error) = &shortened {
            source.journal.put_off_shortening();
            observe::warn!(%error, "failed to shorten the journal");
        }
        self.view.behind(false);
        shortened
    }
}

/// The failure of a thread's turn that panicked: code of the program panicked in it, or this library is wrong somewhere.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let source = io::Error::other(format!("panicked: {}", panic_message(panic)));
    StoreError::io("write", "the job store", source)
}

/// Returns whether a job of this owner is among the changes.
fn has_job_of(changes: &Changes, owner: OwnerId) -> bool {
    changes.jobs.values().flatten().any(|put| put.record.owner == Some(owner))
}

/// The jobs that the changes remove.
fn removed(changes: &Changes) -> impl Iterator<Item = JobId> {
    changes.jobs.iter().filter(|(_, put)| put.is_none()).map(|(id, _)| *id)
}

/// Returns whether nothing changes that a person would look for in the view at once.
fn is_merely_progress(changes: &Changes, before: &Table) -> bool {
    let state = |record: &JobRecord| (record.status(), record.cancel_requested);
    changes.states.is_empty()
        && changes.jobs.iter().all(|(id, put)| {
            let both = put.as_ref().zip(before.find(*id).map(Entry::record));
            both.is_some_and(|(Put { record, .. }, before)| state(record) == state(before))
        })
}
