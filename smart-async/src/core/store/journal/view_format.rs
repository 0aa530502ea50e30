//! `jobs.json` as text: `{"version":1,"journal":"<id>","position":n,"jobs":[…]}`, one job a line, so that people and
//! `grep` can read it. It is a view: what the journal says up to that position.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::core::observe;
use crate::core::store::table::entry::Kept;
use crate::core::store::table::{Read, Table};

/// The version written. 1: the first.
pub(super) const VERSION: u64 = 1;

/// What the files hold beside the jobs that are understood. It is carried along, so that a rewrite loses nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Leftovers {
    /// Fields of the document that this version does not know.
    pub(super) fields: Map<String, Value>,
    /// Entries of `jobs` that are no job records.
    pub(super) entries: Vec<Value>,
}

/// Up to where, and of which journal, a view tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) journal: Uuid,
    pub(super) position: u64,
}

#[derive(Debug)]
pub(super) enum Parsed {
    Document { table: Table, leftovers: Leftovers, position: Option<Position> },
    LaterVersion(u64),
}

#[derive(Deserialize)]
struct Document<'a> {
    version: u64,
    #[serde(default)]
    journal: Option<Uuid>,
    #[serde(default)]
    position: u64,
    /// Read one by one, each where it stands.
    #[serde(borrow)]
    jobs: Vec<&'a RawValue>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Reads the file's text.
///
/// A later version may have changed what the rest means, so that it need not be readable.
pub(super) fn parse(text: &[u8]) -> Result<Parsed, serde_json::Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let document = match serde_json::from_slice(text) {
        Ok(Document { version, .. }) if version > VERSION => {
            return Ok(Parsed::LaterVersion(version));
        }
        Ok(document) => document,
        Err(error) => {
            return match serde_json::from_slice(text) {
                Ok(Version { version }) if version > VERSION => Ok(Parsed::LaterVersion(version)),
                _ => Err(error),
            };
        }
    };
    let Document { journal, position, jobs: entries, fields, .. } = document;
    let mut table = Table::default();
    let mut jobs = Read::with_capacity(entries.len());
    let mut leftovers = Leftovers { fields, entries: Vec::new() };
    for entry in entries {
        match table.read(entry.get()) {
            Ok(job) => jobs.push((job.id(), Some(job))),
            Err(error) => {
                let entry = serde_json::from_str(entry.get())?;
                observe::warn!(%error, "jobs.json holds an entry that is no job record; it is kept as it is");
                leftovers.entries.push(entry);
            }
        }
    }
    table.take_over(jobs);
    let position = journal.map(|journal| Position { journal, position });
    Ok(Parsed::Document { table, leftovers, position })
}

/// Writes the file's text.
pub(super) fn render<'a>(
    position: Option<Position>,
    jobs: impl IntoIterator<Item = &'a Kept>,
    leftovers: &Leftovers,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = format!("{{\"version\":{VERSION}").into_bytes();
    if let Some(Position { journal, position }) = position {
        text.extend_from_slice(
            format!(",\"journal\":\"{journal}\",\"position\":{position}").as_bytes(),
        );
    }
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
        job.write(&mut text)?;
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
