//! A journal that lost its end, its first line or itself, beside a view that still has what is missing: no job is forgotten,
//! invented or revived, no result file is removed, and the operator is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use smart_async::job::{Change, JobEvent, JobId, JobOutput, JobQuery, JobRecord};
use smart_async::store::conformance::helpers::{at, change, completed, inserted, running};
use smart_async::store::faults::{Operation, Verdict, Watcher};
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

use super::{jobs_file, journal};

#[derive(Debug)]
struct Nothing;

impl Watcher for Nothing {
    fn announce(&self, _: Operation<'_>) -> Verdict {
        Verdict::GoOn
    }
}

/// A store whose view is written when the test asks for it.
async fn open(folder: &Path) -> JournalStore {
    JournalStore::open_watched(folder, Arc::new(Nothing), u64::MAX).await.unwrap()
}

/// Each job as it is found, with its result; of a result, its hash, so that a difference can be read.
type Records = BTreeMap<JobId, String>;

fn told(job: &JobRecord) -> String {
    let mut told = job.to_json();
    let mut hasher = DefaultHasher::new();
    told["result"].take().to_string().hash(&mut hasher);
    told["result"] = hasher.finish().into();
    format!("{} version {} {told}", told["status"], told["version"])
}

async fn records(store: &JournalStore) -> Records {
    let mut records = Records::new();
    for job in store.list(JobQuery::default()).await.unwrap().jobs {
        let whole = store.get_with_result(job.id).await.unwrap().unwrap();
        assert!(whole.to_json().get("result_file").is_none(), "{} lost its result", job.id);
        records.insert(job.id, told(&whole));
    }
    records
}

async fn complete_with_a_large_result(store: &JournalStore, second: i64) {
    let id = running(store, second).await;
    let end = JobEvent::Complete(JobOutput::new("hay".repeat(3000)));
    store.update(id, Change::new(end, at(second))).await.unwrap();
}

/// A folder as a life left it: jobs that ended, run and wait, large results, and jobs that are gone.
struct Life {
    folder: TempDir,
    journal: Vec<u8>,
    /// The view at some moment, and the position to which it goes.
    early: (Vec<u8>, usize),
    /// The view at the end.
    late: Vec<u8>,
    all: Records,
}

impl Life {
    async fn live() -> Self {
        smart_async_tests::capture_log();
        let folder = TempDir::new().unwrap();
        let store = open(folder.path()).await;
        for second in 0..3 {
            completed(&store, second).await;
        }
        complete_with_a_large_result(&store, 10).await;
        let (runs, waits) = (running(&store, 11).await, inserted(&store, 12).await);
        store.withdraw(inserted(&store, 13).await).await.unwrap();
        store.rewrite_view().await.unwrap();
        let early = fs::read(jobs_file(folder.path())).unwrap();
        let position = fs::metadata(journal(folder.path())).unwrap().len() as usize;
        change(&store, runs, JobEvent::Complete(JobOutput::new(1)), 14).await;
        store.withdraw(waits).await.unwrap();
        complete_with_a_large_result(&store, 15).await;
        inserted(&store, 16).await;
        store.withdraw(inserted(&store, 17).await).await.unwrap();
        let all = records(&store).await;
        store.rewrite_view().await.unwrap();
        // The end of the process would shorten the journal.
        let (journal, late) =
            (fs::read(journal(folder.path())), fs::read(jobs_file(folder.path())));
        let (journal, late) = (journal.unwrap(), late.unwrap());
        store.close().await.unwrap();
        Self { folder, journal, early: (early, position), late, all }
    }

