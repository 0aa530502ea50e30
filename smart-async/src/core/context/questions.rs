//! The questions of one run of a body, as its process has them: what the body waits for, and what has become of it. The
//! record of a job says the same, a moment later; the supervisor takes the news from one to the other.

mod pending;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::pending::Slip;
use crate::core::job::{JobEvent, Question, QuestionStatus};

/// The questions of one run.
#[derive(Default)]
pub(crate) struct Desk {
    /// There once something is asked, or may not be: most work asks nothing.
    papers: Mutex<Option<Box<Papers>>>,
    /// Wakes those who wait for any change.
    changed: Notify,
    /// Something has changed that the record may lack.
    has_changed: AtomicBool,
    /// Wakes the one who watches over the work, and takes the news to the record.
    supervisor: AtomicWaker,
}

#[derive(Default)]
struct Papers {
    slips: BTreeMap<String, Slip>,
    /// Answers that came with the call, to what may be asked.
    given: BTreeMap<String, Value>,
    way: Way,
    /// For how long the work has waited for answers.
    waited: Duration,
    /// Since when it waits, while it does.
    waits_since: Option<Instant>,
}

/// The papers of work that has asked nothing.
static NONE: Papers = Papers {
    slips: BTreeMap::new(),
    given: BTreeMap::new(),
    way: Way::Job,
    waited: Duration::ZERO,
    waits_since: None,
};

/// How those are reached who can answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As a job: whoever follows it sees its questions.
    #[default]
    Job,
    /// While the call is open, its caller is asked directly.
    Caller,
    /// Nobody is.
    Nobody,
}

/// What a body that asks is told at once.
#[derive(Debug)]
pub(crate) enum Put {
    Waits,
    NobodyToAsk,
}

/// Questions and answers may be secrets: they do not go into logs.
impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Papers {
    fn waits(&self) -> bool {
        self.slips.values().any(|slip| slip.asked && slip.question.is_open())
    }

    /// Stops or starts the clock of the time that the work has waited.
    fn note_time(&mut self) {
        match (self.waits(), self.waits_since) {
            (true, None) => self.waits_since = Some(Instant::now()),
            (false, Some(since)) => {
                self.waited += since.elapsed();
                self.waits_since = None;
            }
            _ => {}
        }
    }
}

impl Desk {
    fn papers(&self) -> MutexGuard<'_, Option<Box<Papers>>> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what there is.
    fn look<T>(&self, look: impl FnOnce(&Papers) -> T) -> T {
        look(self.papers().as_deref().unwrap_or(&NONE))
    }

