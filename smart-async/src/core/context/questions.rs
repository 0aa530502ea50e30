//! The pending questions of one run of a body: what the body asks, and how each question ends.
//!
//! While a call is open, its questions are here alone. Once the run is a job, its record decides which answer is the first:
//! the job's supervisor writes to the record what that lacks ([`next_unsynced`](PendingQuestions::next_unsynced),
//! [`mark_synced`](PendingQuestions::mark_synced)) and brings here what other processes wrote to it
//! ([`apply_recorded`](PendingQuestions::apply_recorded)).

mod pending_question;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::pending_question::PendingQuestion;
use crate::core::clock;
use crate::core::job::{JobEvent, Question, QuestionStatus};
use crate::core::sync::Mutex;

/// The questions of one run.
#[derive(Default)]
pub(crate) struct PendingQuestions {
    /// `None` until the body asks something or the route changes: most bodies ask nothing.
    inner: Mutex<Option<Box<QuestionTable>>>,
    /// Wakes every task that waits for a change.
    changed: Notify,
}

/// The questions by key, and how they are answered.
#[derive(Default)]
struct QuestionTable {
    questions: BTreeMap<String, PendingQuestion>,
    /// Answers that came with the call, by the key of the question that the body may ask.
    given: BTreeMap<String, Value>,
    route: AnswerRoute,
    /// For how long the body has waited for answers, up to `waits_since`.
    waited: Duration,
    /// Since when the body waits for an answer, while it does.
    waits_since: Option<Instant>,
}

/// The questions of a body that has asked nothing.
static EMPTY: QuestionTable = QuestionTable {
    questions: BTreeMap::new(),
    given: BTreeMap::new(),
    route: AnswerRoute::Job,
    waited: Duration::ZERO,
    waits_since: None,
};

/// How a question reaches those who can answer it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerRoute {
    /// By the job, whose followers see its questions.
    #[default]
    Job,
    /// By the open call, whose caller is asked directly.
    Caller,
    /// Not at all: the caller cannot be asked, and the call cannot become a job.
    Unavailable,
}

/// Why a question cannot be asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CannotAsk {
    /// It has no answer yet and cannot be answered.
    NoRoute,
    /// So many others are open, or were asked, that the record would grow without end.
    TooMany,
}

/// How many questions of one run may be open at a time.
pub(crate) const OPEN_QUESTIONS: usize = 32;

/// How many questions one run may ask in all: the record keeps each with its answer, and is written anew with each.
pub(crate) const QUESTIONS: usize = 1000;

impl QuestionTable {
    fn is_any_open(&self) -> bool {
        self.questions.values().any(PendingQuestion::is_open)
    }

    fn open(&self) -> impl Iterator<Item = (&String, &Question)> {
        let open = self.questions.iter().filter(|(_, pending)| pending.is_open());
        open.map(|(key, pending)| (key, &pending.question))
    }

    fn next_unsynced(&self) -> Option<JobEvent> {
        self.questions.iter().find_map(|(key, pending)| pending.next_unsynced(key))
    }

    /// Stops or starts the clock that measures how long the body has waited for answers.
    fn update_clock(&mut self) {
        match (self.is_any_open(), self.waits_since) {
            (true, None) => self.waits_since = Some(Instant::now()),
            (false, Some(since)) => {
                self.waited += since.elapsed();
                self.waits_since = None;
            }
            _ => {}
        }
    }
}

impl PendingQuestions {
    fn look<T>(&self, look: impl FnOnce(&QuestionTable) -> T) -> T {
        look(self.inner.lock().as_deref().unwrap_or(&EMPTY))
    }

