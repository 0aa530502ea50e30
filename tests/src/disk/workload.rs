//! What is done to stores while their disk is watched: two stores over one folder, as two processes would be, live through
//! by random choice. They change jobs alone and together, shorten the journal, rewrite the view, close, and die at
//! any operation; another takes the place of a dead one. The same seed gives the same operations in the same order.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use smart_async::job::{
    Change, FailureKind, JobEvent, JobFailure, JobId, JobOutput, JobRecord, JobStatus, Prune,
};
use smart_async::store::conformance::helpers::at;
use smart_async::store::{JobStore, JournalStore, StoreError, StoreFuture};
use tempfile::TempDir;

use super::jobs::{late_end, new_job, next_change, with_state};
use super::model::{Image, Model};
use super::promises::{Event, Promises, everything, whole};
use super::recorder::{Recorder, Tape};
use super::{scratch, settle};
use crate::SeededRng;

/// A journal is shortened already when it is longer than this.
pub const SHORT: u64 = 2048;
/// How many jobs there are at once, at most.
const JOBS: usize = 5;

/// A workload as it went.
#[derive(Debug)]
pub struct Trace {
    /// The disk before it.
    pub start: Model,
    /// What was known of the jobs before it.
    pub before: Promises,
    /// What happened.
    pub events: Vec<Event>,
    /// Where the store was, below the root.
    pub home: PathBuf,
}

/// Runs two stores through random operations.
pub async fn record(seed: u64, actions: usize) -> Trace {
    let home = PathBuf::from("some/home");
    let mut player = Player::new(seed, &Image::default(), home.clone(), Promises::default());
    for life in [0, 1] {
        let store = player.open().await;
        player.stores.insert(life, store);
    }
    for _ in 0..actions {
        player.act().await;
    }
    player.finish().await
}

/// What the next process does that comes upon a crash: takes in what is there, ends what nobody runs any more, and goes on.
pub async fn record_recovery(image: &Image, home: PathBuf, before: Promises, seed: u64) -> Trace {
    let mut player = Player::new(seed, image, home, before);
    let store = player.open().await;
    player.stores.insert(0, store);
    player.interrupt_the_abandoned(0).await;
    for _ in 0..3 {
        player.insert(0).await;
        player.change(0).await;
    }
    player.rewrite_view(0).await;
    player.finish().await
}

struct Life {
    store: JournalStore,
    recorder: Arc<Recorder>,
}

