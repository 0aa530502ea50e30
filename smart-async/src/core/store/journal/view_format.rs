//! `jobs.json` as text: `{"version":2,"journal":"<id>","position":n,"states":{…},"jobs":[…]}`, one job a line, so that people
//! and `grep` can read it. It is a view: it shows what the journal says up to that position.
//!
//! `states` names the job whose completion is the value of each state; the value itself is in `state/<name>.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::format;
use super::leftovers::{AnyVersion, Leftovers};
use crate::core::job::{JobId, JobRecord};
use crate::core::observe;
use crate::core::store::table::entry::Entry;
use crate::core::store::table::{Contents, States, Table};

/// The version written. 1: the first. 2: beside a journal of version 2, with `states`.
pub(super) const VERSION: u64 = 2;

/// The journal that a view shows, and up to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) journal: Uuid,
    pub(super) position: u64,
}

/// A view that was read.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) table: Table,
    pub(super) leftovers: Leftovers,
    pub(super) position: Option<Position>,
    /// The job that each state comes from.
    pub(super) states: BTreeMap<String, JobId>,
    /// In bytes.
    pub(super) length: u64,
}

#[derive(Debug)]
pub(super) enum ParsedView {
    View(View),
    LaterVersion(u64),
}

#[derive(Deserialize)]
struct ViewDocument<'a> {
    version: u64,
    #[serde(default)]
    journal: Option<Uuid>,
    #[serde(default)]
    position: u64,
    #[serde(default)]
    states: BTreeMap<String, JobId>,
    /// Each is parsed by itself.
    #[serde(borrow)]
    jobs: Vec<&'a RawValue>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Reads the file's text.
pub(super) fn parse(text: &[u8]) -> Result<ParsedView, serde_json::Error> {
    let document = match serde_json::from_slice(text) {
        Ok(ViewDocument { version, .. }) if version > VERSION => {
            return Ok(ParsedView::LaterVersion(version));
        }
        Ok(document) => document,
        Err(error) => {
            return match serde_json::from_slice(text) {
                Ok(AnyVersion { version }) if version > VERSION => {
                    Ok(ParsedView::LaterVersion(version))
                }
                _ => Err(error),
            };
        }
    };
    let ViewDocument { version: _, journal, position, states, jobs: entries, fields } = document;
    let mut jobs = Vec::with_capacity(entries.len());
    let mut leftovers = Leftovers { fields, entries: Vec::new() };
    for entry in entries {
        match JobRecord::from_text(entry.get()) {
            Ok(job) => jobs.push((job.id, Some(Entry::from(format::prepare_ended(job))))),
            Err(error) => {
                let entry = serde_json::from_str(entry.get())?;
                observe::warn!(%error, "jobs.json holds an entry that is no job record; it is kept as it is");
                leftovers.entries.push(entry);
            }
        }
    }
    let mut table = Table::default();
    table.take_in(jobs, States::new());
    let position = journal.map(|journal| Position { journal, position });
    let length = text.len() as u64;
    Ok(ParsedView::View(View { table, leftovers, position, states, length }))
}

/// Writes the file's text.
pub(super) fn render(
    position: Option<Position>,
    contents: &Contents,
    leftovers: &Leftovers,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = format!("{{\"version\":{VERSION}").into_bytes();
    if let Some(Position { journal, position }) = position {
        text.extend_from_slice(
            format!(",\"journal\":\"{journal}\",\"position\":{position}").as_bytes(),
        );
    }
    if !contents.states.is_empty() {
        let states = contents.states.iter().map(|(name, state)| (name.as_str(), state.job_id));
        text.extend_from_slice(b",\"states\":");
        serde_json::to_writer(&mut text, &states.collect::<BTreeMap<_, _>>())?;
    }
    for (name, value) in &leftovers.fields {
        text.push(b',');
        serde_json::to_writer(&mut text, name)?;
        text.push(b':');
        serde_json::to_writer(&mut text, value)?;
    }
    text.extend_from_slice(b",\"jobs\":[");
    let mut separator: &[u8] = b"\n";
    for job in contents.jobs.iter() {
        text.extend_from_slice(separator);
        match job.line() {
            Some(line) => text.extend_from_slice(line.record()),
            None => serde_json::to_writer(&mut text, &**job.record())?,
        }
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
