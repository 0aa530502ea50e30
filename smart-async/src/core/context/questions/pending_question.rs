//! One pending question: how many callers in the body wait for it, and what the record of the job lacks of it.

use serde_json::Value;

use crate::core::job::{JobEvent, Question, QuestionStatus};

/// A question of one run, as the process that runs the body has it.
pub(super) struct PendingQuestion {
    pub(super) question: Question,
    /// How many callers in the body wait for the answer.
    pub(super) waiting: usize,
    /// Whether this run has asked the question. If not, an earlier run did.
    pub(super) asked: bool,
    /// Set when no caller in the body waits any more while the record has the question open. Another process may have
    /// answered it in the meantime, so the record decides how the question ends.
    pub(super) closing: bool,
    /// An answer that this process took without the record. The record decides whether it is the first one.
    pub(super) proposed: Option<Value>,
    /// The status that the record has; `None` while the record lacks the question.
    pub(super) recorded: Option<QuestionStatus>,
}

impl PendingQuestion {
    /// A question that the record lacks and that the body has not asked yet.
    pub(super) const fn new(question: Question) -> Self {
        Self { question, waiting: 0, asked: false, closing: false, proposed: None, recorded: None }
    }

    /// A question of an earlier run, as the record has it.
    pub(super) fn restored(question: &Question) -> Self {
        Self { recorded: Some(question.status), ..Self::new(question.clone()) }
    }

    /// Returns whether the body waits for an answer.
    pub(super) fn is_open(&self) -> bool {
        self.asked && self.question.is_open()
    }

    /// Ends the question without an answer, or leaves that to the record where the record has the question open.
    pub(super) fn close(&mut self) {
        if self.recorded == Some(QuestionStatus::Open) {
            self.closing = true;
        } else {
            self.give_up();
        }
    }

    /// Ends an open question without an answer.
    pub(super) fn give_up(&mut self) {
        if self.question.is_open() {
            self.question.status = QuestionStatus::GivenUp;
        }
    }

    /// Ends an open question with this answer.
    pub(super) fn take_answer(&mut self, answer: Value) {
        if self.question.is_open() {
            self.question = self.question.clone().answered(answer);
        }
    }

    /// The next change that the record lacks.
    pub(super) fn next_unsynced(&self, key: &str) -> Option<JobEvent> {
        let key = || key.to_owned();
        if !self.asked {
            return None;
        }
        match (self.recorded, self.question.status) {
            // The body gave the question up before the record had it.
            (None, QuestionStatus::GivenUp) => None,
            (None, _) => Some(JobEvent::Ask(key(), Box::new(self.question.clone()))),
            (Some(QuestionStatus::Open), QuestionStatus::Open) => match &self.proposed {
                Some(answer) => Some(JobEvent::Answer(key(), answer.clone())),
                None => self.closing.then(|| JobEvent::GiveUp(key())),
            },
            (Some(QuestionStatus::Open), QuestionStatus::Answered) => {
                let answer = self.question.answer.clone().unwrap_or_default();
                Some(JobEvent::Answer(key(), answer))
            }
            (Some(QuestionStatus::Open), QuestionStatus::GivenUp) => Some(JobEvent::GiveUp(key())),
            _ => None,
        }
    }

    /// Takes note that the store took this change, or never will.
    pub(super) fn mark_synced(&mut self, event: &JobEvent) {
        match event {
            JobEvent::Ask(_, question) => self.recorded = Some(question.status),
            JobEvent::Answer(_, answer) => {
                self.recorded = Some(QuestionStatus::Answered);
                self.take_answer(answer.clone());
            }
            JobEvent::GiveUp(_) => {
                self.recorded = Some(QuestionStatus::GivenUp);
                self.give_up();
            }
            _ => {}
        }
    }

    /// Takes over how the record says that the question ended, where another process was first.
    pub(super) fn overrule(&mut self, recorded: &Question) {
        (self.recorded, self.proposed) = (Some(recorded.status), None);
        match (recorded.status, &recorded.answer) {
            (QuestionStatus::Answered, Some(answer)) => self.take_answer(answer.clone()),
            // A tool with `redact` keeps its answers out of the record. The task that wrote the answer brings it here.
            (QuestionStatus::Answered, None) => {}
            _ => self.give_up(),
        }
    }

    /// Returns whether [`apply`](Self::apply) would change anything.
    pub(super) fn lacks(&self, recorded: &Question) -> bool {
        let is_news = self.recorded.is_none() && self.is_same_asking(recorded);
        is_news || (self.question.is_open() && recorded.answer.is_some())
    }

    /// Takes over what the record says: that it has the question, or the answer that another process wrote.
    pub(super) fn apply(&mut self, recorded: &Question) {
        if self.lacks(recorded) {
            self.recorded = Some(recorded.status);
            if let Some(answer) = &recorded.answer {
                self.take_answer(answer.clone());
            }
        }
    }

    /// Returns whether the record speaks of this asking, and not of one by an earlier run under the same key.
    fn is_same_asking(&self, recorded: &Question) -> bool {
        self.question.asked_at == recorded.asked_at
    }
}
