//! A job as a table keeps it, and as it comes there: with its text, where a store writes texts.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use crate::core::job::{
    HydratedState, JobId, JobRecord, JobScope, JobStatus, OwnerId, PruneCandidate, Size,
};

/// A record as JSON.
#[derive(Clone)]
pub(in crate::core::store) struct RecordText {
    bytes: Vec<u8>,
    lacks_arguments: bool,
}

impl RecordText {
    /// The text of a record that takes the place of `before`, without its arguments where they are the same.
    pub(in crate::core::store) fn of(
        record: &JobRecord,
        before: Option<&JobRecord>,
    ) -> Result<Self, serde_json::Error> {
        /// Most records are not longer.
        const USUAL: usize = 768;
        let mut bytes = Vec::with_capacity(USUAL);
        let lacks_arguments = before.is_some_and(|before| has_same_arguments(before, record));
        if lacks_arguments {
            let mut rest = record.clone();
            rest.spec_mut().arguments = None;
            serde_json::to_writer(&mut bytes, &rest)?;
        } else {
            serde_json::to_writer(&mut bytes, record)?;
        }
        Ok(Self { bytes, lacks_arguments })
    }

    pub(in crate::core::store) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether the record has arguments that are not in the text, because they are those of the record before.
    pub(in crate::core::store) const fn lacks_arguments(&self) -> bool {
        self.lacks_arguments
    }

    /// Adds a field at the end, where a record has the numbers that a store gives.
    fn add(&mut self, field: &str, number: u64) {
        self.bytes.pop_if(|last| *last == b'}');
        // A vector takes all that is written to it.
        let _ = write!(self.bytes, ",\"{field}\":{number}}}");
    }
}

fn has_same_arguments(one: &JobRecord, other: &JobRecord) -> bool {
    one.spec.arguments.is_some()
        && (Arc::ptr_eq(&one.spec, &other.spec) || one.spec.arguments == other.spec.arguments)
}

/// Results and tags may be secrets: they do not go into logs.
impl fmt::Debug for RecordText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordText({} bytes)", self.bytes.len())
    }
}

/// A record that is about to take its place in a table, and its text, where there is one already.
#[derive(Debug, Clone)]
pub(in crate::core::store) struct Put {
    pub(in crate::core::store) record: Arc<JobRecord>,
    pub(in crate::core::store) text: Option<RecordText>,
    /// The state that the end of the job has filled. It is written with the record.
    pub(in crate::core::store) state: Option<Arc<HydratedState>>,
}

impl From<Arc<JobRecord>> for Put {
    fn from(record: Arc<JobRecord>) -> Self {
        Self { record, text: None, state: None }
    }
}

impl Put {
    /// Gives a new job its number, and its end the same one where it has ended already.
    pub(in crate::core::store) fn number(&mut self, number: u64) {
        let end = if self.record.status().is_terminal() { number } else { 0 };
        self.set("sequence", number, |record| &mut record.sequence);
        self.set("end_sequence", end, |record| &mut record.end_sequence);
    }

    /// Gives the end of a job its number.
    pub(in crate::core::store) fn number_end(&mut self, number: u64) {
        self.set("end_sequence", number, |record| &mut record.end_sequence);
    }

    fn set(&mut self, name: &str, number: u64, field: fn(&mut JobRecord) -> &mut u64) {
        let before = std::mem::replace(field(Arc::make_mut(&mut self.record)), number);
        match &mut self.text {
            _ if before == number => {}
            Some(text) if before == 0 => text.add(name, number),
            // It says another number.
            text => *text = None,
        }
    }
}

impl From<JobRecord> for Put {
    fn from(record: JobRecord) -> Self {
        Arc::new(record).into()
    }
}

/// A job in a table, cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::core::store) struct Entry {
    record: Arc<JobRecord>,
    /// How many bytes the record of an ended job takes; 0 while the job is live.
    ended_bytes: u64,
}

impl From<Put> for Entry {
    fn from(put: Put) -> Self {
        let Put { record, text, state: _ } = put;
        match text {
            Some(text) => Self::of_text(record, text.bytes().len()),
            None if record.status().is_terminal() => {
                let ended_bytes = record.stored_bytes();
                Self { record, ended_bytes }
            }
            None => Self { record, ended_bytes: 0 },
        }
    }
}

impl Entry {
    /// A job whose record takes this many bytes as text.
    pub(in crate::core::store) fn of_text(
        record: impl Into<Arc<JobRecord>>,
        text_bytes: usize,
    ) -> Self {
        let record = record.into();
        let ended_bytes = match record.status().is_terminal() {
            true => record.stored_with(text_bytes),
            false => 0,
        };
        Self { record, ended_bytes }
    }

    pub(in crate::core::store) fn record(&self) -> &Arc<JobRecord> {
        &self.record
    }

    pub(in crate::core::store) fn id(&self) -> JobId {
        self.record.id
    }

    pub(in crate::core::store) fn server(&self) -> &str {
        &self.record.spec.server
    }

    /// The process that the job belongs to.
    pub(in crate::core::store) fn owner(&self) -> Option<OwnerId> {
        self.record.owner
    }

    /// The client that the job belongs to.
    pub(in crate::core::store) fn scope(&self) -> Option<&JobScope> {
        self.record.spec.scope.as_ref()
    }

    pub(in crate::core::store) fn status(&self) -> JobStatus {
        self.record.status()
    }

    /// The highest number that the store has given the job.
    pub(in crate::core::store) fn last_number(&self) -> u64 {
        self.record.sequence.max(self.record.end_sequence)
    }

    /// How many bytes the record of an ended job takes; 0 while the job is live.
    pub(in crate::core::store) fn ended_bytes(&self) -> u64 {
        self.ended_bytes
    }

    /// The facts of an ended job that a `Prune` needs.
    pub(in crate::core::store) fn ended(&self) -> Option<PruneCandidate<'_>> {
        let ended = PruneCandidate::of(&self.record)?;
        Some(PruneCandidate { size: Size::Known(self.ended_bytes), ..ended })
    }

    /// Returns whether the result of the job lies in a file of its own.
    pub(in crate::core::store) fn has_result_file(&self) -> bool {
        self.record.result_location.is_in_file()
    }
}