/// A request that was sent and not answered.
enum Sent<'a> {
    Change(Arc<JobRecord>, StoreFuture<'a, Arc<JobRecord>>),
    Withdrawal(JobId, StoreFuture<'a, ()>),
}

struct Player {
    root: TempDir,
    home: PathBuf,
    rng: SeededRng,
    tape: Tape,
    start: Model,
    before: Promises,
    stores: BTreeMap<usize, Arc<Life>>,
    /// The jobs as they should be now.
    jobs: BTreeMap<JobId, Arc<JobRecord>>,
    second: i64,
}

impl Player {
    fn new(seed: u64, image: &Image, home: PathBuf, before: Promises) -> Self {
        let root = scratch();
        image.write_to(root.path());
        let (start, files) = Model::holding(image);
        let tape = Tape::new(root.path(), &files);
        let (rng, stores, jobs) = (SeededRng::new(seed), BTreeMap::new(), BTreeMap::new());
        Self { root, home, rng, tape, start, before, stores, jobs, second: 0 }
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.below(end as u64) as usize
    }

    fn now(&mut self) -> i64 {
        self.second += 1;
        self.second
    }

    /// Opens a store, perhaps after others died of the attempt, and takes in what it finds.
    async fn open(&mut self) -> Arc<Life> {
        loop {
            let recorder = Recorder::new(&self.tape);
            if self.rng.once_in(4) {
                recorder.kill(self.below(24), self.below(4096));
            }
            let home = self.root.path().join(&self.home);
            match JournalStore::open_watched(home, recorder.clone(), SHORT).await {
                Ok(store) => {
                    recorder.go_on();
                    self.take_in(&store).await;
                    return Arc::new(Life { store, recorder });
                }
                Err(_) if recorder.is_dead() => {}
                Err(error) => panic!("failed to open what a crash has left: {error}"),
            }
        }
    }

    /// What is found after an opening is there for good.
    async fn take_in(&mut self, store: &JournalStore) {
        let found = everything(store).await;
        let promises = self.promises();
        promises.check(&found);
        self.jobs = found.into_iter().map(|job| (job.id, job)).collect();
        for id in promises.ids() {
            self.tape.note(Event::Found(id, self.jobs.get(&id).cloned()));
        }
    }

    fn promises(&self) -> Promises {
        let mut promises = self.before.clone();
        self.tape.events().iter().for_each(|event| promises.take_in(event));
        promises
    }

    /// Something happens.
    async fn act(&mut self) {
        let life = self.below(2);
        let what = self.below(28);
        // A dead process may lie there for a while, and the other one goes on.
        for needed in [life, 1 - life] {
            let both = matches!(what, 19 | 22..26);
            if (needed == life || both) && self.stores[&needed].recorder.is_dead() {
                self.replace(needed).await;
            }
        }
        match self.below(12) {
            0 | 1 => {
                let (after, written) = (self.below(12), self.below(4096));
                self.stores[&life].recorder.kill(after, written);
            }
            2 => self.stores[&life].recorder.kill_before_folder_sync(),
            _ => {}
        }
        match what {
            0..4 => self.insert(life).await,
            4..10 => self.change(life).await,
            10..13 => self.change_many(life).await,
            13 => self.prune(life).await,
            14 => self.withdraw(life).await,
            15 => self.rewrite_view(life).await,
            16 => self.change_while_the_view_is_rewritten(life).await,
            17 | 18 => self.end_again(life).await,
            19 => self.shorten_the_journal_unseen(life).await,
            20 | 21 => self.end_with_a_large_result(life).await,
            22..26 => self.build_upon_what_a_dead_process_left(life).await,
            _ => self.close(life).await,
        }
        for life in [0, 1] {
            if self.stores[&life].recorder.is_dead() {
                self.look_by_way_of(1 - life).await;
            }
        }
    }

    /// What the dead one was about to do is done or not. What the other one sees of that need not be durable.
    async fn look_by_way_of(&mut self, life: usize) {
        let own = self.life(life);
        if !own.recorder.is_dead() {
            let found = everything(&own.store).await;
            self.promises().check(&found);
            self.jobs = found.into_iter().map(|job| (job.id, job)).collect();
        }
    }

    fn life(&self, life: usize) -> Arc<Life> {
        Arc::clone(&self.stores[&life])
    }

    fn end(&mut self, life: usize) -> Life {
        let life = self.stores.remove(&life).expect("a store");
        Arc::into_inner(life).expect("nobody else uses it")
    }

    /// Another process takes the place of a dead one.
    async fn replace(&mut self, life: usize) {
        let Life { store, recorder } = self.end(life);
        drop(store);
        recorder.bury();
        let next = self.open().await;
        self.stores.insert(life, next);
    }

    async fn close(&mut self, life: usize) {
        let Life { store, recorder } = self.end(life);
        recorder.go_on();
        recorder.let_shorten(true);
        store.close().await.expect("a store closes");
        drop(store);
        let next = self.open().await;
        self.stores.insert(life, next);
    }

    async fn finish(mut self) -> Trace {
        for life in
            [0, 1].into_iter().filter(|life| self.stores.contains_key(life)).collect::<Vec<_>>()
        {
            if self.stores[&life].recorder.is_dead() {
                self.replace(life).await;
            }
            let Life { store, recorder } = self.end(life);
            recorder.go_on();
            recorder.let_shorten(true);
            store.close().await.expect("a store closes");
        }
        let events = self.tape.events();
        Trace { start: self.start, before: self.before, events, home: self.home }
    }

    /// Sends a change, which the jobs are to be after.
    fn send<'a>(
        &mut self,
        store: &'a JournalStore,
        change: Option<Change>,
        next: Arc<JobRecord>,
    ) -> Sent<'a> {
        self.tape.note(Event::Tried(Arc::clone(&next)));
        self.jobs.insert(next.id, Arc::clone(&next));
        let sent = match change {
            None => store.insert((*next).clone()),
            Some(change) => store.update(next.id, change),
        };
        Sent::Change(next, Box::pin(async { Ok(whole(store, sent.await?).await) }))
    }

    /// Waits for the answers, and takes them in when the last is there, or the writer waits to shorten the journal: so the
    /// order is the same each time.
    async fn answers(&mut self, sent: Vec<Sent<'_>>, recorder: &Recorder) {
        let mut events = Vec::new();
        let are_several = sent.len() > 1;
        for sent in sent {
            let mut answer = match sent {
                Sent::Change(expected, answer) => Box::pin(async move {
                    let record = answer.await?;
                    assert!(record == expected, "the answer is the record after the change");
                    Ok(Event::Acknowledged(expected))
                }) as StoreFuture<'_, Event>,
                Sent::Withdrawal(id, answer) => {
                    Box::pin(async move { answer.await.map(|()| Event::Removed(id)) })
                }
            };
            let answer = poll_fn(|context| {
                let is_about_to_shorten = recorder.is_about_to_shorten(context.waker());
                let answer = answer.as_mut().poll(context);
                // Whoever is not answered yet is in the next batch. Of one alone that is its way back.
                if is_about_to_shorten && are_several && answer.is_pending() {
                    events.drain(..).for_each(|event| self.tape.note(event));
                    recorder.shorten();
                }
                answer
            });
            match answer.await {
                Ok(event) => events.push(event),
                Err(error) => only_of_the_dead(&error, recorder),
            }
        }
        events.into_iter().for_each(|event| self.tape.note(event));
        self.settle(recorder);
    }

    /// Waits until the journal is shortened, where the writer is about to do that.
    fn settle(&self, recorder: &Recorder) {
        recorder.let_shorten(true);
        settle(&self.root.path().join(&self.home));
        recorder.let_shorten(false);
    }

    /// A job that has not ended.
    fn any_live(&mut self) -> Option<Arc<JobRecord>> {
        let live = self.jobs.values().filter(|job| !job.status().is_terminal());
        let live: Vec<_> = live.cloned().collect();
        (!live.is_empty()).then(|| Arc::clone(&live[self.below(live.len())]))
    }

    /// A change to a job, or a new one.
    fn send_any<'a>(&mut self, store: &'a JournalStore) -> Sent<'a> {
        let second = self.now();
        match self.any_live() {
            Some(job) if self.jobs.len() >= JOBS || !self.rng.once_in(3) => {
                let (change, next) = next_change(&mut self.rng, &job, second);
                self.send(store, Some(change), next)
            }
            _ => {
                let job = new_job(&mut self.rng, store, second);
                self.send(store, None, Arc::new(job))
            }
        }
    }

    async fn insert(&mut self, life: usize) {
        let second = self.now();
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        let job = new_job(&mut self.rng, store, second);
        let sent = self.send(store, None, Arc::new(job));
        self.answers(vec![sent], recorder).await;
    }

    async fn change(&mut self, life: usize) {
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        let sent = self.send_any(store);
        self.answers(vec![sent], recorder).await;
    }

    /// Several requests that come while one is being written, and so share the next batch.
    async fn change_many(&mut self, life: usize) {
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        recorder.hold(self.below(2));
        let mut sent = vec![self.send_any(store)];
        recorder.held();
        for _ in 0..1 + self.below(5) {
            let next = self.send_any(store);
            sent.push(next);
        }
        recorder.go_on();
        self.answers(sent, recorder).await;
    }

    async fn withdraw(&mut self, life: usize) {
        let Some(job) = self.any_live() else { return };
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        self.tape.note(Event::RemovalTried(job.id));
        self.jobs.remove(&job.id);
        let sent = Sent::Withdrawal(job.id, store.withdraw(job.id));
        self.answers(vec![sent], recorder).await;
    }

    async fn prune(&mut self, life: usize) {
        let mut prune = Prune::default();
        prune.keep_newest = self.below(3);
        let doomed = prune.select(self.jobs.values().map(AsRef::as_ref));
        for id in &doomed {
            self.tape.note(Event::RemovalTried(*id));
            self.jobs.remove(id);
        }
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        // The answer comes after that.
        recorder.let_shorten(true);
        match store.prune(prune).await {
            Ok(pruned) => {
                assert_eq!(pruned.removed, doomed.len(), "what was to be pruned is pruned");
                doomed.into_iter().for_each(|id| self.tape.note(Event::Removed(id)));
            }
            Err(error) => only_of_the_dead(&error, recorder),
        }
        self.settle(recorder);
    }

    /// An end whose result goes into a file of its own.
    async fn end_with_a_large_result(&mut self, life: usize) {
        let Some(job) = self.any_live() else { return self.insert(life).await };
        let large = "z".repeat(4096 + self.below(4096));
        let event = match job.status() {
            JobStatus::Running => JobEvent::Complete(JobOutput::new(large)),
            _ => JobEvent::Fail(JobFailure::error("too bad").with_details(large.into())),
        };
        let change = with_state(job.id, Change::new(event, at(self.now())));
        let next = Arc::new(job.apply(change.clone()).expect("it can end"));
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        let sent = self.send(store, Some(change), next);
        self.answers(vec![sent], recorder).await;
    }

    /// A second end is refused.
    async fn end_again(&mut self, life: usize) {
        let ended = self.jobs.values().find(|job| job.status().is_terminal());
        let Some(id) = ended.map(|job| job.id) else { return };
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        let end = late_end(id);
        match store.update(id, end).await {
            Err(StoreError::Illegal { .. }) => {}
            Err(error) => only_of_the_dead(&error, recorder),
            Ok(_) => panic!("{id} ended twice"),
        }
        self.settle(recorder);
    }

    async fn rewrite_view(&mut self, life: usize) {
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        rewrite(store, recorder).await;
    }

    async fn change_while_the_view_is_rewritten(&mut self, life: usize) {
        // After it the writer has synced all that it has read, so that the view thread alone is held up.
        self.change(life).await;
        if self.stores[&life].recorder.is_dead() {
            return;
        }
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        recorder.hold(self.below(6));
        let mut rewriting = pin!(rewrite(store, recorder));
        let begun = poll_fn(|context| Poll::Ready(rewriting.as_mut().poll(context))).await;
        assert!(begun.is_pending(), "it is held up");
        recorder.held();
        for _ in 0..2 {
            let sent = self.send_any(store);
            self.answers(vec![sent], recorder).await;
        }
        recorder.go_on();
        rewriting.await;
    }

    /// One process dies after it has appended and before it syncs, and the other one builds upon that. So the acknowledgements
    /// and the refusals of the other one rest on lines that the first one never synced.
    async fn build_upon_what_a_dead_process_left(&mut self, life: usize) {
        let (first, second) = (self.life(life), self.life(1 - life));
        first.recorder.hold(1);
        let sent = self.send_any(&first.store);
        first.recorder.held();
        first.recorder.die_where_it_is_held();
        let Sent::Change(next, answer) = sent else { unreachable!("a change was sent") };
        only_of_the_dead(&answer.await.expect_err("its process is dead"), &first.recorder);
        self.look_by_way_of(1 - life).await;
        if second.recorder.is_dead() {
            return;
        }
        if next.status().is_terminal() && self.jobs.get(&next.id) == Some(&next) {
            self.end_what_has_ended(&second, next).await;
        }
        for _ in 0..self.below(3) {
            if second.recorder.is_dead() {
                break;
            }
            match self.below(8) {
                0 => self.prune(1 - life).await,
                1 => self.withdraw(1 - life).await,
                2 => self.end_with_a_large_result(1 - life).await,
                _ => self.change(1 - life).await,
            }
        }
    }

    /// A second end is refused; so the first one stands from then on, whichever process was to sync it.
    async fn end_what_has_ended(&mut self, life: &Life, ended: Arc<JobRecord>) {
        let end = late_end(ended.id);
        match life.store.update(ended.id, end).await {
            Err(StoreError::Illegal { .. }) => self.tape.note(Event::Acknowledged(ended)),
            Err(error) => only_of_the_dead(&error, &life.recorder),
            Ok(_) => panic!("{} ended twice", ended.id),
        }
        self.settle(&life.recorder);
    }

    /// A job is removed and the journal shortened, before the other process has seen that; and who does it may die before
    /// the new journal is there for good.
    async fn shorten_the_journal_unseen(&mut self, life: usize) {
        let dies = self.rng.once_in(2);
        self.withdraw(life).await;
        let before = self.header();
        for _ in 0..30 {
            if dies && !self.stores[&life].recorder.is_dead() {
                self.stores[&life].recorder.kill_before_folder_sync();
            }
            self.change(life).await;
            if self.header() != before || self.stores[&life].recorder.is_dead() {
                break;
            }
        }
        if self.stores[&life].recorder.is_dead() {
            self.look_by_way_of(1 - life).await;
        }
        self.change(1 - life).await;
    }

    /// The first line of the journal: it is another for each.
    fn header(&self) -> Option<Vec<u8>> {
        let journal = self.root.path().join(&self.home).join("meta/journal.ndjson");
        let text = std::fs::read(journal).ok()?;
        text.split(|byte| *byte == b'\n').next().map(<[u8]>::to_vec)
    }

    /// What a server does that starts.
    async fn interrupt_the_abandoned(&mut self, life: usize) {
        let own = self.life(life);
        let Life { store, recorder } = &*own;
        let abandoned =
            store.abandoned(Some("reactor".to_owned())).await.expect("the store can tell");
        let unfinished: Vec<_> = self
            .jobs
            .values()
            .filter(|job| !job.status().is_terminal())
            .map(|job| job.id)
            .collect();
        let mut abandoned: Vec<_> = abandoned.iter().map(|job| job.id).collect();
        abandoned.sort();
        assert_eq!(abandoned, unfinished, "who is dead runs no jobs");
        let mut sent = Vec::new();
        for id in abandoned {
            let failure = JobFailure::new(FailureKind::Interrupted, "its process was killed");
            let change = Change::new(JobEvent::Fail(failure), at(self.now()));
            let next = self.jobs[&id].apply(change.clone()).expect("it can fail");
            sent.push(self.send(store, Some(change), Arc::new(next)));
        }
        self.answers(sent, recorder).await;
    }
}

/// Rewrites the view. Where a thread of a dead process still has its lock, that is so for an instant.
async fn rewrite(store: &JournalStore, recorder: &Recorder) {
    loop {
        match store.rewrite_view().await {
            Ok(true) => return,
            Ok(false) => tokio::task::yield_now().await,
            Err(error) => return only_of_the_dead(&error, recorder),
        }
    }
}

/// A store whose process lives, on a disk that works, has no errors.
fn only_of_the_dead(error: &StoreError, recorder: &Recorder) {
    assert!(recorder.is_dead(), "{error}");
}
