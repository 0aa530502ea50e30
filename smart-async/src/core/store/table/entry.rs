//! A job as a table keeps it, and as it comes there: with its line, where a store writes lines.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::core::job::{
    HydratedState, JobId, JobRecord, JobScope, JobStatus, OwnerId, PruneCandidate, Size, Timestamp,
};

/// A line of a file with a record in it.
#[derive(Clone)]
pub(in crate::core::store) struct RecordLine {
    text: Vec<u8>,
    record: Range<usize>,
}

impl RecordLine {
    /// A line whose bytes of this range are the record.
    pub(in crate::core::store) fn new(text: Vec<u8>, record: Range<usize>) -> Self {
        Self { text, record }
    }

    /// The whole line, with its line break.
    pub(in crate::core::store) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The record in it, as JSON.
    pub(in crate::core::store) fn record(&self) -> &[u8] {
        self.text.get(self.record.clone()).unwrap_or_default()
    }
}

/// Results and tags may be secrets: they do not go into logs.
impl fmt::Debug for RecordLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordLine({} bytes)", self.text.len())
    }
}

/// A record that is about to take its place in a table, and its line, where there is one already.
#[derive(Debug, Clone)]
pub(in crate::core::store) struct Put {
    pub(in crate::core::store) record: Arc<JobRecord>,
    pub(in crate::core::store) line: Option<RecordLine>,
    /// The state that the end of the job has filled. It is written with the record.
    pub(in crate::core::store) state: Option<Arc<HydratedState>>,
}

impl From<Arc<JobRecord>> for Put {
    fn from(record: Arc<JobRecord>) -> Self {
        Self { record, line: None, state: None }
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
        let Put { record, line, state: _ } = put;
        match line {
            Some(line) => Self::of_text(record, line.record().len()),
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

    pub(in crate::core::store) fn created_at(&self) -> Timestamp {
        self.record.spec.created_at
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
