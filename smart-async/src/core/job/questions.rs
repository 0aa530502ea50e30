//! The questions of one job: how events change them, and whether the work waits for an answer.

use std::collections::BTreeMap;

use super::{JobEvent, Question, QuestionStatus};

/// The questions of a job after an event; `None` where the event cannot happen to them.
pub(super) fn after(
    questions: &BTreeMap<String, Question>,
    event: &JobEvent,
    attempt: u32,
) -> Option<BTreeMap<String, Question>> {
    let mut next = questions.clone();
    match event {
        JobEvent::Ask(key, question) => {
            if questions.get(key).is_some_and(|known| !known.is_open()) {
                return None;
            }
            next.insert(
                key.clone(),
                Question { attempt, ..(**question).clone() }.without_closed_request(),
            );
        }
        JobEvent::Answer(key, answer) => {
            let open = next.get_mut(key).filter(|question| question.is_open())?;
            *open = open.clone().answered(answer.clone()).without_closed_request();
        }
        JobEvent::GiveUp(key) => {
            let open = next.get_mut(key).filter(|question| question.is_open())?;
            *open = Question { status: QuestionStatus::GivenUp, ..open.clone() }
                .without_closed_request();
        }
        _ => {}
    }
    Some(next)
}

/// The same questions, without the requests of closed ones.
pub(super) fn without_closed_requests(
    questions: BTreeMap<String, Question>,
) -> BTreeMap<String, Question> {
    questions.into_iter().map(|(key, question)| (key, question.without_closed_request())).collect()
}

/// Returns whether this run of the work waits for an answer. It may not have come yet to a question of an earlier run.
pub(super) fn awaited(questions: &BTreeMap<String, Question>, attempt: u32) -> bool {
    questions.values().any(|question| question.is_open() && question.attempt == attempt)
}