    /// Changes something, and tells everybody who waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut Papers) -> T) -> T {
        let answer = {
            let mut papers = self.papers();
            let papers = papers.get_or_insert_default();
            let answer = change(papers);
            papers.note_time();
            answer
        };
        self.changed.notify_waiters();
        self.has_changed.store(true, Ordering::Release);
        self.supervisor.wake();
        answer
    }

    /// Waits until `look` finds something.
    async fn until<T>(&self, look: impl Fn(&Papers) -> Option<T>) -> T {
        loop {
            // Waits from here on: a change that comes after the look is not missed.
            let changed = self.changed.notified();
            if let Some(found) = self.look(&look) {
                return found;
            }
            changed.await;
        }
    }

    /// The body asks. A key that has been asked under keeps its question, unless that is one of an earlier run.
    pub(crate) fn put(&self, key: &str, question: Question) -> Put {
        self.change(|papers| {
            let given = papers.given.remove(key).filter(|given| question.check(given).is_ok());
            let is_closed = papers.slips.get(key).is_some_and(|slip| !slip.question.is_open());
            if papers.way == Way::Nobody && given.is_none() && !is_closed {
                return Put::NobodyToAsk;
            }
            let slip = papers.slips.entry(key.to_owned()).or_insert_with(|| Slip::of(&question));
            if slip.question.is_open() && !slip.asked {
                slip.question = question;
                slip.recorded = None;
            }
            if let Some(given) = given.filter(|_| slip.question.is_open()) {
                slip.question = slip.question.clone().answered(given);
            }
            slip.asked = true;
            slip.waiting += 1;
            Put::Waits
        })
    }

    /// Waits for what becomes of a question: its answer, or `None` where it was given up.
    pub(crate) async fn outcome(&self, key: &str) -> Option<Value> {
        self.until(|papers| {
            let Some(slip) = papers.slips.get(key) else { return Some(None) };
            match slip.question.status {
                QuestionStatus::Open => None,
                QuestionStatus::Answered => {
                    Some(Some(slip.question.answer.clone().unwrap_or_default()))
                }
                QuestionStatus::GivenUp | QuestionStatus::Unknown => Some(None),
            }
        })
        .await
    }

    /// One in the body waits for the question no more; after the last one, it is given up.
    pub(crate) fn leave(&self, key: &str) {
        self.change(|papers| {
            let Some(slip) = papers.slips.get_mut(key) else { return };
            slip.waiting = slip.waiting.saturating_sub(1);
            if slip.waiting == 0 {
                slip.close();
            }
        });
    }

    /// The time of a question is over. Where others may have answered it in the meantime, the record decides; what becomes of
    /// it is told as its [`outcome`](Self::outcome).
    pub(crate) fn close(&self, key: &str) {
        self.change(|papers| {
            if let Some(slip) = papers.slips.get_mut(key) {
                slip.close();
            }
        });
    }

    /// An answer has come, by way of the record or past it. The first one counts: where there is a record that has the
    /// question, that decides which it is.
    pub(crate) fn answer(&self, key: &str, answer: Value, recorded: bool) {
        self.change(|papers| {
            let Some(slip) = papers.slips.get_mut(key).filter(|slip| slip.question.is_open())
            else {
                return;
            };
            if recorded {
                slip.recorded = Some(QuestionStatus::Answered);
            } else if slip.recorded.is_some() {
                slip.proposed.get_or_insert(answer);
                return;
            }
            slip.question = slip.question.clone().answered(answer);
        });
    }

    /// Waits until nobody wants an answer to this question any more.
    pub(crate) async fn closed(&self, key: &str) {
        let is_closed = |slip: &Slip| slip.closing || !slip.question.is_open();
        self.until(|papers| papers.slips.get(key).is_none_or(is_closed).then_some(())).await;
    }

    /// What has become of a question by now, which the record may say a moment later.
    pub(crate) fn status(&self, key: &str) -> Option<QuestionStatus> {
        self.look(|papers| {
            let slip = papers.slips.get(key)?;
            Some(if slip.closing && slip.question.is_open() {
                QuestionStatus::GivenUp
            } else {
                slip.question.status
            })
        })
    }

    /// What the body waits for.
    pub(crate) fn open(&self) -> BTreeMap<String, Question> {
        self.look(|papers| {
            let is_open = |slip: &Slip| slip.asked && slip.question.is_open();
            let open = papers.slips.iter().filter(|(_, slip)| is_open(slip));
            open.map(|(key, slip)| (key.clone(), slip.question.clone())).collect()
        })
    }

    /// Says how those are reached who can answer, from now on.
    pub(crate) fn reach(&self, way: Way) {
        if way == self.look(|papers| papers.way) {
            return;
        }
        self.change(|papers| {
            papers.way = way;
            if way == Way::Nobody {
                for slip in papers.slips.values_mut().filter(|slip| slip.question.is_open()) {
                    slip.question.status = QuestionStatus::GivenUp;
                }
            }
        });
    }

    pub(crate) fn reaches_nobody(&self) -> bool {
        self.look(|papers| papers.way) == Way::Nobody
    }

    /// Waits until there is a question that only a job can ask.
    pub(crate) async fn needs_job(&self) {
        self.until(|papers| (papers.way == Way::Job && papers.waits()).then_some(())).await;
    }

    /// Waits until there is a question for the caller that is none of those `known`, and returns all of that kind.
    pub(crate) async fn for_caller(&self, known: &[String]) -> Vec<(String, Question)> {
        self.until(|papers| {
            let is_new = |key: &String, slip: &Slip| {
                slip.asked && slip.question.is_open() && !known.contains(key)
            };
            let new: Vec<_> = papers
                .slips
                .iter()
                .filter(|(key, slip)| papers.way == Way::Caller && is_new(key, slip))
                .map(|(key, slip)| (key.clone(), slip.question.clone()))
                .collect();
            (!new.is_empty()).then_some(new)
        })
        .await
    }

    /// When work has run for as long as it may, that had to end by `deadline` when it began: the clock stands still while it
    /// waits for an answer, and nobody knows when then.
    pub(crate) fn due(&self, deadline: Instant) -> Option<Instant> {
        self.look(|papers| match papers.waits_since {
            Some(_) => None,
            None => deadline.checked_add(papers.waited),
        })
    }

    /// Waits until work has run for longer than it may, that had to end by `deadline` when it began.
    pub(crate) async fn past(&self, deadline: Instant) {
        loop {
            let changed = self.changed.notified();
            match self.due(deadline) {
                Some(due) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = sleep_until(due) => return,
                },
                None => changed.await,
            }
        }
    }

    /// Answers that come with the call: what the body asks under their keys is answered at once, where they fit.
    pub(crate) fn give(&self, answers: BTreeMap<String, Value>) {
        if !answers.is_empty() {
            self.papers().get_or_insert_default().given = answers;
        }
    }

    /// What an earlier run of the work asked, as the record has it.
    pub(crate) fn recall(&self, questions: &BTreeMap<String, Question>) {
        if questions.is_empty() {
            return;
        }
        self.change(|papers| {
            papers.slips.extend(questions.iter().map(|(key, question)| {
                let (question, recorded) = (question.clone(), Some(question.status));
                (key.clone(), Slip { recorded, ..Slip::of(&question) })
            }));
        });
    }

    /// Takes in what the record says: answers that came by another process.
    pub(crate) fn learn(&self, questions: &BTreeMap<String, Question>) {
        let news: Vec<_> = self.look(|papers| {
            let is_news =
                |key: &String| papers.slips.get(key).is_some_and(|slip| slip.question.is_open());
            questions
                .iter()
                .filter(|(key, question)| {
                    question.status == QuestionStatus::Answered && is_news(key)
                })
                .filter_map(|(key, question)| Some((key.clone(), question.answer.clone()?)))
                .collect()
        });
        for (key, answer) in news {
            self.answer(&key, answer, true);
        }
    }

    /// The questions as they stand.
    pub(crate) fn questions(&self) -> BTreeMap<String, Question> {
        self.look(|papers| {
            papers.slips.iter().map(|(key, slip)| (key.clone(), slip.question.clone())).collect()
        })
    }

    /// The record has these questions.
    pub(crate) fn recorded(&self, questions: &BTreeMap<String, Question>) {
        let mut papers = self.papers();
        let Some(papers) = papers.as_deref_mut() else { return };
        for (key, question) in questions {
            if let Some(slip) = papers.slips.get_mut(key) {
                slip.recorded = Some(question.status);
            }
        }
    }

    /// The next thing that the record does not say yet.
    pub(crate) fn news(&self) -> Option<JobEvent> {
        self.look(|papers| papers.slips.iter().find_map(|(key, slip)| slip.news(key)))
    }

    /// The record says so now, or never will.
    pub(crate) fn told(&self, event: &JobEvent) {
        let (key, status) = match event {
            JobEvent::Ask(key, question) => (key, question.status),
            JobEvent::Answer(key, _) => (key, QuestionStatus::Answered),
            JobEvent::GiveUp(key) => (key, QuestionStatus::GivenUp),
            _ => return,
        };
        self.change(|papers| {
            if let Some(slip) = papers.slips.get_mut(key) {
                slip.recorded = Some(status);
                match event {
                    JobEvent::GiveUp(_) if slip.question.is_open() => slip.question.status = status,
                    JobEvent::Answer(_, answer) if slip.question.is_open() => {
                        slip.question = slip.question.clone().answered(answer.clone());
                    }
                    _ => {}
                }
            }
        });
    }

    /// The record refused this, because it says something else of the question, or takes nothing any more.
    pub(crate) fn refused(&self, event: &JobEvent, recorded: Option<&Question>) {
        let (JobEvent::Ask(key, _) | JobEvent::Answer(key, _) | JobEvent::GiveUp(key)) = event
        else {
            return;
        };
        let Some(recorded) = recorded.filter(|recorded| !recorded.is_open()) else {
            return self.told(event);
        };
        self.change(|papers| {
            let Some(slip) = papers.slips.get_mut(key) else { return };
            (slip.recorded, slip.proposed) = (Some(recorded.status), None);
            match (&recorded.answer, recorded.status) {
                _ if !slip.question.is_open() => {}
                (Some(answer), QuestionStatus::Answered) => {
                    slip.question = slip.question.clone().answered(answer.clone());
                }
                // Of a tool that keeps its answers off the disk: whoever gave it brings it here.
                (None, QuestionStatus::Answered) => {}
                _ => slip.question.status = QuestionStatus::GivenUp,
            }
        });
    }

    /// Whether something has changed since this was asked last, which the record may lack.
    pub(crate) fn has_changed(&self) -> bool {
        self.has_changed.swap(false, Ordering::AcqRel)
    }

    /// Wakes this one from now on where something changes. For the one who watches over the work.
    pub(crate) fn watch(&self, supervisor: &Waker) {
        self.supervisor.register(supervisor);
    }

    /// Nobody watches any more.
    pub(crate) fn unwatch(&self) {
        self.supervisor.take();
    }

    /// Wakes the one who watches over the work, whatever the reason.
    pub(crate) fn wake_supervisor(&self) {
        self.supervisor.wake();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::job::Timestamp;

    fn question() -> Question {
        Question::new(json!({"method": "x"}), Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
    }

    fn names(desk: &Desk) -> Vec<&'static str> {
        std::iter::from_fn(|| {
            let event = desk.news()?;
            desk.told(&event);
            Some(event.name())
        })
        .collect()
    }

    #[tokio::test]
    async fn the_first_answer_counts() {
        let desk = Desk::default();
        desk.put("name", question());
        desk.answer("name", json!(1), false);
        desk.answer("name", json!(2), false);
        desk.answer("size", json!(3), false);
        assert_eq!(desk.outcome("name").await, Some(json!(1)));
        assert_eq!(names(&desk), ["ask"], "with its answer");
        desk.put("size", question());
        assert_eq!(names(&desk), ["ask"]);
        desk.answer("size", json!(1), false);
        assert_eq!(names(&desk), ["answer"]);
    }

    #[tokio::test]
    async fn a_question_is_given_up_when_the_last_one_who_waits_leaves() {
        let desk = Desk::default();
        desk.put("name", question());
        desk.put("name", question());
        desk.leave("name");
        assert_eq!(names(&desk), ["ask"]);
        assert_eq!(desk.status("name"), Some(QuestionStatus::Open));
        desk.leave("name");
        assert_eq!(desk.status("name"), Some(QuestionStatus::GivenUp));
        assert_eq!(names(&desk), ["give_up"]);
        desk.answer("name", json!(1), false);
        assert_eq!(desk.outcome("name").await, None);
    }

    #[tokio::test]
    async fn an_answer_that_is_recorded_before_the_end_of_its_time_counts() {
        let desk = Desk::default();
        desk.put("name", question());
        assert_eq!(names(&desk), ["ask"]);
        desk.close("name");
        assert_eq!(desk.news(), Some(JobEvent::GiveUp("name".into())));
        let answered = ("name".to_owned(), question().answered(json!("Ann")));
        desk.learn(&BTreeMap::from([answered]));
        assert_eq!(desk.outcome("name").await, Some(json!("Ann")));
        assert_eq!(desk.news(), None);
    }

    #[tokio::test]
    async fn an_answer_that_comes_past_the_record_waits_for_its_word() {
        let desk = Desk::default();
        for key in ["mine", "theirs"] {
            desk.put(key, question());
        }
        assert_eq!(names(&desk), ["ask", "ask"]);
        for key in ["mine", "theirs"] {
            desk.answer(key, json!("past"), false);
        }
        let news = desk.news().unwrap();
        assert_eq!(news, JobEvent::Answer("mine".into(), json!("past")));
        desk.told(&news);
        assert_eq!(desk.outcome("mine").await, Some(json!("past")));
        let news = desk.news().unwrap();
        desk.refused(&news, Some(&question().answered(json!("first"))));
        assert_eq!(desk.outcome("theirs").await, Some(json!("first")));
        assert_eq!(desk.news(), None);
    }

    #[tokio::test]
    async fn what_the_record_refuses_is_told_once() {
        let desk = Desk::default();
        for key in ["name", "size"] {
            desk.put(key, question());
        }
        assert_eq!(names(&desk), ["ask", "ask"]);
        for key in ["name", "size"] {
            desk.leave(key);
        }
        // The job is another's by now, and has both questions open.
        let refused = std::iter::from_fn(|| {
            let event = desk.news()?;
            desk.refused(&event, Some(&question()));
            Some(event.name())
        });
        assert_eq!(refused.take(9).collect::<Vec<_>>(), ["give_up", "give_up"]);
        assert_eq!(desk.outcome("name").await, None);
    }

    #[tokio::test]
    async fn an_answer_to_an_earlier_run_is_there_at_once() {
        let desk = Desk::default();
        let open = [("name".to_owned(), question()), ("size".to_owned(), question())];
        let mut questions = BTreeMap::from(open);
        desk.recall(&questions);
        assert!(names(&desk).is_empty(), "this run has asked nothing yet");
        questions.insert("name".into(), question().answered(json!("Ann")));
        desk.learn(&questions);
        desk.put("name", question());
        assert_eq!(desk.outcome("name").await, Some(json!("Ann")));
        desk.put("size", question());
        assert_eq!(names(&desk), ["ask"], "the other one is asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_stands_still_while_a_question_is_open() {
        let desk = Desk::default();
        let began = Instant::now();
        let seconds = Duration::from_secs;
        let asking = async {
            tokio::time::sleep(seconds(5)).await;
            desk.put("name", question());
            desk.put("size", question());
            tokio::time::sleep(seconds(60)).await;
            desk.answer("name", json!(1), false);
            tokio::time::sleep(seconds(40)).await;
            desk.answer("size", json!(1), false);
        };
        tokio::join!(desk.past(began + seconds(10)), asking);
        assert_eq!(began.elapsed().as_secs(), 110);
    }

    #[tokio::test]
    async fn where_nobody_can_be_asked_every_question_is_given_up() {
        let desk = Desk::default();
        desk.put("name", question());
        desk.reach(Way::Nobody);
        assert_eq!(desk.outcome("name").await, None);
        assert!(matches!(desk.put("size", question()), Put::NobodyToAsk));
    }
}
