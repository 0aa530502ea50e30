use futures_util::FutureExt;
use serde_json::json;

use super::*;
use crate::core::job::Timestamp;

fn question() -> Question {
    Question::new(json!({"method": "x"}), Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
}

/// Writes down all that the record lacks, and returns the names of the changes.
fn sync(questions: &PendingQuestions) -> Vec<&'static str> {
    std::iter::from_fn(|| {
        let event = questions.next_unsynced().now_or_never()?;
        questions.mark_synced(&event, None);
        Some(event.name())
    })
    .collect()
}

#[tokio::test]
async fn the_first_answer_counts() {
    let questions = PendingQuestions::default();
    questions.ask("name", question()).unwrap();
    questions.answer("name", json!(1));
    questions.answer("name", json!(2));
    questions.answer("size", json!(3));
    assert_eq!(questions.outcome("name").await, Some(json!(1)));
    assert_eq!(sync(&questions), ["ask"], "with its answer");
    questions.ask("size", question()).unwrap();
    assert_eq!(sync(&questions), ["ask"]);
    questions.answer("size", json!(1));
    assert_eq!(sync(&questions), ["answer"]);
}

#[tokio::test]
async fn a_question_is_given_up_when_the_last_caller_that_waits_leaves() {
    let questions = PendingQuestions::default();
    questions.ask("name", question()).unwrap();
    questions.ask("name", question()).unwrap();
    questions.leave("name");
    assert_eq!(sync(&questions), ["ask"]);
    assert_eq!(questions.status("name"), Some(QuestionStatus::Open));
    questions.leave("name");
    assert_eq!(questions.status("name"), Some(QuestionStatus::GivenUp));
    assert_eq!(sync(&questions), ["give_up"]);
    questions.answer("name", json!(1));
    assert_eq!(questions.outcome("name").await, None);
}

#[tokio::test]
async fn an_answer_that_is_recorded_before_the_end_of_its_time_counts() {
    let questions = PendingQuestions::default();
    questions.ask("name", question()).unwrap();
    assert_eq!(sync(&questions), ["ask"]);
    questions.close("name");
    assert_eq!(questions.next_unsynced().now_or_never(), Some(JobEvent::GiveUp("name".into())));
    let answered = ("name".to_owned(), question().answered(json!("Ann")));
    questions.apply_recorded(&BTreeMap::from([answered]));
    assert_eq!(questions.outcome("name").await, Some(json!("Ann")));
    assert_eq!(questions.next_unsynced().now_or_never(), None);
}

#[tokio::test]
async fn the_record_decides_whether_the_answer_of_the_caller_is_the_first() {
    let questions = PendingQuestions::default();
    for key in ["mine", "theirs"] {
        questions.ask(key, question()).unwrap();
    }
    assert_eq!(sync(&questions), ["ask", "ask"]);
    for key in ["mine", "theirs"] {
        questions.answer(key, json!("proposed"));
    }
    let event = questions.next_unsynced().now_or_never().unwrap();
    assert_eq!(event, JobEvent::Answer("mine".into(), json!("proposed")));
    questions.mark_synced(&event, None);
    assert_eq!(questions.outcome("mine").await, Some(json!("proposed")));
    let event = questions.next_unsynced().now_or_never().unwrap();
    questions.mark_synced(&event, Some(&question().answered(json!("first"))));
    assert_eq!(questions.outcome("theirs").await, Some(json!("first")));
    assert_eq!(questions.next_unsynced().now_or_never(), None);
}

#[tokio::test]
async fn a_change_that_the_record_refuses_is_offered_once() {
    let questions = PendingQuestions::default();
    for key in ["name", "size"] {
        questions.ask(key, question()).unwrap();
    }
    assert_eq!(sync(&questions), ["ask", "ask"]);
    for key in ["name", "size"] {
        questions.leave(key);
    }
    // Another process owns the job by now, and has both questions open.
    let refused = std::iter::from_fn(|| {
        let event = questions.next_unsynced().now_or_never()?;
        questions.mark_synced(&event, Some(&question()));
        Some(event.name())
    });
    assert_eq!(refused.take(9).collect::<Vec<_>>(), ["give_up", "give_up"]);
    assert_eq!(questions.outcome("name").await, None);
}

