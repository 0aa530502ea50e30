//! The one thread of a process that appends to the journal. It gathers what callers hand it while it was busy, does that
//! as one batch, and acknowledges when the batch is synced. A journal that has grown long is shortened when nobody waits.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::folder::Paths;
use super::lock::{FolderLock, Held};
use super::log::{Batch, Journal, Length, NotAppended};
use super::owners::Owners;
use super::replica::{CaughtUp, Known, Shared};
use super::results::{NewResult, Results, doomed};
use super::view::View;
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::store::table::entry::Kept;
use crate::core::store::table::{Changes, Table};
use crate::core::store::transaction::Draft;

/// A change to the table; what it returns is told, once the batch is on disk or is not, how that went.
pub(super) type Request = Box<dyn FnOnce(&mut Draft<'_>, &mut Errands) -> Acknowledge + Send>;
pub(super) type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a batch has to see to beside the table.
#[derive(Debug, Default)]
pub(super) struct Errands {
    /// Results on disk whose jobs' ends are part of the batch.
    pub(super) arrived: Vec<NewResult>,
    /// Whether to look for result files that no job names.
    pub(super) clear_away: bool,
    /// Whether the store is being closed: the view that is written then tells of the journal as it is.
    pub(super) closes: bool,
}

/// How many requests share one sync.
const BATCH: usize = 4096;

/// What callers hand in.
struct Inbox {
    requests: mpsc::Receiver<Request>,
    /// The next one, where it was looked whether there is one.
    next: Option<Request>,
}

impl Inbox {
    /// Waits for the next one. None, where nobody can hand in any more.
    fn wait(&mut self) -> Option<Request> {
        self.next.take().or_else(|| self.requests.recv().ok())
    }

    /// Those that are there now.
    fn ready(&mut self) -> impl Iterator<Item = Request> {
        self.next.take().into_iter().chain(self.requests.try_iter())
    }

    fn is_empty(&mut self) -> bool {
        if self.next.is_none() {
            self.next = self.requests.try_recv().ok();
        }
        self.next.is_none()
    }
}

/// Those who wait for a batch.
#[derive(Default)]
struct Waiting(Vec<Acknowledge>);

impl Waiting {
    fn tell(&mut self, result: &Result<(), StoreError>) {
        for acknowledge in self.0.drain(..) {
            acknowledge(result.clone());
        }
    }
}

/// The handle to the thread. Dropping it lets the thread finish what was handed in, and end.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Request>);

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        paths: Paths,
        owners: Arc<Owners>,
        results: Arc<Results>,
        known: Shared,
        view: Arc<View>,
    ) -> Result<Self, StoreError> {
        let (sender, requests) = mpsc::channel();
        let inbox = Inbox { requests, next: None };
        let journal = paths.journal.clone();
        let thread = Thread { paths, owners, results, known, view };
        std::thread::Builder::new()
            .name("smart-async-journal".to_owned())
            .spawn(move || thread.serve(inbox))
            .map_err(|error| StoreError::io("start the writer of", journal, error))?;
        Ok(Self(sender))
    }

    pub(super) fn send(&self, request: Request) {
        // A thread that is gone drops the request, and with it the sender that its caller waits for.
        let _ = self.0.send(request);
    }
}

/// Other processes that may want the lock.
#[derive(Debug, Default)]
struct Others {
    /// Since when the lock is held.
    held_since: Option<Instant>,
    /// Since when it is free again, where it was given back before the sync.
    free_since: Option<Instant>,
    /// Whether others had it since the last time.
    wrote: bool,
}

impl Others {
    /// Leaves the lock alone for long enough that whoever waits for it comes by; without that, one process would take it
    /// again and again in the instant in which it is free. The next requests gather meanwhile, and share a sync.
    ///
    /// A lock that was held for long, on a slow disk or a busy machine, is left alone by a process that saw nobody else,
    /// too: the others may not have had their turn because of that very process.
    fn go_first(self) {
        const LONG: Duration = Duration::from_millis(10);
        const LONGEST_PAUSE: Duration = Duration::from_millis(20);
        let Self { held_since: Some(held_since), free_since, wrote } = self else { return };
        let now = Instant::now();
        let held = free_since.unwrap_or(now) - held_since;
        let pause = match wrote {
            true => held / 8,
            false if held >= LONG => held / 16,
            false => return,
        };
        let had = free_since.map(|since| now - since).unwrap_or_default();
        if let Some(rest) = pause.min(LONGEST_PAUSE).checked_sub(had).filter(|rest| !rest.is_zero())
        {
            std::thread::sleep(rest);
        }
    }
}

