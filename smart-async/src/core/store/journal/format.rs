//! The lines of the journal. Each is a JSON object with one field that says what it is:
//!
//! - `{"journal":"<id>","version":1,"after":["<id>",…]}`: the first line. The id is another for each file of that name;
//!   `after` names the journals that this one took the place of and says everything of, the latest last.
//! - `{"put":{…}}`: a job's record, in place of the one before.
//! - `{"remove":["<id>",…]}`: jobs that are gone.
//! - `{"field":{"<name>":…}}`, `{"entry":…}`: what a `jobs.json` held that this version does not know.
//!
//! A line that is none of these is passed over and kept: it is a torn one, or of a later version.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::core::job::JobId;
use crate::core::store::table::Changes;
use crate::core::store::table::entry::Kept;

/// The version written. 1: the first.
pub(super) const VERSION: u64 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) journal: Uuid,
    pub(super) version: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) after: Vec<Uuid>,
}

/// Any other line. A record is read where it stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    #[serde(borrow)]
    Put(&'a RawValue),
    Remove(Vec<JobId>),
    #[serde(deserialize_with = "one_field")]
    Field((String, Value)),
    Entry(Value),
}

fn one_field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(String, Value), D::Error> {
    let field = serde_json::Map::deserialize(deserializer)?;
    field.into_iter().next().ok_or_else(|| serde::de::Error::custom("a field without a name"))
}

impl<'a> Line<'a> {
    /// Reads a line.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

/// Writes one line.
fn line(text: &mut Vec<u8>, name: &str, value: &impl Serialize) -> Result<(), serde_json::Error> {
    text.extend_from_slice(b"{\"");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"\":");
    serde_json::to_writer(&mut *text, value)?;
    text.extend_from_slice(b"}\n");
    Ok(())
}

/// A batch of changes as it is appended. It begins with a newline, so that a line that a crash tore cannot spoil it.
pub(super) fn batch(changes: &Changes) -> Result<Vec<u8>, serde_json::Error> {
    /// What most lines take at most.
    const LINE: usize = 512;
    let mut text = Vec::with_capacity(1 + changes.len() * LINE);
    text.push(b'\n');
    let mut removed = Vec::new();
    for (id, change) in changes {
        match change {
            Some(job) => line(&mut text, "put", &**job)?,
            None => removed.push(*id),
        }
    }
    if !removed.is_empty() {
        line(&mut text, "remove", &removed)?;
    }
    Ok(text)
}

/// A whole journal that says nothing but what there is.
pub(super) fn whole<'a>(
    header: &Header,
    jobs: impl IntoIterator<Item = &'a Kept>,
    leftovers: &super::view_format::Leftovers,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_vec(header)?;
    text.push(b'\n');
    for (name, value) in &leftovers.fields {
        line(&mut text, "field", &serde_json::json!({name: value}))?;
    }
    for entry in &leftovers.entries {
        line(&mut text, "entry", entry)?;
    }
    for job in jobs {
        text.extend_from_slice(b"{\"put\":");
        job.write(&mut text)?;
        text.extend_from_slice(b"}\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::job::{JobRecord, JobSpec, Timestamp};

    #[test]
    fn a_batch_reads_back_line_by_line_after_a_torn_one() {
        let job = Arc::new(JobRecord::new(
            JobId::new(),
            JobSpec::new("simulate", "reactor", Timestamp::UNIX_EPOCH),
        ));
        let gone = JobId::new();
        let changes = Changes::from([(job.id, Some(Arc::clone(&job))), (gone, None)]);
        let mut text = b"{\"put\":{\"id\":\"torn".to_vec();
        text.extend(batch(&changes).unwrap());
        let read: Vec<_> = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(Line::parse)
            .collect();
        assert!(matches!(
            &read[..],
            [Err(_), Ok(Line::Put(put)), Ok(Line::Remove(removed))] if JobRecord::from_text(put.get()).unwrap() == *job && *removed == [gone]
        ));
    }
}
