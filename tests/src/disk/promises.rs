//! What the test knows of its jobs, and whether a folder keeps what was promised about them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use smart_async::job::{JobId, JobQuery, JobRecord, JobState};
use smart_async::store::conformance::helpers::unnumbered;
use smart_async::store::{JobStore, JournalStore};

use super::jobs::{LATE, state_name};
use super::model::{Image, Step};

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// To the disk.
    Step(Step),
    /// A store is about to be asked for a change that makes this record.
    Tried(Arc<JobRecord>),
    /// A store has acknowledged that this is the record.
    Acknowledged(Arc<JobRecord>),
    /// A store that lives on has refused it.
    Refused(Arc<JobRecord>),
    /// A store is about to be asked to remove a job.
    RemovalTried(JobId),
    /// A store has acknowledged that it is removed.
    Removed(JobId),
    /// A store that lives on has not removed it.
    RemovalRefused(JobId),
    /// A store that was opened after a crash has found this, or nothing.
    Found(JobId, Option<Arc<JobRecord>>),
}

/// In a line, for whoever looks for the reason of a failure.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = |job: &JobRecord| format!("{} {:?} {}", job.id, job.status(), job.updated_at);
        match self {
            Self::Step(Step::Write(file, bytes)) => {
                write!(f, "    write {file}: {} bytes", bytes.len())
            }
            Self::Step(step) => write!(f, "    {step:?}"),
            Self::Tried(record) => write!(f, "tried {}", job(record)),
            Self::Acknowledged(record) => write!(f, "acknowledged {}", job(record)),
            Self::Refused(record) => write!(f, "refused {}", job(record)),
            Self::Found(id, None) => write!(f, "found no {id}"),
            Self::Found(_, Some(record)) => write!(f, "found {}", job(record)),
            Self::RemovalTried(id) => write!(f, "removal tried of {id}"),
            Self::Removed(id) => write!(f, "removed {id}"),
            Self::RemovalRefused(id) => write!(f, "removal refused of {id}"),
        }
    }
}

/// What holds of one job.
#[derive(Debug, Clone, Default)]
struct Story {
    /// When it was asked for first, and when it was first acknowledged, in the order of all events.
    begun: usize,
    inserted: Option<usize>,
    /// What was acknowledged last.
    acknowledged: Option<Arc<JobRecord>>,
    /// What was asked for since: any of it may be there.
    tried: Vec<Arc<JobRecord>>,
    /// Somebody was about to remove it.
    may_be_gone: bool,
    removed: bool,
    /// A store said that it is removed.
    erased: bool,
}

/// What holds of all jobs.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    jobs: BTreeMap<JobId, Story>,
    /// How many events there were.
    events: usize,
}

impl Promises {
    /// Takes in what happened.
    pub fn take_in(&mut self, event: &Event) {
        self.events += 1;
        let now = self.events;
        match event {
            Event::Step(_) => {}
            Event::Tried(record) => {
                let new = || Story { begun: now, ..Story::default() };
                let story = self.jobs.entry(record.id).or_insert_with(new);
                story.tried.push(Arc::clone(record));
            }
            Event::Acknowledged(record) => {
                let story = self.story(record.id);
                story.inserted.get_or_insert(now);
                story.acknowledge(record);
            }
            Event::Refused(record) => {
                self.story(record.id).tried.retain(|tried| tried != record);
            }
            Event::RemovalTried(id) => self.story(*id).may_be_gone = true,
            Event::Removed(id) => {
                let story = self.story(*id);
                (story.removed, story.erased) = (true, true);
            }
            Event::RemovalRefused(id) => self.story(*id).may_be_gone = false,
            Event::Found(id, Some(record)) => {
                let story = self.story(*id);
                story.inserted.get_or_insert(now);
                story.acknowledge(record);
                story.tried.clear();
            }
            Event::Found(id, None) => self.story(*id).removed = true,
        }
    }

    fn story(&mut self, id: JobId) -> &mut Story {
        self.jobs.get_mut(&id).expect("a job that somebody asked for")
    }

    /// The jobs that may be there.
    pub fn ids(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().filter(|(_, story)| !story.removed).map(|(id, _)| *id)
    }

    /// The jobs whose removal was acknowledged.
    pub fn removed(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().filter(|(_, story)| story.erased).map(|(id, _)| *id)
    }

    /// What is there is what was acknowledged, or what was asked for since; and what was removed is not.
    pub fn check(&self, found: &[Arc<JobRecord>]) {
        let by_id: HashMap<_, _> = found.iter().map(|job| (job.id, job)).collect();
        assert_eq!(by_id.len(), found.len(), "a job is there twice");
        for (id, story) in &self.jobs {
            let Some(job) = by_id.get(id) else {
                let may_be_gone = story.removed || story.may_be_gone;
                assert!(
                    story.acknowledged.is_none() || may_be_gone,
                    "{id} was acknowledged, and is lost: {}",
                    story.told()
                );
                continue;
            };
            assert!(!story.removed, "{id} was removed, and is back");
            let known = story.acknowledged.iter().chain(&story.tried).any(|told| told == *job);
            assert!(known, "{id}: found {}, but {}", job.to_json(), story.told());
        }
        for id in by_id.keys() {
            assert!(self.jobs.contains_key(id), "nobody asked for {id}");
        }
    }

    /// A job that was asked for after another one was acknowledged is listed before that.
    pub fn check_order(&self, found: &[Arc<JobRecord>]) {
        let mut newer = usize::MAX;
        for job in found {
            let story = &self.jobs[&job.id];
            assert!(story.begun < newer, "{} came after one that is listed as newer", job.id);
            newer = newer.min(story.inserted.unwrap_or(usize::MAX));
        }
    }
}

