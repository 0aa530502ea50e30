//! The one thread of a process that appends to the journal. It gathers what callers hand it while it was busy, does that
//! as one batch, and acknowledges when the batch is synced.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::files::Paths;
use super::journal::{Journal, NotAppended};
use super::known::Shared;
use super::owners::Owners;
use super::results::{NewResult, Results, doomed};
use super::view::View;
use crate::observe;
use crate::store::StoreError;
use crate::store::draft::Draft;
use crate::store::kept::Kept;
use crate::store::table::{Changes, Table};

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
}

/// How many requests share one sync.
const BATCH: usize = 4096;

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
        let (requests, inbox) = mpsc::channel();
        let journal = paths.journal.clone();
        let thread = Thread { paths, owners, results, known, view };
        std::thread::Builder::new()
            .name("smart-async-journal".to_owned())
            .spawn(observe::carried(move || thread.serve(&inbox)))
            .map_err(|error| StoreError::io("start the writer of", journal, error))?;
        Ok(Self(requests))
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
        let held = self.held_since.map(|since| since.elapsed()).unwrap_or_default();
        let pause = match self.wrote {
            true => held / 8,
            false if held >= LONG => held / 16,
            false => return,
        };
        std::thread::sleep(pause.min(LONGEST_PAUSE));
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
    fn serve(self, inbox: &mpsc::Receiver<Request>) {
        while let Ok(first) = inbox.recv() {
            let batch: Vec<_> =
                std::iter::once(first).chain(inbox.try_iter()).take(BATCH).collect();
            let mut acknowledgements = Vec::with_capacity(batch.len());
            let mut others = Others::default();
            let result = self.run(batch, &mut acknowledgements, &mut others);
            if let Err(error) = &result {
                tracing::error!(%error, "failed to write the job store");
            }
            for acknowledge in acknowledgements {
                acknowledge(result.clone());
            }
            others.go_first();
        }
    }

    /// Does a batch as a whole: all of it is acknowledged, or none.
    fn run(
        &self,
        batch: Vec<Request>,
        acknowledgements: &mut Vec<Acknowledge>,
        others: &mut Others,
    ) -> Result<(), StoreError> {
        let locked = self.paths.lock();
        others.held_since = Some(Instant::now());
        let mut known = self.known.lock();
        let read_to = known.journal.position();
        let ready = match &locked {
            Ok(_) => known.catch_up_to_append(&self.paths),
            Err(error) => Err(error.clone()),
        };
        others.wrote = known.journal.position() != read_to;
        let before = known.before.take();
        if matches!(ready, Ok(true)) || before.is_some() {
            // Whoever removed the folder took the sign that this process lives along.
            self.owners.hold_on();
        }
        let mut draft = Draft::new(&known.table);
        if let Some(before) = &before {
            draft.bring_along(before, self.owners.own());
        }
        let mut errands = Errands::default();
        acknowledgements.extend(batch.into_iter().map(|request| request(&mut draft, &mut errands)));
        let changes = draft.into_changes();
        if let Err(error) = ready {
            known.before = before;
            return Err(error);
        }
        if changes.is_empty() {
            drop(known);
            self.clear_away(&errands);
            return Ok(());
        }
        let merely_progress = is_merely_progress(&changes, &known.table);
        let doomed = doomed(&changes, &known.table);
        let appending = match known.journal.batch(&changes) {
            Ok(appending) => appending,
            Err(error) => {
                known.before = before;
                return Err(error);
            }
        };
        // From here on others read what was there before, without waiting for the disk.
        known.appending = true;
        drop(known);
        // A record that names a file is not appended before the file is there for good.
        let appended = match self.results.place(std::mem::take(&mut errands.arrived), &changes) {
            Ok(placed) => appending.append().map_err(|refused| (refused, placed)),
            Err(error) => Err((NotAppended { error, spoilt_to: None }, Vec::new())),
        };
        let mut known = self.known.lock();
        known.appending = false;
        match appended {
            Ok(end) => known.journal.appended(end),
            Err((NotAppended { error, spoilt_to }, placed)) => {
                if spoilt_to.is_none() {
                    self.results.remove(&placed);
                }
                known.spoilt_to = spoilt_to;
                known.before = before;
                return Err(error);
            }
        }
        known.table.commit(changes);
        let long = known.journal.is_long(self.paths.short_journal);
        drop(known);
        self.results.remove(&doomed);
        self.clear_away(&errands);
        self.view.behind(merely_progress);
        if long {
            self.shorten();
        }
        Ok(())
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
                tracing::warn!(%error, "failed to shorten the journal");
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
