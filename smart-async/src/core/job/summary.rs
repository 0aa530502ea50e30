//! A job in short: what a list shows of it.

use std::sync::Arc;

use super::{JobId, JobRecord, JobStatus, Timestamp};

/// What a list shows of a job.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobSummary {
    /// The job.
    pub id: JobId,
    /// The tool that it is a job of.
    pub tool: String,
    /// What its caller calls it; else the tool's name.
    pub label: String,
    /// Where it stands.
    pub status: JobStatus,
    /// How far it has come, where that is known.
    pub percentage: Option<f64>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl JobSummary {
    /// A job that its caller gave no name of its own, and of which nothing is known about how far it has come.
    pub fn new(
        id: JobId,
        tool: impl Into<String>,
        status: JobStatus,
        updated_at: Timestamp,
    ) -> Self {
        let tool = tool.into();
        Self { id, label: tool.clone(), tool, status, percentage: None, updated_at }
    }
}

impl From<&JobRecord> for JobSummary {
    fn from(job: &JobRecord) -> Self {
        Self {
            id: job.id,
            tool: job.spec.tool.clone(),
            label: job.spec.label.clone(),
            status: job.status(),
            percentage: job.progress.as_ref().and_then(|progress| progress.percentage),
            updated_at: job.updated_at,
        }
    }
}

/// A job as a store has it for a list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Listed {
    /// The whole record. A job that has not ended is always given so: whoever runs it knows more of it than the store.
    Record(Arc<JobRecord>),
    /// A job that has ended, where its summary is there sooner than its record.
    Ended(JobSummary),
}

impl Listed {
    /// The record, where this is one.
    pub(crate) fn record(&self) -> Option<&Arc<JobRecord>> {
        match self {
            Self::Record(job) => Some(job),
            Self::Ended(_) => None,
        }
    }
}

impl From<Listed> for JobSummary {
    fn from(job: Listed) -> Self {
        match job {
            Listed::Record(job) => Self::from(&*job),
            Listed::Ended(summary) => summary,
        }
    }
}