    /// Changes the questions, and wakes every task that waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut QuestionTable) -> T) -> T {
        let answer = {
            let mut inner = self.inner.lock();
            let inner = inner.get_or_insert_default();
            let answer = change(inner);
            inner.update_clock();
            answer
        };
        self.changed.notify_waiters();
        answer
    }

    fn change_one(&self, key: &str, change: impl FnOnce(&mut PendingQuestion)) {
        self.change(|inner| inner.questions.get_mut(key).map(change));
    }

    /// Waits until `look` returns something.
    async fn until<T>(&self, look: impl Fn(&QuestionTable) -> Option<T>) -> T {
        loop {
            // Registered before the look, so that a change after the look is not missed.
            let changed = self.changed.notified();
            if let Some(found) = self.look(&look) {
                return found;
            }
            changed.await;
        }
    }

    /// The body asks `question`, and waits for the answer until it calls [`leave`](Self::leave). A key that this run has used
    /// before, or whose question has ended in an earlier run, keeps its question.
    ///
    /// # Errors
    /// [`CannotAsk`], where the question has no answer yet.
    pub(crate) fn ask(&self, key: &str, question: Question) -> Result<(), CannotAsk> {
        self.change(|inner| {
            let given = inner.given.remove(key).filter(|given| question.check(given).is_ok());
            let has_ended =
                inner.questions.get(key).is_some_and(|pending| !pending.question.is_open());
            if inner.route == AnswerRoute::Unavailable && given.is_none() && !has_ended {
                return Err(CannotAsk::NoRoute);
            }
            let is_new = !inner.questions.contains_key(key);
            if is_new
                && (inner.open().count() >= OPEN_QUESTIONS || inner.questions.len() >= QUESTIONS)
            {
                return Err(CannotAsk::TooMany);
            }
            let pending = inner
                .questions
                .entry(key.to_owned())
                .or_insert_with(|| PendingQuestion::new(question.clone()));
            if pending.question.is_open() && !pending.asked {
                pending.question = question;
                pending.recorded = None;
            }
            if let Some(given) = given {
                pending.take_answer(given);
            }
            pending.asked = true;
            pending.waiting += 1;
            Ok(())
        })
    }

    /// Waits until the question ends: its answer, or `None` where it was given up.
    pub(crate) async fn outcome(&self, key: &str) -> Option<Value> {
        self.until(|inner| {
            let Some(pending) = inner.questions.get(key) else { return Some(None) };
            match pending.question.status {
                QuestionStatus::Open => None,
                QuestionStatus::Answered => {
                    Some(Some(pending.question.answer.clone().unwrap_or_default()))
                }
                QuestionStatus::GivenUp | QuestionStatus::Unknown => Some(None),
            }
        })
        .await
    }

    /// One caller of [`ask`](Self::ask) stops waiting. The last one gives the question up.
    pub(crate) fn leave(&self, key: &str) {
        self.change_one(key, |pending| {
            pending.waiting = pending.waiting.saturating_sub(1);
            if pending.waiting == 0 {
                pending.close();
            }
        });
    }

    /// Ends a question whose time is over. Where the record has the question open, another process may have answered it, so
    /// the record decides; [`outcome`](Self::outcome) returns the decision.
    pub(crate) fn close(&self, key: &str) {
        self.change_one(key, PendingQuestion::close);
    }

    /// Takes the answer of the caller of an open call. Where the record has the question by now, the answer is proposed to the
    /// record, which decides whether it is the first one.
    pub(crate) fn answer(&self, key: &str, answer: Value) {
        self.change_one(key, |pending| {
            if pending.recorded.is_none() {
                pending.take_answer(answer);
            } else if pending.question.is_open() {
                pending.proposed.get_or_insert(answer);
            }
        });
    }

    /// Waits until the body waits for no answer to this question.
    pub(crate) async fn closed(&self, key: &str) {
        let is_closed = |pending: &PendingQuestion| pending.closing || !pending.question.is_open();
        self.until(|inner| inner.questions.get(key).is_none_or(is_closed).then_some(())).await;
    }

    /// The status of a question, which the record may have a moment later.
    pub(crate) fn status(&self, key: &str) -> Option<QuestionStatus> {
        self.look(|inner| {
            let pending = inner.questions.get(key)?;
            Some(if pending.closing && pending.question.is_open() {
                QuestionStatus::GivenUp
            } else {
                pending.question.status
            })
        })
    }

    /// The questions for whose answers the body waits.
    pub(crate) fn open(&self) -> BTreeMap<String, Question> {
        self.look(|inner| inner.open().map(|(key, it)| (key.clone(), it.clone())).collect())
    }

    /// All questions, those of earlier runs as well.
    pub(crate) fn all(&self) -> BTreeMap<String, Question> {
        self.look(|inner| {
            let all = inner.questions.iter();
            all.map(|(key, pending)| (key.clone(), pending.question.clone())).collect()
        })
    }

    /// Sets how questions reach those who can answer. Without a route, open questions are given up.
    pub(crate) fn set_route(&self, route: AnswerRoute) {
        if route == self.look(|inner| inner.route) {
            return;
        }
        self.change(|inner| {
            inner.route = route;
            if route == AnswerRoute::Unavailable {
                inner.questions.values_mut().for_each(PendingQuestion::give_up);
            }
        });
    }

    /// Returns whether questions have no route.
    pub(crate) fn has_no_route(&self) -> bool {
        self.look(|inner| inner.route) == AnswerRoute::Unavailable
    }

    /// Waits until the body asks a question that only a job can bring to those who answer.
    pub(crate) async fn needs_job(&self) {
        self.until(|inner| (inner.route == AnswerRoute::Job && inner.is_any_open()).then_some(()))
            .await;
    }

    /// Waits until there is an open question for the caller under none of the `known` keys, and returns all such questions.
    pub(crate) async fn for_caller(&self, known: &[String]) -> Vec<(String, Question)> {
        self.until(|inner| {
            let new: Vec<_> = inner
                .open()
                .filter(|(key, _)| inner.route == AnswerRoute::Caller && !known.contains(key))
                .map(|(key, question)| (key.clone(), question.clone()))
                .collect();
            (!new.is_empty()).then_some(new)
        })
        .await
    }

    /// When a run is over its deadline that had to end by `deadline` at its start. The time that the body waits for answers
    /// does not count; `None` while it waits.
    pub(crate) fn due(&self, deadline: Instant) -> Option<Instant> {
        self.look(|inner| match inner.waits_since {
            Some(_) => None,
            None => deadline.checked_add(inner.waited),
        })
    }

    /// Waits until the run is over its deadline; see [`due`](Self::due).
    pub(crate) async fn past(&self, deadline: Option<Instant>) {
        match deadline {
            // Boxed, because few runs have a deadline, and the wait for any run has the size of this one.
            Some(deadline) => Box::pin(self.past_deadline(deadline)).await,
            None => std::future::pending().await,
        }
    }

    async fn past_deadline(&self, deadline: Instant) {
        loop {
            let changed = self.changed.notified();
            tokio::select! {
                biased;
                () = changed => {}
                () = clock::past(self.due(deadline)) => return,
            }
        }
    }

    /// Takes answers that came with the call. A question that the body asks under such a key is answered at once, where the
    /// answer fits.
    pub(crate) fn give(&self, answers: BTreeMap<String, Value>) {
        if !answers.is_empty() {
            self.inner.lock().get_or_insert_default().given = answers;
        }
    }

    /// Takes over what the record says: the questions of earlier runs, which questions the record has, and the answers that
    /// another process wrote. A record that is older than the questions here changes nothing.
    pub(crate) fn apply_recorded(&self, recorded: &BTreeMap<String, Question>) {
        let lacks = |inner: &QuestionTable, key: &String, question: &Question| {
            inner.questions.get(key).is_none_or(|pending| pending.lacks(question))
        };
        if !self.look(|inner| recorded.iter().any(|(key, question)| lacks(inner, key, question))) {
            return;
        }
        self.change(|inner| {
            for (key, question) in recorded {
                match inner.questions.get_mut(key) {
                    Some(pending) => pending.apply(question),
                    None => {
                        let restored = PendingQuestion::restored(question);
                        inner.questions.insert(key.clone(), restored);
                    }
                }
            }
        });
    }

    /// Waits for a change that the record lacks: a question to ask, to answer or to give up.
    pub(crate) async fn next_unsynced(&self) -> JobEvent {
        self.until(QuestionTable::next_unsynced).await
    }

    /// Takes note of a change that the store took, or refused for good. After a refusal, `refused_for` is the question as the
    /// record has it; where that has ended, the record's end counts.
    pub(crate) fn mark_synced(&self, event: &JobEvent, refused_for: Option<&Question>) {
        let (JobEvent::Ask(key, _) | JobEvent::Answer(key, _) | JobEvent::GiveUp(key)) = event
        else {
            return;
        };
        self.change_one(key, |pending| match refused_for {
            Some(recorded) if !recorded.is_open() => pending.overrule(recorded),
            _ => pending.mark_synced(event),
        });
    }
}
