//! The outcome of a job apart from its record: how it is taken out of a record or an event, and put back.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::json::present;
use super::{Change, JobEvent, JobFailure, JobOutput, JobRecord, JobState, ResultLocation};
use crate::core::text::truncated;

/// The outcome of a job on its way to or from another place than its record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// There for every job that completed, also where it is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool_result: Option<Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    error_details: Option<Value>,
}

impl Payload {
    fn of_output(output: &mut JobOutput) -> Self {
        let JobOutput { result, tool_result, metadata } = std::mem::take(output);
        Self { result: Some(result), tool_result, metadata, error_details: None }
    }

    fn of_failure(failure: &mut JobFailure) -> Self {
        Self {
            tool_result: failure.tool_result.take().map(|result| *result),
            error_details: failure.details.take(),
            ..Self::default()
        }
    }

    fn into_output(self, output: &mut JobOutput) {
        let Self { result, tool_result, metadata, error_details: _ } = self;
        *output = JobOutput { result: result.unwrap_or_default(), tool_result, metadata };
    }

    fn into_failure(self, failure: &mut JobFailure) {
        failure.tool_result = self.tool_result.map(Box::new);
        failure.details = self.error_details;
    }

    /// Returns whether it is empty.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether it takes more than `limit` bytes as JSON. Counting stops there.
    pub(crate) fn is_larger_than(&self, limit: u64) -> bool {
        let mut counter = Counter { counted: 0, limit };
        serde_json::to_writer(&mut counter, self).is_err()
    }

    /// The length of the result as text, or else of the details of the error, in bytes.
    pub(crate) fn text_bytes(&self) -> u64 {
        match self.result.as_ref().or(self.error_details.as_ref()) {
            Some(Value::String(text)) => text.len() as u64,
            Some(value) => {
                let mut counter = Counter { counted: 0, limit: u64::MAX };
                // The counter refuses nothing, so this cannot fail.
                let _ = serde_json::to_writer(&mut counter, value);
                counter.counted
            }
            None => 0,
        }
    }
}

impl JobOutput {
    /// Returns whether the result and everything that comes with it take more than `limit` bytes as JSON.
    pub(crate) fn is_larger_than(&self, limit: u64) -> bool {
        let mut counter = Counter { counted: 0, limit };
        let Self { result, tool_result, metadata } = self;
        serde_json::to_writer(&mut counter, &(result, tool_result, metadata)).is_err()
    }
}

impl JobFailure {
    /// The failure as a store can keep it that keeps `limit` bytes: a longer message is cut off, and details that are larger are left
    /// out.
    pub(crate) fn within(&self, limit: u64) -> Self {
        let mut counter = Counter { counted: 0, limit };
        let mut kept = self.clone();
        if serde_json::to_writer(&mut counter, &(&self.details, &self.tool_result)).is_err() {
            (kept.details, kept.tool_result) = (None, None);
        }
        let longest = usize::try_from(limit).unwrap_or(usize::MAX);
        if kept.message.len() > longest {
            let total = kept.message.len();
            let beginning = truncated(&kept.message, longest).to_owned();
            kept.message = format!("{beginning}… ({total} bytes)");
        }
        kept
    }
}

/// Counts the bytes that are written to it, and refuses more than `limit`.
struct Counter {
    counted: u64,
    limit: u64,
}