#[tokio::test]
async fn an_answer_to_an_earlier_run_is_there_at_once() {
    let questions = PendingQuestions::default();
    let open = [("name".to_owned(), question()), ("size".to_owned(), question())];
    let mut recorded = BTreeMap::from(open);
    questions.apply_recorded(&recorded);
    assert!(sync(&questions).is_empty(), "this run has asked nothing yet");
    recorded.insert("name".into(), question().answered(json!("Ann")));
    questions.apply_recorded(&recorded);
    questions.ask("name", question()).unwrap();
    assert_eq!(questions.outcome("name").await, Some(json!("Ann")));
    questions.ask("size", question()).unwrap();
    assert_eq!(sync(&questions), ["ask"], "the other one is asked again");
}

#[tokio::test]
async fn a_record_that_is_older_than_a_question_does_not_keep_it_from_being_asked() {
    let questions = PendingQuestions::default();
    let recorded = BTreeMap::from([("name".to_owned(), question())]);
    questions.apply_recorded(&recorded);
    let asked_at = Timestamp::UNIX_EPOCH + chrono::Duration::seconds(1);
    questions.ask("name", Question { asked_at, ..question() }).unwrap();
    questions.apply_recorded(&recorded);
    assert_eq!(sync(&questions), ["ask"]);
}

#[tokio::test]
async fn questions_that_a_record_began_with_are_not_asked_again() {
    let questions = PendingQuestions::default();
    questions.ask("open", question()).unwrap();
    questions.ask("answered", question()).unwrap();
    questions.answer("answered", json!(1));
    let recorded = questions.all();
    questions.leave("open");
    questions.apply_recorded(&recorded);
    assert_eq!(sync(&questions), ["give_up"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_stands_still_while_a_question_is_open() {
    let questions = PendingQuestions::default();
    let began = Instant::now();
    let seconds = Duration::from_secs;
    let asking = async {
        tokio::time::sleep(seconds(5)).await;
        questions.ask("name", question()).unwrap();
        questions.ask("size", question()).unwrap();
        tokio::time::sleep(seconds(60)).await;
        questions.answer("name", json!(1));
        tokio::time::sleep(seconds(40)).await;
        questions.answer("size", json!(1));
    };
    tokio::join!(questions.past(Some(began + seconds(10))), asking);
    assert_eq!(began.elapsed().as_secs(), 110);
}

#[tokio::test]
async fn without_a_route_every_question_is_given_up() {
    let questions = PendingQuestions::default();
    questions.ask("name", question()).unwrap();
    questions.set_route(AnswerRoute::Unavailable);
    assert_eq!(questions.outcome("name").await, None);
    assert_eq!(questions.ask("size", question()), Err(CannotAsk::NoRoute));
}

#[tokio::test]
async fn a_run_has_32_open_questions_at_most_and_an_answer_makes_room() {
    let questions = PendingQuestions::default();
    for number in 0..OPEN_QUESTIONS {
        questions.ask(&number.to_string(), question()).unwrap();
    }
    assert_eq!(questions.ask("one more", question()), Err(CannotAsk::TooMany));
    // A question that is open already may be asked by other code of the run too.
    questions.ask("0", question()).unwrap();
    questions.answer("0", json!(1));
    questions.ask("one more", question()).unwrap();
}

#[tokio::test]
async fn a_run_asks_1000_questions_at_most() {
    let questions = PendingQuestions::default();
    for number in 0..QUESTIONS {
        questions.ask(&number.to_string(), question()).unwrap();
        questions.answer(&number.to_string(), json!(1));
    }
    assert_eq!(questions.ask("one more", question()), Err(CannotAsk::TooMany));
    questions.ask("7", question()).unwrap();
}
