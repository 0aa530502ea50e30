//! The folder and its workers: starts them, listens to them, kills them, and compares what is left with what they said.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use smart_async::job::{JobId, JobQuery, JobRecord, Prune, ResultLocation};
use smart_async::store::{JobStore, JournalStore};
use smart_async_tests::SeededRng;
use smart_async_tests::crash::Line;
use tempfile::TempDir;

use super::story::{Removal, Story, check_found};
use super::worker::{Life, Said, Worker};

/// Nothing here takes so long, unless something is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// When a file was written, if it is there.
fn written(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// The folder, the workers, and what they said.
pub(super) struct Harness {
    home: TempDir,
    rng: SeededRng,
    seed: u64,
    pub(super) workers: BTreeMap<Life, Worker>,
    lives: Life,
    owners: HashMap<Life, Value>,
    stories: HashMap<JobId, Story>,
    acknowledged: usize,
    said: mpsc::Receiver<Said>,
    say: mpsc::Sender<Said>,
    marks: HashSet<(Life, u64)>,
    /// Every journal that was seen in the folder: it is replaced when it has grown long.
    journals: HashSet<String>,
    /// How many kills left a file that was about to be put in place of another.
    in_between: usize,
    /// When the files were written that the last kill left so.
    left: [Option<SystemTime>; 2],
}

/// Prints the seed of a test that fails, so that the run can be repeated.
impl Drop for Harness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed: SMART_ASYNC_CRASH_SEED={}", self.seed);
        }
    }
}

impl Harness {
    pub(super) fn new() -> Self {
        let seed = std::env::var("SMART_ASYNC_CRASH_SEED").map_or_else(
            |_| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
            |seed| seed.parse().unwrap(),
        );
        let (say, said) = mpsc::channel();
        Self {
            home: TempDir::new().unwrap(),
            rng: SeededRng::new(seed),
            seed,
            workers: BTreeMap::new(),
            lives: 0,
            owners: HashMap::new(),
            stories: HashMap::new(),
            acknowledged: 0,
            said,
            say,
            marks: HashSet::new(),
            journals: HashSet::new(),
            in_between: 0,
            left: [None; 2],
        }
    }

    pub(super) fn start(&mut self) -> Life {
        self.lives += 1;
        let (life, seed) = (self.lives, self.rng.next());
        let worker = Worker::start(self.home.path(), life, seed, self.say.clone());
        self.workers.insert(life, worker);
        life
    }

    /// Takes in one thing that was said; returns whose output has ended, if that was it.
    fn listen(&mut self) -> Option<Life> {
        let said = self.said.recv_timeout(STUCK).expect("a worker is stuck");
        self.take_in(said)
    }

    fn take_in(&mut self, (life, line): Said) -> Option<Life> {
        let Some(line) = line else { return Some(life) };
        match line {
            Line::Open(owner) => {
                self.owners.insert(life, owner);
            }
            Line::Try(record) => {
                let id: JobId = serde_json::from_value(record["id"].clone()).unwrap();
                let number = record["progress"]["current"].as_u64().unwrap();
                let story = self.stories.entry(id).or_default();
                if number == 0 {
                    assert_eq!(story.life, 0, "{id} was given twice");
                    story.life = life;
                }
                story.tried.entry(number).or_default().push((life, record));
            }
            Line::Done(id, number) => {
                self.acknowledged += 1;
                let before = self.stories.get_mut(&id).unwrap().done.insert(number, life);
                assert_eq!(before, None, "{id}: change {number} was acknowledged twice");
            }
            Line::TryRemove(ids) => self.removal(ids, Removal::Tried),
            Line::Removed(ids) => {
                self.acknowledged += 1;
                self.removal(ids, Removal::Acknowledged);
            }
            Line::TryCancel(id) => self.stories.entry(id).or_default().cancel_tried = true,
            Line::Cancelled(id) => {
                self.acknowledged += 1;
                self.stories.get_mut(&id).unwrap().cancelled = true;
            }
            Line::Abandoned(id) => {
                // What its own process said of it may still be on its way.
                let owner = self.stories.entry(id).or_default().life;
                assert!(
                    !self.workers.contains_key(&owner),
                    "{id} was taken for abandoned while its owner, life {owner}, was alive"
                );
            }
            Line::Mark(mark) => {
                self.marks.insert((life, mark));
            }
        }
        None
    }

    fn removal(&mut self, ids: Vec<JobId>, removal: Removal) {
        for id in ids {
            let story = self.stories.get_mut(&id).unwrap();
            story.removal = story.removal.max(removal);
        }
    }

    fn listen_to_the_living(&mut self) {
        if let Some(life) = self.listen() {
            panic!("life {life} ended by itself; its last words are on stderr");
        }
    }