impl Story {
    fn acknowledge(&mut self, record: &Arc<JobRecord>) {
        if let Some(before) = &self.acknowledged {
            let same = before == record;
            assert!(same || !before.status().is_terminal(), "{} ended twice", record.id);
        }
        let tried = self.tried.iter().position(|tried| tried == record);
        self.tried.drain(..tried.map_or(0, |tried| tried + 1));
        self.acknowledged = Some(Arc::clone(record));
        // Who was about to remove it has not done so before, and is dead.
        self.may_be_gone = false;
    }

    fn told(&self) -> String {
        let acknowledged = self.acknowledged.as_ref().map(|job| job.to_json());
        let tried: Vec<_> = self.tried.iter().map(|job| job.to_json()).collect();
        format!("acknowledged was {acknowledged:?}, and tried since {tried:?}")
    }
}

/// An opened store keeps the promises, and knows that nobody lives who would end what is not ended.
pub async fn check_opened(store: &JournalStore, promises: &Promises) -> Vec<Arc<JobRecord>> {
    let found = everything(store).await;
    promises.check(&found);
    promises.check_order(&found);
    check_state(store, &found).await;
    found
}

/// Every completed job has filled the state, unless a later one has, and no other job has.
async fn check_state(store: &JournalStore, found: &[Arc<JobRecord>]) {
    let state = store.state(state_name()).await.expect("a state can be read");
    for job in found {
        let filled = state.as_ref().filter(|state| state.job_id == job.id);
        match &job.state {
            JobState::Completed { completed_at, .. } => {
                let stands = (*completed_at, job.id);
                let later = state
                    .as_ref()
                    .is_some_and(|state| (state.completed_at, state.job_id) >= stands);
                assert!(later, "{} completed, and its state is lost: {state:?}", job.id);
            }
            _ => assert!(filled.is_none(), "{} has filled a state and not completed", job.id),
        }
    }
    assert!(state.is_none_or(|state| state.value != LATE), "a refused end has filled a state");
}

/// Every job, with its result, newest first. The numbers that the store gave are taken off, after a look at them.
pub async fn everything(store: &JournalStore) -> Vec<Arc<JobRecord>> {
    let listed = store.list(JobQuery::default()).await.expect("jobs can be listed").jobs;
    let mut numbers: Vec<_> = listed.iter().map(|job| job.sequence).collect();
    assert!(numbers.is_sorted_by(|newer, older| newer > older) && !numbers.contains(&0));
    numbers.extend(listed.iter().map(|job| job.end_sequence).filter(|end| *end > 0));
    numbers.sort_unstable();
    assert!(numbers.is_sorted_by(|one, next| one < next), "a number was given twice: {numbers:?}");
    let mut found = Vec::with_capacity(listed.len());
    for job in listed {
        found.push(whole(store, job).await);
    }
    found
}

/// The job with its result, wherever that lies, without its numbers.
pub async fn whole(store: &JournalStore, job: Arc<JobRecord>) -> Arc<JobRecord> {
    if !job.result_location.is_in_file() {
        return unnumbered(&job).into();
    }
    // Another process may have removed it meanwhile.
    let found = store.get_with_result(job.id).await.expect("results can be read");
    unnumbered(&found.unwrap_or(job)).into()
}

/// No file of the folder has anything of a job that was removed, but for the state that it filled.
pub fn check_erased(home: &Path, promises: &Promises) {
    let removed: Vec<_> = promises.removed().map(|id| id.to_string()).collect();
    for folder in ["meta", "results"] {
        for entry in std::fs::read_dir(home.join(folder)).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let Ok(text) = std::fs::read(&path) else { continue };
            let (name, text) = (path.display().to_string(), String::from_utf8_lossy(&text));
            for id in &removed {
                let lies_in = text.contains(&format!("\"id\":\"{id}")) || name.contains(id);
                assert!(!lies_in, "{name} still has {id}, which was removed");
            }
        }
    }
}

/// Every result file is of a job that names it, and every job that names one has it.
pub fn check_results(home: &Path, found: &[Arc<JobRecord>]) {
    let named = found.iter().filter(|job| job.to_json().get("result_file").is_some());
    assert_eq!(named.count(), 0, "a job lacks the file with its result");
    let Ok(entries) = std::fs::read_dir(home.join("results")) else { return };
    let journal = std::fs::read(home.join("meta/journal.ndjson")).expect("a journal");
    let journal = String::from_utf8_lossy(&journal);
    for entry in entries {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        let id = name.strip_suffix(".json").unwrap_or_default();
        let job = found.iter().find(|job| job.id.to_string() == id);
        // What cannot be read may be of a later version, and what it names is not removed.
        let unread = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_err();
        let may_be_named = journal.lines().any(|line| line.contains(id) && unread(line));
        assert!(job.is_some_and(|job| is_large(job)) || may_be_named, "{name} is nobody's");
    }
}

/// Whether what the job ended with is too long for its record.
fn is_large(job: &JobRecord) -> bool {
    job.status().is_terminal() && job.stored_bytes() > 4096
}

/// A `jobs.json` that is there is whole, whenever one looks.
pub fn check_view(image: &Image, home: &Path) {
    let Some(text) = image.file(&home.join("meta/jobs.json")) else { return };
    let view: serde_json::Value = serde_json::from_slice(text).expect("jobs.json is whole");
    assert!(view["version"] == 2 && view["jobs"].is_array(), "{view}");
}
