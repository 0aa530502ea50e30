//! `jobs.json` as text: `{"version":2,"crc":"…","journal":"<id>","position":n,"states":{…},"jobs":[…]}`, one job a line, so that
//! people and `grep` can read it. It is a view: it shows what the journal says up to that position.
//!
//! `states` names the job whose completion is the value of each state; the value itself is in `state/<name>.json`. `crc` is the
//! CRC-32 (IEEE) of all bytes after its value. A view that a person edited has another one: it is read, but never believed
//! against the journal.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::leftovers::{AnyVersion, Leftovers};
use crate::core::job::{JobId, JobRecord};
use crate::core::observe;
use crate::core::store::table::entry::Entry;
use crate::core::store::table::{Contents, States, Table};

/// The version written. 1: the first. 2: beside a journal of version 2, with `states`.
pub(super) const VERSION: u64 = 2;

/// The journal that a view shows, and up to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) journal: Uuid,
    pub(super) position: u64,
    /// The journal that this one goes back to; the journal itself, where it is the first.
    pub(super) first: Uuid,
    /// How many journals there have been since that one.
    pub(super) number: u64,
    /// Whether a start reads the journal from its beginning all the same.
    pub(super) reread: bool,
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
    pub(super) checksum: Checksum,
}

/// The statement of the checksum of a view about its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Checksum {
    /// There is none.
    #[default]
    Missing,
    /// They are those that were written.
    Right,
    /// They are others.
    Wrong,
}

#[derive(Debug)]
pub(super) enum ParsedView {
    View(Box<View>),
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
    first_journal: Option<Uuid>,
    #[serde(default)]
    journal_number: u64,
    #[serde(default)]
    reread: bool,
    /// Read where it stands.
    #[serde(default, rename = "crc")]
    _crc: IgnoredAny,
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
    let ViewDocument { journal, position, first_journal, journal_number: number, .. } = document;
    let ViewDocument { reread, states, jobs: entries, fields, .. } = document;
    let mut jobs = Vec::with_capacity(entries.len());
    let mut leftovers = Leftovers { fields, entries: Vec::new() };
    for entry in entries {
        match JobRecord::from_text(entry.get()) {
            Ok(job) => jobs.push((job.id, Some(Entry::of_text(job, entry.get().len())))),
            Err(error) => {
                let entry = serde_json::from_str(entry.get())?;
                observe::warn!(%error, "meta/jobs.json holds an entry that is no job record; it is kept as it is");
                leftovers.entries.push(entry);
            }
        }
    }
    let mut table = Table::default();
    table.take_in(jobs, States::new());
    let position = journal.map(|journal| {
        let first = first_journal.unwrap_or(journal);
        Position { journal, position, first, number, reread }
    });
    let (length, checksum) = (text.len() as u64, checksum(text));
    let view = View { table, leftovers, position, states, length, checksum };
    Ok(ParsedView::View(Box::new(view)))
}

/// The beginning of the text, without the digits of the checksum and the quotation mark after them.
fn beginning() -> String {
    format!("{{\"version\":{VERSION},\"crc\":\"")
}

fn checksum(text: &[u8]) -> Checksum {
    const DIGITS: usize = 8;
    let Some(rest) = text.strip_prefix(beginning().as_bytes()) else { return Checksum::Missing };
    let Some((digits, rest)) = rest.split_at_checked(DIGITS) else { return Checksum::Wrong };
    let digits = std::str::from_utf8(digits).ok();
    let written = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if written == Some(crc32fast::hash(rest)) { Checksum::Right } else { Checksum::Wrong }
}

/// Writes the file's text.
pub(super) fn render(
    position: &Position,
    contents: &Contents,
    leftovers: &Leftovers,
) -> Result<Vec<u8>, serde_json::Error> {
    let beginning = beginning();
    let mut text = format!("{beginning}00000000").into_bytes();
    let start = text.len();
    let Position { journal, position, first, number, reread } = position;
    let of_journal = format!("\",\"journal\":\"{journal}\",\"position\":{position}");
    text.extend_from_slice(of_journal.as_bytes());
    if first != journal {
        let lineage = format!(",\"first_journal\":\"{first}\",\"journal_number\":{number}");
        text.extend_from_slice(lineage.as_bytes());
    }
    if *reread {
        text.extend_from_slice(b",\"reread\":true");
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
        serde_json::to_writer(&mut text, &**job.record())?;
        separator = b",\n";
    }
    for entry in &leftovers.entries {
        text.extend_from_slice(separator);
        serde_json::to_writer(&mut text, entry)?;
        separator = b",\n";
    }
    text.extend_from_slice(b"\n]}\n");
    let checksum = crc32fast::hash(text.get(start..).unwrap_or_default());
    if let Some(digits) = text.get_mut(beginning.len()..start) {
        digits.copy_from_slice(format!("{checksum:08x}").as_bytes());
    }
    Ok(text)
}