    /// Listens until everything that was done before this was called has been told of.
    fn listen_to_everything(&mut self) {
        let mark = self.rng.next();
        let mut asked = Vec::new();
        for (life, worker) in &mut self.workers {
            writeln!(worker.input, "{mark}").unwrap();
            asked.push((*life, mark));
        }
        while !asked.iter().all(|mark| self.marks.contains(mark)) {
            self.listen_to_the_living();
        }
    }

    /// Lets them work for a while, and up to a moment that is worth a crash.
    pub(super) fn work(&mut self) {
        while self.workers.keys().any(|life| !self.owners.contains_key(life)) {
            self.listen_to_the_living();
        }
        let until = self.acknowledged + self.rng.below(600) as usize;
        while self.acknowledged < until {
            self.listen_to_the_living();
        }
        match self.rng.below(4) {
            0 => self.work_until_seen("jobs.json.new"),
            1 => self.work_until_seen("journal.ndjson.new"),
            2 => {
                // Between two lines.
                let (began, long) = (Instant::now(), self.rng.below(3000));
                while began.elapsed() < Duration::from_micros(long) {
                    std::hint::spin_loop();
                }
            }
            _ => {}
        }
    }

    /// Lets them work until a file is about to be put in place of another, but not for ever. Looks all the time: the
    /// moment is short.
    fn work_until_seen(&mut self, file: &str) {
        const PATIENCE: usize = 3000;
        let file = self.home.path().join("meta").join(file);
        let (left, until) = (written(&file), self.acknowledged + PATIENCE);
        let seen = || written(&file).is_some_and(|now| Some(now) != left);
        while self.acknowledged < until && !seen() {
            match self.said.try_recv().map(|said| self.take_in(said)) {
                Ok(Some(life)) => {
                    panic!("life {life} ended by itself; its last words are on stderr")
                }
                Ok(None) => {}
                Err(_) => std::hint::spin_loop(),
            }
        }
    }

    /// Kills so many of them, at the same moment as near as can be, and hears them out.
    pub(super) fn kill(&mut self, count: usize) {
        let mut dying = BTreeMap::new();
        for _ in 0..count {
            let nth = self.rng.below(self.workers.len() as u64) as usize;
            let life = *self.workers.keys().nth(nth).unwrap();
            dying.insert(life, self.workers.remove(&life).unwrap());
        }
        for (life, worker) in &mut dying {
            assert!(worker.process.try_wait().unwrap().is_none(), "life {life} ended by itself");
        }
        for worker in dying.values_mut() {
            worker.process.kill().unwrap();
        }
        for worker in dying.values_mut() {
            worker.process.wait().unwrap();
        }
        self.look_at_the_files();
        while !dying.is_empty() {
            if let Some(life) = self.listen() {
                assert!(dying.remove(&life).is_some(), "life {life} ended by itself");
            }
        }
    }

    /// Waits until the living have ended what the dead have left behind.
    pub(super) fn wait_until_the_dead_are_accounted_for(&mut self) {
        let is_left_behind = |harness: &Self| {
            let dead = |story: &&Story| !harness.workers.contains_key(&story.life);
            let mut dead = harness.stories.values().filter(dead);
            dead.any(|story| story.is_left_behind(&harness.workers))
        };
        let began = Instant::now();
        while is_left_behind(self) {
            assert!(began.elapsed() < STUCK, "nobody ends what the dead have left behind");
            self.listen_to_the_living();
        }
    }

    /// Whatever `jobs.json` is there, it is whole.
    fn look_at_the_files(&mut self) {
        let meta = self.home.path().join("meta");
        let left = ["jobs.json.new", "journal.ndjson.new"].map(|file| written(&meta.join(file)));
        let in_between = left.iter().any(|file| file.is_some() && !self.left.contains(file));
        self.in_between += usize::from(in_between);
        self.left = left;
        let journal = fs::File::open(meta.join("journal.ndjson")).map(BufReader::new);
        self.journals.extend(journal.into_iter().flat_map(|journal| journal.lines().next()?.ok()));
        let Ok(text) = fs::read(meta.join("jobs.json")) else { return };
        let view: Value = serde_json::from_slice(&text).expect("jobs.json is whole");
        assert!(view["version"] == 2 && view["jobs"].is_array());
    }

    /// Line by line, the journal gives no job a second end, and brings nothing back.
    fn check_the_journal(&self) {
        let text = fs::read(self.home.path().join("meta/journal.ndjson")).unwrap();
        let (mut ends, mut removed) = (HashMap::new(), HashSet::new());
        for line in text.split(|byte| *byte == b'\n') {
            let Ok(mut line) = serde_json::from_slice::<Value>(line) else { continue };
            for id in line["remove"].as_array().into_iter().flatten() {
                removed.insert(id.as_str().unwrap().to_owned());
            }
            let put = line["put"].take();
            let Some(id) = put["id"].as_str() else { continue };
            assert!(!removed.contains(id), "{id} came back");
            assert_eq!(ends.get(id), None, "{id} changed after its end, to {put}");
            if put["terminal"] == true {
                ends.insert(id.to_owned(), put);
            }
        }
    }