struct Thread {
    paths: Paths,
    /// The process whose unfinished jobs no other may lose.
    owners: Arc<Owners>,
    results: Arc<Results>,
    known: Shared,
    view: Arc<View>,
}

impl Thread {
    fn serve(self, mut inbox: Inbox) {
        let mut lock = FolderLock::new(self.paths.clone());
        while let Some(first) = inbox.wait() {
            let mut waiting = Waiting::default();
            let mut others = Others::default();
            let result = self.run(&mut lock, first, &mut inbox, &mut waiting, &mut others);
            if let Err(error) = &result {
                observe::error!(%error, "failed to write the job store");
            }
            waiting.tell(&result);
            others.go_first();
        }
    }

    /// Does what is asked for, up to a batch, as a whole: all of it is acknowledged, or none.
    fn run(
        &self,
        lock: &mut FolderLock,
        first: Request,
        inbox: &mut Inbox,
        waiting: &mut Waiting,
        others: &mut Others,
    ) -> Result<(), StoreError> {
        let mut held = lock.take();
        others.held_since = Some(Instant::now());
        let mut known = self.known.lock();
        let read_to = known.journal.position();
        let catch_up = |known: &mut Known, held: &Result<Held<'_>, StoreError>| match held {
            Ok(held) => known.catch_up_to_append(&self.paths, held),
            Err(error) => Err(error.clone()),
        };
        let mut ready = catch_up(&mut known, &held);
        if matches!(ready, Ok(CaughtUp::NotYet)) {
            drop((known, held));
            held = lock.take_anew();
            known = self.known.lock();
            ready = catch_up(&mut known, &held);
        }
        others.wrote = known.journal.position() != read_to;
        let before = known.before.take();
        if matches!(ready, Ok(CaughtUp::AnotherJournal)) || before.is_some() {
            // Whoever removed the folder took the sign that this process lives along.
            self.owners.hold_on();
        }
        let mut draft = Draft::new(&known.table);
        if let Some(before) = &before {
            draft.bring_along(before, self.owners.own());
        }
        let mut errands = Errands::default();
        // What came while the lock was waited for shares the sync.
        let batch = std::iter::once(first).chain(inbox.ready()).take(BATCH);
        waiting.0.extend(batch.map(|request| request(&mut draft, &mut errands)));
        let changes = draft.into_changes();
        if let Err(error) = ready {
            known.before = before;
            return Err(error);
        }
        // An answer that rests on what others may not have synced yet is given when that is synced; and those see by what is
        // appended that their changes may not be taken away any more.
        if changes.is_empty() && !known.journal.has_unsynced() {
            drop(known);
            self.clear_away(&errands);
            return Ok(());
        }
        let doomed = doomed(&changes, &known.table);
        let batch = match known.journal.batch(&changes) {
            Ok(batch) => batch,
            Err(error) => {
                known.before = before;
                return Err(error);
            }
        };
        let length = match errands.closes {
            true => Length::Fine,
            false => known.journal.length_with(&batch, self.paths.short_journal),
        };
        let shortens = |inbox: &mut Inbox| match length {
            Length::Fine => false,
            Length::Long => inbox.is_empty(),
            Length::TooLong => true,
        };
        // From here on others read what was there before, without waiting for the disk.
        known.appending = true;
        drop(known);
        let whole = shortens(inbox)
            || before.is_some()
            || !errands.arrived.is_empty()
            || !doomed.is_empty()
            || errands.clear_away;
        if !whole {
            // It touches the journal alone. So others may append while it is synced: their sync makes what stands before
            // theirs durable as well.
            if let Err(refused) = batch.write() {
                return Err(self.refuse(refused));
            }
            drop(held);
            others.free_since = Some(Instant::now());
            return self.sync(lock, &batch, changes);
        }
        // A record that names a file is not appended before the file is there for good.
        let appended = match self.results.place(std::mem::take(&mut errands.arrived), &changes) {
            Ok(placed) => batch.append().map_err(|refused| (refused, placed)),
            Err(error) => Err((NotAppended { error, left: None }, Vec::new())),
        };
        if let Err((refused, placed)) = appended {
            if refused.left.is_none() {
                self.results.remove(&placed);
            }
            self.known.lock().before = before;
            return Err(self.refuse(refused));
        }
        self.commit(&batch, changes);
        self.results.remove(&doomed);
        self.clear_away(&errands);
        // All of it is on disk: nobody waits for a shorter journal, nor do those that came meanwhile, within reason.
        waiting.tell(&Ok(()));
        if shortens(inbox) {
            self.shorten();
        } else if length == Length::Long {
            self.known.lock().journal.put_off_a_little();
        }
        drop(held);
        Ok(())
    }

    /// Syncs a batch that was appended, while others may have the lock.
    fn sync(
        &self,
        lock: &mut FolderLock,
        batch: &Batch,
        changes: Changes,
    ) -> Result<(), StoreError> {
        match batch.sync() {
            Ok(()) => {
                self.commit(batch, changes);
                Ok(())
            }
            Err(error) => self.save_or_take_away(lock, batch, error),
        }
    }

    /// A batch was appended, and could not be synced, while others had the lock. What nobody has appended behind is taken away
    /// again. Else others may have built upon it, or have told somebody what it says: then it is made durable in another way.
    /// Where that fails as well, it is refused, though it stands.
    fn save_or_take_away(
        &self,
        lock: &mut FolderLock,
        batch: &Batch,
        error: io::Error,
    ) -> Result<(), StoreError> {
        let journal = self.known.lock().journal.clone();
        let rescued = match lock.take_anew() {
            Ok(_held) if journal.ends_with(batch) => {
                return Err(self.refuse(batch.take_away(error)));
            }
            Ok(_held) => Known::rescue(&self.paths, &journal, batch),
            Err(error) => Err(error),
        };
        match rescued {
            Ok(Some(now)) => {
                observe::warn!(%error, "failed to sync the journal; all that is known was written anew");
                self.known.lock().replace(now);
                self.view.behind(false);
                return Ok(());
            }
            Ok(None) => {}
            Err(error) => {
                observe::error!(%error, "failed to save what could not be synced, and others have built upon");
            }
        }
        Err(self.refuse(batch.leave(error)))
    }

    /// Takes over what is on disk now.
    fn commit(&self, batch: &Batch, changes: Changes) {
        let mut known = self.known.lock();
        known.appending = false;
        known.journal.appended(batch.end());
        let merely_progress = is_merely_progress(&changes, &known.table);
        let is_news = !changes.is_empty();
        known.table.commit(changes);
        drop(known);
        if is_news {
            self.view.behind(merely_progress);
        }
    }

    /// Takes note that a batch was not appended.
    fn refuse(&self, refused: NotAppended) -> StoreError {
        let mut known = self.known.lock();
        known.appending = false;
        known.left = refused.left;
        refused.error
    }

    /// Removes what no job names, where a request of the batch asked for that. Needs the lock.
    fn clear_away(&self, errands: &Errands) {
        if errands.clear_away {
            let is_named = |id| self.known.lock().names_result(id);
            self.results.clear_away(&self.owners, is_named);
        }
    }

    /// Replaces the journal by one that says the same and no more. Needs the lock. A failure is no harm: the long one
    /// stays.
    fn shorten(&self) {
        let (jobs, leftovers, journal) = {
            let mut known = self.known.lock();
            if known.journal.is_replaced() {
                // Whoever moved the folder away took the lock along: others may have begun another journal.
                return;
            }
            known.appending = true;
            (known.table.jobs().clone(), known.leftovers.clone(), known.journal.clone())
        };
        let shortened = Journal::create(&self.paths, &jobs, &leftovers, Some(&journal));
        let mut known = self.known.lock();
        known.appending = false;
        match shortened {
            Ok(journal) => known.journal = journal,
            Err(error) => {
                known.journal.put_off();
                observe::warn!(%error, "failed to shorten the journal");
            }
        }
        drop(known);
        self.view.behind(false);
    }
}

/// Whether nothing has changed that a person would look for in the view at once.
fn is_merely_progress(changes: &Changes, before: &Table) -> bool {
    changes.iter().all(|(id, change)| {
        let both = change.as_ref().zip(before.find(*id).and_then(Kept::live));
        both.is_some_and(|(now, before)| (now.status(), now.cancel_requested) == before)
    })
}
