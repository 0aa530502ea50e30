//! Watches the disk of one store: writes down what it does, on a tape that several stores share, and kills the store,
//! holds it up or lets its disk fail at the operation that the test names.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use smart_async::store::faults::{Operation, ThreadEnd, Verdict, Watcher};

use super::model::{FileId, Step};
use super::promises::Event;

/// Nothing here takes so long, unless something is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// What happened, in order: to the disk, and between the test and its stores.
#[derive(Debug, Clone)]
pub struct Tape(Arc<Mutex<Log>>);

#[derive(Debug)]
struct Log {
    root: PathBuf,
    events: Vec<Event>,
    /// The files by what the system calls them.
    known: HashMap<(u64, u64), FileId>,
    /// Files that were made since; the system's name for them is looked up when it is needed.
    made: Vec<(PathBuf, FileId)>,
    next: FileId,
}

impl Tape {
    /// A tape of what happens below `root`, which holds these files.
    pub fn new(root: &Path, files: &BTreeMap<PathBuf, FileId>) -> Self {
        let made = files.iter().map(|(path, id)| (root.join(path), *id)).collect();
        let (root, next) = (root.to_owned(), files.len());
        let log = Log { root, events: Vec::new(), known: HashMap::new(), made, next };
        Self(Arc::new(Mutex::new(log)))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what the test knows.
    pub fn note(&self, event: Event) {
        self.log().events.push(event);
    }

    /// All that was written down.
    pub fn events(&self) -> Vec<Event> {
        self.log().events.clone()
    }
}

fn name(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Log {
    fn below(&self, path: &Path) -> PathBuf {
        // A folder above the root is none that the model knows.
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }

    fn file(&mut self, file: &File) -> FileId {
        let Self { known, made, .. } = self;
        // One that is not there yet is being made by another thread at this moment.
        made.retain(|(path, id)| {
            fs::metadata(path).map(|metadata| known.insert(name(&metadata), *id)).is_err()
        });
        known[&name(&file.metadata().expect("an open file"))]
    }

    fn record(&mut self, operation: Operation<'_>) {
        let step = match operation {
            Operation::CreateFolder(path) => Step::CreateFolder(self.below(path)),
            Operation::Create(path) => {
                let id = self.next;
                self.next += 1;
                self.made.push((path.to_owned(), id));
                Step::Create(self.below(path), id)
            }
            Operation::Write(file, bytes) => Step::Write(self.file(file), bytes.to_vec()),
            Operation::Cut(file, length) => Step::Cut(self.file(file), length as usize),
            Operation::Sync(file) => Step::Sync(self.file(file)),
            Operation::SyncFolder(path) => Step::SyncFolder(self.below(path)),
            Operation::Rename(from, to) => {
                // Its system's name is looked up while it still has this one.
                let (known, made) = (&mut self.known, &mut self.made);
                made.retain(|(path, id)| {
                    path != from
                        || fs::metadata(path).map(|file| known.insert(name(&file), *id)).is_err()
                });
                Step::Rename(self.below(from), self.below(to))
            }
            Operation::Remove(path) => Step::Remove(self.below(path)),
            other => panic!("the model does not know {other:?}"),
        };
        self.events.push(Event::Step(step));
    }
}

/// What is to happen at one of the next operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Plan {
    #[default]
    Nothing,
    /// The process dies at the operation after so many, of which so many bytes are still written.
    Kill { after: usize, written: usize },
    /// The process dies before a folder is synced: what it put in place may vanish.
    KillBeforeFolderSync,
    /// The operation after so many waits.
    Hold { after: usize },
    /// An operation waits.
    Held,
    /// The operation after so many fails, and those after it until there have been so many failures.
    Fail { after: usize, written: usize, failures: usize },
    /// The process is dead: nothing happens any more.
    Dead,
}

/// Where the writer waits before it shortens the journal: what it has acknowledged before is to be written down first.
#[derive(Debug, Default)]
struct Gate {
    is_open: bool,
    has_arrived: bool,
    waker: Option<Waker>,
}

/// Watches one store.
#[derive(Debug)]
pub struct Recorder {
    tape: Option<Tape>,
    plan: Mutex<Plan>,
    changed: Condvar,
    test: ThreadId,
    seen: Mutex<usize>,
    gate: Mutex<Gate>,
    opened: Condvar,
}

impl Recorder {
    /// A watcher that writes down what it sees, and whose test runs in this thread.
    pub fn new(tape: &Tape) -> Arc<Self> {
        Self::with(Some(tape.clone()))
    }

    /// A watcher that writes nothing down.
    pub fn without_tape() -> Arc<Self> {
        Self::with(None)
    }

    fn with(tape: Option<Tape>) -> Arc<Self> {
        crate::capture_log();
        Arc::new(Self {
            tape,
            plan: Mutex::default(),
            changed: Condvar::new(),
            test: thread::current().id(),
            seen: Mutex::default(),
            gate: Mutex::default(),
            opened: Condvar::new(),
        })
    }