    /// What is left of the folder has everything, as whoever opens it finds it.
    pub(super) async fn check(&mut self) {
        // What is acknowledged later than this may be read, and need not be.
        let before = self.stories.clone();
        let alive = !self.workers.is_empty();
        // A folder that is in use cannot be copied; one that is not is left as the crash left it, most of the time.
        let copy = (!alive && !self.rng.once_in(3)).then(|| TempDir::new().unwrap());
        if let Some(copy) = &copy {
            fs::create_dir_all(copy.path().join("meta")).unwrap();
            let files = ["meta/journal.ndjson", "meta/jobs.json"];
            let wanted = &files[..1 + self.rng.below(2) as usize];
            for file in wanted {
                // The view may not have been written yet.
                let _ = fs::copy(self.home.path().join(file), copy.path().join(file));
            }
            copy_results(self.home.path(), copy.path());
        }
        let folder = copy.as_ref().map_or(self.home.path(), |copy| copy.path());
        let store = JournalStore::open(folder).await.unwrap();
        let (mut jobs, mut in_files) = (Vec::new(), HashSet::new());
        for job in store.list(JobQuery::default()).await.unwrap().jobs {
            // None where a worker that lives has removed it since.
            jobs.extend(store.get_with_result(job.id).await.unwrap());
            if matches!(job.result_location, ResultLocation::InFile { .. }) {
                in_files.insert(job.id);
            }
        }
        if !alive {
            // A server that starts sweeps.
            let mut sweep = Prune::default();
            sweep.keep_newest = usize::MAX;
            store.prune(sweep).await.unwrap();
            check_the_results(folder, &in_files);
        }
        let mut abandoned = HashSet::new();
        let servers: HashSet<_> = jobs.iter().map(|job| job.spec.server.clone()).collect();
        for server in servers {
            let left = store.abandoned(Some(server)).await.unwrap();
            abandoned.extend(left.iter().map(|job| job.id));
        }
        self.listen_to_everything();
        let found: HashMap<JobId, &JobRecord> = jobs.iter().map(|job| (job.id, &**job)).collect();
        for (id, job) in &found {
            let told = self.stories.get(id).unwrap_or_else(|| panic!("{id} was never inserted"));
            check_found(job, told, before.get(id));
            let dead = !self.workers.contains_key(&told.life);
            if !dead {
                assert!(!abandoned.contains(id), "{id} is abandoned, and its owner lives");
            } else if !alive && !job.status().is_terminal() {
                assert!(abandoned.contains(id), "{id} has a living owner, and nobody lives");
            }
        }
        for (id, told) in &before {
            let may_be_gone = self.stories[id].removal != Removal::No;
            if told.last().is_some() && !may_be_gone {
                assert!(found.contains_key(id), "{id} was acknowledged, and is lost: {told:?}");
            }
        }
        self.check_ends();
        if !alive {
            self.check_the_journal();
        }
        self.stories.values_mut().for_each(Story::forget_the_past);
    }

    /// Of all that was acknowledged, a job's end is one, and the last.
    fn check_ends(&self) {
        for (id, story) in &self.stories {
            for number in story.done.keys() {
                let record = story.acknowledged(*number).expect("what was done was tried");
                if record["terminal"] == true {
                    assert_eq!(
                        story.last(),
                        Some(*number),
                        "{id} changed after its end: {story:?}"
                    );
                }
            }
        }
    }
}

/// Copies the results that have files of their own.
fn copy_results(home: &Path, copy: &Path) {
    let Ok(files) = fs::read_dir(home.join("results")) else { return };
    fs::create_dir(copy.join("results")).unwrap();
    for file in files {
        let file = Path::new("results").join(file.unwrap().file_name());
        fs::copy(home.join(&file), copy.join(&file)).unwrap();
    }
}

/// No result file is left that no job names, and none that a job names is missing.
fn check_the_results(home: &Path, named: &HashSet<JobId>) {
    let mut found = HashSet::new();
    for file in fs::read_dir(home.join("results")).into_iter().flatten() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let id = name.strip_suffix(".json").and_then(|id| id.parse().ok());
        found.insert(id.unwrap_or_else(|| panic!("{name} was left by a process that is dead")));
    }
    assert_eq!(found, *named);
}

impl Harness {
    /// All who are left go at the same moment.
    pub(super) async fn end(&mut self) {
        self.kill(self.workers.len());
        self.check().await;
        self.tell();
    }

    fn tell(&self) {
        let cancelled = self.stories.values().filter(|story| story.cancelled).count();
        println!(
            "{} kills, {} while a file was replaced, {} acknowledgements, {} jobs, {cancelled} cancelled by another \
             process, {} journals seen",
            self.lives,
            self.in_between,
            self.acknowledged,
            self.stories.len(),
            self.journals.len()
        );
    }
}