impl Write for Counter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.counted = self.counted.saturating_add(text.len() as u64);
        if self.counted > self.limit {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            Ok(text.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Change {
    /// Takes the outcome out of a change that ends a job with one.
    pub(crate) fn take_payload(&mut self) -> Option<Payload> {
        match &mut self.event {
            JobEvent::Complete(output) => Some(Payload::of_output(output)),
            JobEvent::Fail(failure) => Some(Payload::of_failure(failure)),
            _ => None,
        }
    }

    /// Puts back the outcome that [`take_payload`](Self::take_payload) took out.
    pub(crate) fn put_payload(&mut self, payload: Payload) {
        match &mut self.event {
            JobEvent::Complete(output) => payload.into_output(output),
            JobEvent::Fail(failure) => payload.into_failure(failure),
            _ => {}
        }
    }
}

impl JobRecord {
    /// Takes the outcome out of a record that holds one.
    pub(crate) fn take_payload(&mut self) -> Option<Payload> {
        match &mut self.state {
            JobState::Completed { output, .. } => Some(Payload::of_output(output)),
            JobState::Failed { failure, .. } => Some(Payload::of_failure(failure)),
            _ => None,
        }
    }

    /// Puts the outcome in: from then on the record holds it.
    pub(crate) fn put_payload(&mut self, payload: Payload) {
        match &mut self.state {
            JobState::Completed { output, .. } => payload.into_output(output),
            JobState::Failed { failure, .. } => payload.into_failure(failure),
            _ => {}
        }
        self.result_location = ResultLocation::InRecord;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::job::JobSpec;
    use crate::core::job::{JobId, Timestamp};

    fn ends() -> [JobEvent; 3] {
        let mut output = JobOutput::new(json!({"rows": [1, 2]})).with_metadata("rows", 2);
        output.tool_result = Some(json!({"content": []}));
        let mut failure = JobFailure::error("no").with_details(Value::Null);
        failure.tool_result = Some(Box::new(json!({"isError": true})));
        [
            JobEvent::Complete(output),
            JobEvent::Complete(JobOutput::default()),
            JobEvent::Fail(failure),
        ]
    }

    #[test]
    fn what_was_taken_out_and_written_reads_back_and_is_put_back_whole() {
        for event in ends() {
            let whole = Change::new(event, Timestamp::UNIX_EPOCH);
            let mut change = whole.clone();
            let payload = change.take_payload().unwrap();
            let text = serde_json::to_string(&payload).unwrap();
            let read: Payload = serde_json::from_str(&text).unwrap();
            assert_eq!(read, payload, "{text}");
            change.put_payload(read);
            assert_eq!(change, whole);
        }
    }

    #[test]
    fn a_record_gets_back_what_its_end_lacked() {
        for event in ends() {
            let job = JobRecord::new(
                JobId::new(),
                JobSpec::new("simulate", "reactor", Timestamp::UNIX_EPOCH),
            );
            let job = job.apply(Change::new(JobEvent::Start, Timestamp::UNIX_EPOCH)).unwrap();
            let whole = job.apply(Change::new(event.clone(), Timestamp::UNIX_EPOCH)).unwrap();
            let mut end = Change::new(event, Timestamp::UNIX_EPOCH);
            let payload = end.take_payload().unwrap();
            end.result_location =
                ResultLocation::InFile { bytes: payload.text_bytes(), file_bytes: 99 };
            let mut lacking = job.apply(end).unwrap();
            assert!(lacking.to_json().get("result").is_none());
            assert!(JobRecord::from_json(lacking.to_json()).unwrap() == lacking);
            lacking.put_payload(payload);
            assert!(lacking == whole);
        }
    }

    #[test]
    fn a_failure_that_is_too_large_keeps_its_beginning_and_no_details() {
        let mut failure = JobFailure::error("ü".repeat(100)).with_details(json!("x".repeat(60)));
        failure.tool_result = Some(Box::new(json!({"content": "x".repeat(60)})));
        assert_eq!(failure.within(1000), failure);
        let kept = failure.within(101);
        assert_eq!((kept.details, kept.tool_result), (None, None));
        assert_eq!(kept.message, format!("{}… (200 bytes)", "ü".repeat(50)));
    }

    #[test]
    fn sizes_are_those_of_the_json() {
        let mut change =
            Change::new(JobEvent::Complete(JobOutput::new("x".repeat(100))), Timestamp::UNIX_EPOCH);
        let payload = change.take_payload().unwrap();
        let length = serde_json::to_string(&payload).unwrap().len() as u64;
        assert!(payload.is_larger_than(length - 1) && !payload.is_larger_than(length));
        assert_eq!(payload.text_bytes(), 100, "a text without its quotes");
    }
}