    fn record(&self, operation: Operation<'_>) {
        if let Some(tape) = &self.tape {
            tape.log().record(operation);
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, plan: Plan) {
        *self.plan() = plan;
        self.changed.notify_all();
    }

    /// Has the process die at the operation after so many, with so many bytes of it written.
    pub fn kill(&self, after: usize, written: usize) {
        self.set(Plan::Kill { after, written });
    }

    /// Has the process die when it is next about to sync a folder.
    pub fn kill_before_folder_sync(&self) {
        self.set(Plan::KillBeforeFolderSync);
    }

    /// Lets the disk fail at the operation after so many, so often.
    pub fn fail(&self, after: usize, written: usize, failures: usize) {
        self.set(Plan::Fail { after, written, failures });
    }

    /// Repairs the disk, or lets whoever is held go on.
    pub fn go_on(&self) {
        if !self.is_dead() {
            self.set(Plan::Nothing);
        }
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        *self.plan() == Plan::Dead
    }

    /// Whether what was planned has not come about.
    pub fn is_waiting_to_fail(&self) -> bool {
        matches!(*self.plan(), Plan::Fail { after, .. } if after > 0)
    }

    /// How many operations were announced.
    pub fn operations(&self) -> usize {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the operation after so many wait.
    pub fn hold(&self, after: usize) {
        self.set(Plan::Hold { after });
    }

    /// Has the process die at the operation that is held.
    pub fn die_where_it_is_held(&self) {
        self.set(Plan::Dead);
    }

    /// Has the operation that is held fail, and those after it until there have been so many failures.
    pub fn fail_where_it_is_held(&self, failures: usize) {
        self.set(Plan::Fail { after: 0, written: 0, failures });
    }

    /// Waits until an operation is held.
    pub fn held(&self) {
        let waited =
            self.changed.wait_timeout_while(self.plan(), STUCK, |plan| *plan != Plan::Held);
        let late = waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        if late {
            // Nobody is to wait for ever for a test that has failed.
            self.go_on();
            panic!("nothing came to be held");
        }
    }

    /// A dead process does nothing more: the store's threads end here. What the test itself drops must not.
    fn die(&self) -> Verdict {
        if thread::panicking() || thread::current().id() == self.test {
            return Verdict::Fail { written: 0 };
        }
        resume_unwind(Box::new(ThreadEnd))
    }

    /// Waits until no thread of the dead process is left: each has the recorder as long as it can reach the disk.
    pub fn bury(self: &Arc<Self>) {
        self.let_shorten(true);
        let began = Instant::now();
        while Arc::strong_count(self) > 1 {
            assert!(began.elapsed() < STUCK, "a dead process lives on");
            thread::sleep(Duration::from_micros(100));
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the writer waits to shorten the journal. All that it has acknowledged has been answered then. If not yet, the
    /// task is woken when it does.
    pub fn is_about_to_shorten(&self, waker: &Waker) -> bool {
        let mut gate = self.gate();
        gate.waker = Some(waker.clone());
        gate.has_arrived
    }

    /// Lets the writer shorten the journal, where it waits for that.
    pub fn shorten(&self) {
        self.gate().has_arrived = false;
        self.opened.notify_all();
    }

    /// Whether the writer may shorten the journal without waiting.
    pub fn let_shorten(&self, freely: bool) {
        self.gate().is_open = freely;
        self.shorten();
    }

    fn wait_before_shortening(&self, operation: Operation<'_>) {
        let Operation::Remove(path) = operation else { return };
        if self.tape.is_none()
            || !path.ends_with("journal.ndjson.new")
            || thread::current().name() != Some("smart-async-journal")
        {
            return;
        }
        let mut gate = self.gate();
        if gate.is_open {
            return;
        }
        gate.has_arrived = true;
        gate.waker.take().into_iter().for_each(Waker::wake);
        let waited = self.opened.wait_timeout_while(gate, STUCK, |gate| gate.has_arrived);
        let late = waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        assert!(!late, "nobody lets the journal be shortened");
    }

    fn partly(&self, operation: Operation<'_>, written: usize) -> usize {
        let Operation::Write(file, bytes) = operation else { return 0 };
        let written = written % (bytes.len() + 1);
        self.record(Operation::Write(file, &bytes[..written]));
        written
    }
}

impl Watcher for Recorder {
    fn announce(&self, operation: Operation<'_>) -> Verdict {
        self.wait_before_shortening(operation);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let mut plan = self.plan();
        if *plan == (Plan::Hold { after: 0 }) {
            *plan = Plan::Held;
            self.changed.notify_all();
            plan = self
                .changed
                .wait_while(plan, |plan| *plan == Plan::Held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        match *plan {
            Plan::Dead => {
                drop(plan);
                return self.die();
            }
            Plan::Kill { after: 0, written } => {
                *plan = Plan::Dead;
                let written = self.partly(operation, written);
                if let Operation::Write(mut file, bytes) = operation {
                    std::io::Write::write_all(&mut file, &bytes[..written]).expect("a write");
                }
                drop(plan);
                return self.die();
            }
            Plan::KillBeforeFolderSync if matches!(operation, Operation::SyncFolder(_)) => {
                *plan = Plan::Dead;
                drop(plan);
                return self.die();
            }
            Plan::Fail { after: 0, written, failures } => {
                let written = self.partly(operation, written);
                *plan = match failures {
                    0 | 1 => Plan::Nothing,
                    more => Plan::Fail { after: 0, written: 0, failures: more - 1 },
                };
                return Verdict::Fail { written };
            }
            Plan::Kill { ref mut after, .. }
            | Plan::Fail { ref mut after, .. }
            | Plan::Hold { ref mut after } => *after -= 1,
            Plan::Nothing | Plan::Held | Plan::KillBeforeFolderSync => {}
        }
        self.record(operation);
        drop(plan);
        Verdict::GoOn
    }
}