    /// The folder with another journal and another view.
    fn with(&self, new_journal: Option<&[u8]>, view: Option<&[u8]>) -> TempDir {
        let folder = TempDir::new().unwrap();
        for part in ["meta", "results"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        for (file, text) in
            [(journal(folder.path()), new_journal), (jobs_file(folder.path()), view)]
        {
            text.into_iter().for_each(|text| fs::write(&file, text).unwrap());
        }
        for name in result_files(self.folder.path()) {
            let name = Path::new("results").join(name);
            fs::copy(self.folder.path().join(&name), folder.path().join(&name)).unwrap();
        }
        folder
    }

    /// The whole life, as it is found by the view alone and by the beginning of the journal alone.
    async fn records_of(&self, journal: Option<&[u8]>, view: Option<&[u8]>) -> Records {
        let folder = self.with(journal, view);
        records(&open(folder.path()).await).await
    }

    /// A start finds these jobs, goes on from there, and so does the next one.
    async fn check(
        &self,
        journal: Option<&[u8]>,
        view: Option<&[u8]>,
        expected: &Records,
        which: &str,
    ) {
        let folder = self.with(journal, view);
        let mut expected = expected.clone();
        for second in 0..2 {
            let store = open(folder.path()).await;
            assert_eq!(records(&store).await, expected, "{which}, start {second}");
            let new = completed(&store, 100 + second).await;
            expected.insert(new, told(&store.get(new).await.unwrap().unwrap()));
            let results = result_files(folder.path());
            assert_eq!(results, result_files(self.folder.path()), "{which}: results are kept");
            if second == 0 {
                store.close().await.unwrap();
            }
        }
    }

    /// Places at which to cut: around each end of a line, and many in between.
    fn cuts(&self) -> BTreeSet<usize> {
        let ends = self.journal.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let around = ends.flat_map(|(end, _)| [end, end + 1]);
        (0..self.journal.len()).step_by(211).chain(around).collect()
    }
}

fn result_files(folder: &Path) -> BTreeSet<String> {
    let Ok(files) = fs::read_dir(folder.join("results")) else { return BTreeSet::new() };
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// The copies that were made of damaged files.
fn copies(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder.join("meta")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".damaged-")).collect()
}

#[tokio::test]
async fn a_journal_cut_anywhere_below_its_view_costs_no_job_and_revives_none() {
    let life = Life::live().await;
    assert_eq!(life.all.len(), 7);
    for cut in life.cuts().into_iter().filter(|cut| *cut < life.journal.len()) {
        let which = format!("cut at {cut}");
        life.check(Some(&life.journal[..cut]), Some(&life.late), &life.all, &which).await;
    }
}

#[tokio::test]
async fn a_journal_cut_anywhere_beside_an_older_view_has_what_either_says_last() {
    let life = Life::live().await;
    let (view, position) = &life.early;
    let of_view = life.records_of(None, Some(view)).await;
    for cut in life.cuts() {
        let left = &life.journal[..cut];
        let expected =
            if cut < *position { of_view.clone() } else { life.records_of(Some(left), None).await };
        let folder = life.with(Some(left), Some(view));
        let store = open(folder.path()).await;
        assert_eq!(records(&store).await, expected, "cut at {cut}, view up to {position}");
    }
}

#[tokio::test]
async fn an_earlier_copy_of_the_journal_revives_and_loses_nothing() {
    let life = Life::live().await;
    // The journal that a shortening puts in place, and its view.
    let folder = life.with(Some(&life.journal), Some(&life.late));
    let short = JournalStore::open_watched(folder.path(), Arc::new(Nothing), 0).await.unwrap();
    let gone = completed(&short, 20).await;
    let with_gone = fs::read(journal(folder.path())).unwrap();
    short.withdraw(gone).await.unwrap();
    short.close().await.unwrap();
    let view = fs::read(jobs_file(folder.path())).unwrap();
    for (earlier, which) in [(&life.journal, "the first"), (&with_gone, "the one before")] {
        life.check(Some(earlier), Some(&view), &life.all, which).await;
    }
}

#[tokio::test]
async fn a_journal_that_is_missing_empty_or_zeroed_leaves_what_the_view_has() {
    let life = Life::live().await;
    let zeroed = vec![0; life.journal.len()];
    let mut half_zeroed = life.journal.clone();
    half_zeroed[life.journal.len() / 2..].fill(0);
    for journal in [None, Some(&b""[..]), Some(&zeroed), Some(&half_zeroed)] {
        life.check(journal, Some(&life.late), &life.all, "missing, empty or zeroed").await;
    }
    // Both are lost: the results are not lost with them.
    life.check(None, None, &Records::new(), "both missing").await;
}

#[tokio::test]
async fn a_damaged_first_line_drops_no_other() {
    let life = Life::live().await;
    let mut damaged = life.journal.clone();
    damaged[3] ^= 0x20;
    let mut joined = life.journal.clone();
    let end = joined.iter().position(|byte| *byte == b'\n').unwrap();
    joined[end] = b' ';
    for journal in [&damaged, &joined, &life.journal[end + 1..].to_vec()] {
        for view in [None, Some(&life.early.0), Some(&life.late)] {
            let view = view.map(Vec::as_slice);
            life.check(Some(journal), view, &life.all, "first line damaged").await;
        }
    }
}

