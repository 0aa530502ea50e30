//! `jobs.json` as text: `{"version":1,"jobs":[…]}`, one job a line, so that people and `grep` can read it.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::job::JobRecord;

/// The version written. 1: the first.
pub(super) const VERSION: u64 = 1;

/// What stands in the file beside the jobs that are understood. It is carried along, so that a rewrite loses nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Leftovers {
    /// Fields of the document that this version does not know.
    fields: Map<String, Value>,
    /// Entries of `jobs` that are no job records.
    entries: Vec<Value>,
}

#[derive(Debug)]
pub(super) enum Parsed {
    Document { jobs: Vec<JobRecord>, leftovers: Leftovers },
    LaterVersion(u64),
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "version")]
    _version: serde::de::IgnoredAny,
    jobs: Vec<Value>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Reads the file's text.
///
/// The version is looked at before all else: a later version may have changed what the rest means.
pub(super) fn parse(text: &[u8]) -> Result<Parsed, serde_json::Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let Version { version } = serde_json::from_slice(text)?;
    if version > VERSION {
        return Ok(Parsed::LaterVersion(version));
    }
    let document: Document = serde_json::from_slice(text)?;
    let mut jobs = Vec::with_capacity(document.jobs.len());
    let mut leftovers = Leftovers { fields: document.fields, entries: Vec::new() };
    for entry in document.jobs {
        match JobRecord::from_json(entry.clone()) {
            Ok(job) => jobs.push(job),
            Err(error) => {
                tracing::warn!(%error, "jobs.json holds an entry that is no job record; it is kept as it is");
                leftovers.entries.push(entry);
            }
        }
    }
    Ok(Parsed::Document { jobs, leftovers })
}

/// Writes the file's text.
pub(super) fn render<'a>(
    jobs: impl IntoIterator<Item = &'a JobRecord>,
    leftovers: &Leftovers,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = format!("{{\"version\":{VERSION}").into_bytes();
    for (name, value) in &leftovers.fields {
        text.push(b',');
        serde_json::to_writer(&mut text, name)?;
        text.push(b':');
        serde_json::to_writer(&mut text, value)?;
    }
    text.extend_from_slice(b",\"jobs\":[");
    let mut separator: &[u8] = b"\n";
    for job in jobs {
        text.extend_from_slice(separator);
        serde_json::to_writer(&mut text, job)?;
        separator = b",\n";
    }
    for entry in &leftovers.entries {
        text.extend_from_slice(separator);
        serde_json::to_writer(&mut text, entry)?;
        separator = b",\n";
    }
    text.extend_from_slice(b"\n]}\n");
    Ok(text)
}
