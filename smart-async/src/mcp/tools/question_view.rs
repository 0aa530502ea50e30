//! The open questions of a job as answers show them, and the call that answers the first of them.

use serde_json::{Map, Value, json};

use crate::call::reply::FollowUp;
use crate::core::clock;
use crate::core::job::{JobRecord, Question};
use crate::core::text::truncated;

/// The most that all questions of a job take in an answer, in bytes.
const QUESTIONS_BYTES: usize = 8 * 1024;

/// The longest text, address or schema of a question that is shown, in bytes.
const PART_BYTES: usize = 2 * 1024;

/// The open questions whose request is on disk. Only the server that runs the job knows the others.
fn answerable(job: &JobRecord) -> impl Iterator<Item = (&str, &Question)> {
    job.open_questions().filter(|(_, question)| question.request.is_some())
}

/// The call that answers the job's first question; `None` where the job asks nothing.
pub(in crate::mcp) fn next_answer(follow_up: &FollowUp, job: &JobRecord) -> Option<String> {
    answerable(job).next().and_then(|(key, question)| follow_up.answer(job.id, key, question))
}

/// The field `questions` of a job that asks something, and the number of questions that do not fit.
pub(super) fn question_views(job: &JobRecord) -> Map<String, Value> {
    let (mut shown, mut omitted, mut left) = (Map::new(), 0, QUESTIONS_BYTES);
    for (key, question) in answerable(job) {
        let view = question_view(question);
        match left.checked_sub(key.len() + view.to_string().len()) {
            Some(rest) => {
                left = rest;
                shown.insert(key.to_owned(), view);
            }
            None => omitted += 1,
        }
    }
    let mut fields = Map::new();
    if !shown.is_empty() {
        fields.insert("questions".to_owned(), shown.into());
    }
    if omitted > 0 {
        fields.insert("questions_omitted".to_owned(), omitted.into());
    }
    fields
}

/// A question, with the beginning of a long text, and with the sizes of a schema and an address in place of long ones.
fn question_view(question: &Question) -> Value {
    let message = question.message().map(|message| match message.len() <= PART_BYTES {
        true => message.to_owned(),
        false => format!("{}…", truncated(message, PART_BYTES)),
    });
    let schema = question.schema();
    let schema_bytes = schema.map_or(0, |schema| schema.to_string().len());
    let url_bytes = question.url().map_or(0, str::len);
    let beyond = |bytes: usize| (bytes > PART_BYTES).then_some(bytes);
    let mut fields = json!({
        "message": message,
        "message_bytes": beyond(question.message().map_or(0, str::len)),
        "schema": schema.filter(|_| schema_bytes <= PART_BYTES),
        "schema_bytes": beyond(schema_bytes),
        "url": question.url().filter(|_| url_bytes <= PART_BYTES),
        "url_bytes": beyond(url_bytes),
        "expires_at": clock::rfc3339(question.expires_at),
    });
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !value.is_null());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{JobId, JobSpec, JobState, Timestamp};

    fn job(questions: impl IntoIterator<Item = (String, Value)>) -> JobRecord {
        let now = Timestamp::UNIX_EPOCH;
        let mut job = JobRecord::new(JobId::new(), JobSpec::new("bake", "bakery", now));
        job.state = JobState::InputRequired { started_at: now };
        for (key, params) in questions {
            job.questions.insert(key, Question::new(json!({"params": params}), now, now));
        }
        job
    }

    fn asking(message: String) -> Value {
        json!({"message": message, "requestedSchema": {"type": "object"}})
    }

    #[test]
    fn a_question_of_usual_length_is_whole() {
        let views = question_views(&job([("name".to_owned(), asking("Name?".to_owned()))]));
        assert_eq!(
            Value::Object(views),
            json!({"questions": {"name": {
                "message": "Name?",
                "schema": {"type": "object"},
                "expires_at": "1970-01-01T00:00:00.000Z"
            }}})
        );
    }

    #[test]
    fn the_long_parts_of_a_question_are_cut_or_left_out_with_their_sizes() {
        let long = "é".repeat(100_000);
        let params = json!({"message": long, "url": long, "requestedSchema": {"title": long}});
        let views = question_views(&job([("all".to_owned(), params)]));
        let view = &views["questions"]["all"];
        assert!(view["message"].as_str().unwrap().len() <= PART_BYTES + 4);
        assert_eq!(
            (&view["message_bytes"], &view["url_bytes"]),
            (&json!(200_000), &json!(200_000))
        );
        assert!(view.get("schema").is_none() && view["schema_bytes"].as_u64().unwrap() > 200_000);
    }

    #[test]
    fn many_questions_stay_within_their_room_and_the_rest_is_counted() {
        let many = (0..1000).map(|key| (format!("q{key}"), asking("why? ".repeat(200))));
        let views = question_views(&job(many));
        assert!(Value::Object(views.clone()).to_string().len() <= QUESTIONS_BYTES + 512);
        let shown = views["questions"].as_object().unwrap().len();
        assert!(shown > 0);
        assert_eq!(views["questions_omitted"], 1000 - shown);
    }
}
