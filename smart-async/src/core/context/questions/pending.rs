//! One question of one run, as its process has it: who waits for it, and what the record of the job does not say of it yet.

use serde_json::Value;

use crate::core::job::{JobEvent, Question, QuestionStatus};

/// A question on the desk.
pub(super) struct Slip {
    pub(super) question: Question,
    /// How many in the body wait for it. A question that nobody in this run has asked yet is one of an earlier run.
    pub(super) waiting: usize,
    pub(super) asked: bool,
    /// Nobody waits for an answer any more; whether one came all the same is for the record to say.
    pub(super) closing: bool,
    /// An answer that came past the record, which decides whether it is the first.
    pub(super) proposed: Option<Value>,
    /// What the record says of it.
    pub(super) recorded: Option<QuestionStatus>,
}

impl Slip {
    pub(super) fn of(question: &Question) -> Self {
        let question = question.clone();
        Self { question, waiting: 0, asked: false, closing: false, proposed: None, recorded: None }
    }

    pub(super) fn close(&mut self) {
        if self.recorded == Some(QuestionStatus::Open) {
            self.closing = true;
        } else if self.question.is_open() {
            self.question.status = QuestionStatus::GivenUp;
        }
    }

    pub(super) fn news(&self, key: &str) -> Option<JobEvent> {
        let key = || key.to_owned();
        if !self.asked {
            return None;
        }
        match (self.recorded, self.question.status) {
            // Withdrawn before anybody heard of it.
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
}
