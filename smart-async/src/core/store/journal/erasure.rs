//! The journal is to lose what no record has any more: jobs that were removed, and the arguments, questions and answers of jobs that
//! have ended. They stand in its earlier lines until it is written anew. A prune has that done before its answer; the rest is due
//! within a minute, at the end of the process, or at the next start after a crash.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::core::job::{JobId, JobRecord};
use crate::core::store::table::entry::Entry;
use crate::core::store::table::{Changes, Contents, Table};

/// Whether a journal has lines of what no record has any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Debt {
    Nothing,
    /// Its lines tell.
    Unknown,
    Something,
}

/// Returns whether the record has something that its job drops when it ends.
fn has_passing_part(record: &JobRecord) -> bool {
    record.spec.arguments.is_some() || !record.questions.is_empty()
}

/// Returns whether records lose something by these changes that stands in earlier lines.
pub(super) fn is_caused_by(changes: &Changes, before: &Table) -> bool {
    changes.jobs.iter().any(|(id, put)| match put {
        None => true,
        Some(put) => {
            let ends = put.record.status().is_terminal();
            let record = ends.then(|| before.find(*id)).flatten().map(Entry::record);
            record.is_some_and(|record| has_passing_part(record))
        }
    })
}

/// Returns whether the lines have something that no record has any more.
pub(super) fn is_in(lines: &[u8], contents: &Contents) -> bool {
    lines.split(|byte| *byte == b'\n').any(|line| {
        line.starts_with(b"{\"remove\":")
            || [&b"\"arguments\":"[..], b"\"questions\":"].iter().any(|part| contains(line, part))
                && is_outlived(line, contents)
    })
}

/// The job of a journal's or a view's line of a record, however damaged the rest of it is.
pub(super) fn job_of(line: &[u8]) -> Option<JobId> {
    const LENGTH: usize = 36;
    let record = line.strip_prefix(b"{\"put\":").unwrap_or(line);
    let id = record.strip_prefix(b"{\"id\":\"")?.get(..LENGTH)?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// The text without the lines of jobs that are gone; `None` where it has none.
pub(super) fn without(text: &[u8], is_gone: impl Fn(JobId) -> bool) -> Option<Vec<u8>> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let kept: Vec<u8> =
        lines.filter(|line| !job_of(line).is_some_and(&is_gone)).flatten().copied().collect();
    (kept.len() < text.len()).then_some(kept)
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|bytes| bytes == part)
}

/// Returns whether a line is of a live job that has ended since, or is gone, and has something that such a job drops.
fn is_outlived(line: &[u8], contents: &Contents) -> bool {
    #[derive(Deserialize)]
    struct LineOfRecord {
        put: PassingParts,
    }
    #[derive(Deserialize)]
    struct PassingParts {
        id: JobId,
        #[serde(default)]
        terminal: bool,
        #[serde(default)]
        arguments: Option<IgnoredAny>,
        #[serde(default)]
        questions: Option<IgnoredAny>,
    }
    let Ok(LineOfRecord { put }) = serde_json::from_slice(line) else { return false };
    let is_live = || contents.find(put.id).is_some_and(|job| !job.status().is_terminal());
    (put.arguments.is_some() || put.questions.is_some()) && !put.terminal && !is_live()
}