#[tokio::test]
async fn a_damaged_line_that_the_view_still_has_costs_nothing() {
    let life = Life::live().await;
    let position = life.early.1;
    // The end of the line at which the view stands.
    let mut joined = life.journal.clone();
    joined[position - 1] = b' ';
    life.check(Some(&joined), Some(&life.early.0), &life.all, "the view's line is joined").await;
}

#[tokio::test]
async fn a_view_that_was_changed_is_never_believed_against_the_journal() {
    let life = Life::live().await;
    let late = String::from_utf8(life.late.clone()).unwrap();
    let at = late.find("\"position\":").unwrap() + "\"position\":".len();
    let far = format!("{}9{}", &late[..at], &late[at..]);
    let start = late.find("[\n").unwrap();
    let none = format!("{}[]}}\n", &far[..start + 1]);
    let other = late.replace("\"completed\"", "\"cancelled\"");
    for (view, which) in [(far, "a far position"), (none, "no jobs"), (other, "other jobs")] {
        life.check(Some(&life.journal), Some(view.as_bytes()), &life.all, which).await;
    }
}

#[tokio::test]
async fn a_view_of_another_folder_is_put_together_with_the_journal() {
    let (life, other) = (Life::live().await, Life::live().await);
    let both: Records =
        life.all.iter().chain(&other.all).map(|(id, job)| (*id, job.clone())).collect();
    let folder = life.with(Some(&life.journal), Some(&other.late));
    for name in result_files(other.folder.path()) {
        let name = Path::new("results").join(name);
        fs::copy(other.folder.path().join(&name), folder.path().join(&name)).unwrap();
    }
    assert_eq!(records(&open(folder.path()).await).await, both);
}

#[tokio::test]
async fn a_loss_is_told_with_copies_and_a_whole_folder_makes_none() {
    let life = Life::live().await;
    let half = &life.journal[..life.journal.len() / 2];
    let folder = life.with(Some(half), Some(&life.late));
    drop(open(folder.path()).await);
    let made = copies(folder.path());
    assert_eq!(made.len(), 2, "{made:?}");
    let text = |name: &str| fs::read(folder.path().join("meta").join(name)).unwrap();
    assert!(made.iter().any(|name| name.starts_with("journal") && text(name) == half));
    assert!(made.iter().any(|name| name.starts_with("jobs") && text(name) == life.late));
    for view in [None, Some(&life.early.0), Some(&life.late)] {
        let folder = life.with(Some(&life.journal), view.map(Vec::as_slice));
        drop(open(folder.path()).await);
        assert_eq!(copies(folder.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_journal_that_is_cut_while_it_is_in_use_costs_nothing() {
    for share in [0, 1, 2, 3] {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path()).await;
        for second in 0..4 {
            completed(&store, second).await;
        }
        let mut expected = records(&store).await;
        let text = fs::read(journal(folder.path())).unwrap();
        let end = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let cut = end + (text.len() - end) * share / 4;
        let file = fs::File::options().write(true).open(journal(folder.path())).unwrap();
        file.set_len(cut as u64).unwrap();
        assert_eq!(records(&store).await, expected, "cut to {share} quarters");
        let new = completed(&store, 20).await;
        expected.insert(new, told(&store.get(new).await.unwrap().unwrap()));
        for _ in 0..2 {
            let left = TempDir::new().unwrap();
            fs::create_dir(left.path().join("meta")).unwrap();
            fs::copy(journal(folder.path()), journal(left.path())).unwrap();
            assert_eq!(records(&open(left.path()).await).await, expected);
        }
    }
}

/// What cannot be read now may be good: it is no reason to put anything in its place.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_view_that_cannot_be_read_is_an_error_and_stays() {
    let life = Life::live().await;
    let folder = life.with(Some(&life.journal), None);
    let store = open(folder.path()).await;
    let _ = fs::remove_file(jobs_file(folder.path()));
    // A read of this file always fails.
    std::os::unix::fs::symlink("/proc/self/mem", jobs_file(folder.path())).unwrap();
    store.rewrite_view().await.unwrap_err();
    assert!(fs::symlink_metadata(jobs_file(folder.path())).unwrap().is_symlink());
    assert_eq!(copies(folder.path()), Vec::<String>::new());
    drop(store);
    let refused = JournalStore::open(folder.path()).await.unwrap_err();
    assert!(refused.is_transient() && refused.to_string().contains("jobs.json"), "{refused}");
    assert_eq!(copies(folder.path()), Vec::<String>::new());
}
