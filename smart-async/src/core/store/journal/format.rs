//! The lines of the journal. Each is a JSON object with one field that says what it is, and a checksum:
//!
//! - `{"journal":"<id>","version":2,"number":n,"first":"<id>","after":["<id>",…]}`: the first line, without a checksum. Each
//!   file of that name has another id; `after` names the latest journals that this one replaced and whose content it has, the
//!   latest last. `first` is the one that all of them go back to, and `number` counts from there.
//! - `{"put":{…},"crc":"…"}`: the record of a job; it replaces the record before.
//! - `{"put":{…},"same_arguments":true,"crc":"…"}`: the same, without the arguments that the job keeps for another run: those of
//!   the record before stand. So they are written once, and not with each change.
//! - `{"put":{…},"state":{…},"crc":"…"}`: the record, and the value of the state that the end of the job has filled: both are
//!   there or neither, wherever a crash tears the journal.
//! - `{"remove":["<id>",…],"crc":"…"}`: jobs that are gone.
//! - `{"state":{…},"crc":"…"}`: the value of a state; it replaces the value before.
//! - `{"field":{"<name>":…},"crc":"…"}`, `{"entry":…,"crc":"…"}`: parts of a `jobs.json` that this version does not know.
//!
//! The checksum is the CRC-32 (IEEE) of the bytes before `,"crc"`, as eight hexadecimal digits. Lines of version 1 have
//! none, and neither has a line that a person mended by hand: they are read as they stand.
//!
//! A reader passes over a line that is none of these or has a wrong checksum, and keeps it: a crash tore it, the disk
//! damaged it, or a later version wrote it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::leftovers::Leftovers;
use super::states::StateDocument;
use crate::core::job::{HydratedState, JobId, JobRecord, json};
use crate::core::store::table::entry::{Put, RecordText};
use crate::core::store::table::{Changes, Contents};

/// The version written. 1: the first. 2: lines have checksums, and states are lines.
pub(super) const VERSION: u64 = 2;

/// The checksum's field as it is written, without its digits.
const CHECKSUM: (&str, &str) = (",\"crc\":\"", "\"}");
const DIGITS: usize = 8;
/// How many bytes follow the value of a line, without the line break.
const TAIL: usize = CHECKSUM.0.len() + DIGITS + CHECKSUM.1.len();

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) journal: Uuid,
    pub(super) version: u64,
    /// How many journals there have been since the first one; 0 where the first line does not say so.
    #[serde(default)]
    pub(super) number: u64,
    /// The journal that this one goes back to; none where it is the first itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) after: Vec<Uuid>,
}

/// Any other line. Records and states are parsed later, where they count.
#[derive(Debug)]
pub(super) enum Line<'a> {
    Put(PutLine<'a>),
    Remove(Vec<JobId>),
    State(&'a RawValue),
    Field(String, Value),
    Entry(Value),
}

/// The line of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct PutLine<'a> {
    pub(super) record: &'a RawValue,
    /// Whether the record's arguments are those of the record before.
    pub(super) same_arguments: bool,
    pub(super) state: Option<&'a RawValue>,
}

/// The reason why a line is passed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnreadableLine {
    #[error("its checksum is wrong, so that its bytes are not the ones that were written")]
    WrongChecksum,
    #[error("{0}")]
    NotJson(#[from] serde_json::Error),
    #[error("it says nothing that this version knows")]
    Unknown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow, default)]
    put: Option<&'a RawValue>,
    #[serde(default)]
    same_arguments: bool,
    #[serde(default)]
    remove: Option<Vec<JobId>>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
    #[serde(default)]
    field: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "json::present")]
    entry: Option<Value>,
    #[serde(default)]
    crc: Option<String>,
}

/// The bytes that the checksum of a line is of, and the checksum; `None` where the line does not end with one.
fn checked(line: &[u8]) -> Option<(&[u8], u32)> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
    let digits = tail.strip_prefix(CHECKSUM.0.as_bytes())?;
    let digits = digits.strip_suffix(CHECKSUM.1.as_bytes())?;
    let digits = std::str::from_utf8(digits).ok()?;
    Some((body, u32::from_str_radix(digits, 16).ok()?))
}

impl<'a> Line<'a> {
    /// Reads a line, and checks its checksum where it has one.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, UnreadableLine> {
        let checked = checked(line);
        if checked.is_some_and(|(body, checksum)| crc32fast::hash(body) != checksum) {
            return Err(UnreadableLine::WrongChecksum);
        }
        let fields: Fields<'a> = serde_json::from_slice(line)?;
        if fields.crc.is_some() && checked.is_none() {
            return Err(UnreadableLine::WrongChecksum);
        }
        let Fields { put, same_arguments, remove, mut state, field, entry, crc: _ } = fields;
        let put =
            put.map(|record| Self::Put(PutLine { record, same_arguments, state: state.take() }));
        let field = field.and_then(|field| field.into_iter().next());
        let mut said = [
            put,
            remove.map(Self::Remove),
            state.map(Self::State),
            field.map(|(name, value)| Self::Field(name, value)),
            entry.map(Self::Entry),
        ]
        .into_iter()
        .flatten();
        let (Some(line), None) = (said.next(), said.next()) else {
            return Err(UnreadableLine::Unknown);
        };
        Ok(line)
    }
}

/// Writes one line with its checksum.
fn line(text: &mut Vec<u8>, name: &str, value: &impl Serialize) -> Result<(), serde_json::Error> {
    let start = text.len();
    text.extend_from_slice(b"{\"");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"\":");
    serde_json::to_writer(&mut *text, value)?;
    end_line(text, start);
    Ok(())
}

/// Adds the checksum of a line that begins at `start`, and its end.
fn end_line(text: &mut Vec<u8>, start: usize) {
    let checksum = crc32fast::hash(text.get(start..).unwrap_or_default());
    text.extend_from_slice(format!("{}{checksum:08x}{}\n", CHECKSUM.0, CHECKSUM.1).as_bytes());
}

const PUT: &[u8] = b"{\"put\":";
const SAME_ARGUMENTS: &[u8] = b",\"same_arguments\":true";

/// A record that takes the place of `before`, with its text. The caller of a change makes it, so that the writer thread need not.
pub(super) fn prepare(record: JobRecord, before: Option<&JobRecord>) -> Put {
    // A record that cannot be written is refused by the writer, which meets the same error.
    let text = RecordText::of(&record, before).ok();
    Put { text, ..record.into() }
}

/// Writes the line of a record, with the state that the end of its job has filled.
fn put(
    text: &mut Vec<u8>,
    record: &RecordText,
    state: Option<&HydratedState>,
) -> Result<(), serde_json::Error> {
    let start = text.len();
    text.extend_from_slice(PUT);
    text.extend_from_slice(record.bytes());
    if record.lacks_arguments() {
        text.extend_from_slice(SAME_ARGUMENTS);
    }
    if let Some(state) = state {
        text.extend_from_slice(b",\"state\":");
        serde_json::to_writer(&mut *text, &StateDocument::of(state))?;
    }
    end_line(text, start);
    Ok(())
}

/// A batch of changes as it is appended. It begins with a line break, so that a line that a crash tore cannot spoil it.
/// Records without a text get one. `before` gives the record of a job as the journal has it so far.
pub(super) fn batch(
    changes: &mut Changes,
    before: impl Fn(JobId) -> Option<Arc<JobRecord>>,
) -> Result<Vec<u8>, serde_json::Error> {
    let Changes { jobs, states, filled } = changes;
    let mut text = vec![b'\n'];
    for Put { record, text: prepared, state } in jobs.values_mut().flatten() {
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => {
                let before = record.spec.arguments.as_ref().and_then(|_| before(record.id));
                prepared.insert(RecordText::of(record, before.as_deref())?)
            }
        };
        if state.is_none() {
            put(&mut text, prepared, None)?;
        }
    }
    let ends = |id| match jobs.get(id) {
        Some(Some(Put { text: Some(record), state: Some(state), .. })) => Some((record, state)),
        _ => None,
    };
    for (record, state) in filled.iter().filter_map(ends) {
        put(&mut text, record, Some(state))?;
    }
    let removed: Vec<_> = jobs.iter().filter(|(_, put)| put.is_none()).map(|(id, _)| id).collect();
    if !removed.is_empty() {
        line(&mut text, "remove", &removed)?;
    }
    for state in states.values() {
        let is_written =
            ends(&state.job_id).is_some_and(|(_, written)| Arc::ptr_eq(written, state));
        if !is_written {
            line(&mut text, "state", &StateDocument::of(state))?;
        }
    }
    Ok(text)
}

/// A whole journal that says what there is, and nothing else.
pub(super) fn whole(
    header: &Header,
    contents: &Contents,
    leftovers: &Leftovers,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_vec(header)?;
    text.push(b'\n');
    for (name, value) in &leftovers.fields {
        line(&mut text, "field", &serde_json::json!({name: value}))?;
    }
    for entry in &leftovers.entries {
        line(&mut text, "entry", entry)?;
    }
    for state in contents.states.values() {
        line(&mut text, "state", &StateDocument::of(state))?;
    }
    for job in contents.jobs.iter() {
        line(&mut text, "put", &**job.record())?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{Change, JobEvent, JobSpec, Timestamp};

    fn job() -> JobRecord {
        JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", Timestamp::UNIX_EPOCH))
    }

    fn line_of(job: JobRecord) -> Vec<u8> {
        let mut text = Vec::new();
        put(&mut text, &RecordText::of(&job, None).unwrap(), None).unwrap();
        text
    }

    fn lines(text: &[u8]) -> Vec<Result<Line<'_>, UnreadableLine>> {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(Line::parse).collect()
    }

    #[test]
    fn a_batch_reads_back_line_by_line_after_a_torn_one() {
        let (job, gone) = (job(), JobId::new());
        let mut changes = Changes::default();
        changes.jobs.insert(job.id, Some(job.clone().into()));
        changes.jobs.insert(gone, None);
        let mut text = b"{\"put\":{\"id\":\"torn".to_vec();
        text.extend(batch(&mut changes, |_| None).unwrap());
        assert!(matches!(
            &lines(&text)[..],
            [Err(_), Ok(Line::Put(put)), Ok(Line::Remove(removed))]
                if JobRecord::from_text(put.record.get()).unwrap() == job && *removed == [gone]
        ));
    }

    #[test]
    fn a_line_with_another_byte_is_told_wherever_that_is() {
        let line = line_of(job());
        let text = line.strip_suffix(b"\n").unwrap();
        assert!(Line::parse(text).is_ok());
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut damaged = text.to_vec();
                damaged[at] ^= 1 << bit;
                let read = Line::parse(&damaged);
                // The digits of a checksum mean the same in upper case.
                let same = damaged.eq_ignore_ascii_case(text) && at >= text.len() - TAIL;
                assert!(read.is_err() || same, "{}", String::from_utf8_lossy(&damaged));
            }
        }
    }

    #[test]
    fn a_text_with_numbers_is_as_if_it_was_written_with_them() {
        let ended = || {
            let change = Change::new(JobEvent::Cancel, Timestamp::UNIX_EPOCH);
            job().apply(change).unwrap()
        };
        // A number that it has already is another store's.
        for record in [job(), ended(), JobRecord { sequence: 7, end_sequence: 9, ..ended() }] {
            let mut put = prepare(record, None);
            put.number(12);
            let is_ended = put.record.status().is_terminal();
            assert_eq!(put.record.end_sequence, if is_ended { 12 } else { 0 });
            put.number_end(34);
            assert_eq!((put.record.sequence, put.record.end_sequence), (12, 34));
            let expected = serde_json::to_vec(&*put.record).unwrap();
            assert!(put.text.is_none_or(|text| text.bytes() == expected));
        }
        let mut put = prepare(ended(), None);
        put.number(12);
        assert!(put.text.is_some(), "the caller's work is kept");
    }

    #[test]
    fn an_end_and_its_state_are_one_line_and_the_later_state_comes_last() {
        let field = crate::core::job::StateName::new("latest").unwrap();
        let mut changes = Changes::default();
        let mut ids = [JobId::new(), JobId::new()];
        ids.sort();
        // The later one has the lesser id.
        for id in [ids[1], ids[0]] {
            let job = JobRecord { id, ..job() };
            let time = Timestamp::UNIX_EPOCH;
            let state = HydratedState::new(field.clone(), id, "a", "b", time, 1.into());
            let state = Arc::new(state);
            changes.states.insert(field.clone(), Arc::clone(&state));
            changes.filled.push(id);
            changes.jobs.insert(id, Some(Put { state: Some(state), ..job.into() }));
        }
        let text = batch(&mut changes, |_| None).unwrap();
        let read = lines(&text).into_iter().map(|line| match line {
            Ok(Line::Put(PutLine { state: Some(state), .. })) => {
                super::super::states::from_line(state).unwrap()
            }
            other => panic!("{other:?}"),
        });
        assert!(read.map(|state| state.job_id).eq([ids[1], ids[0]]));
    }

    #[test]
    fn a_line_of_version_1_is_read() {
        let text = format!("{{\"put\":{}}}\n{{\"entry\":null}}\n", job().to_json());
        let lines = lines(text.as_bytes());
        assert!(matches!(lines[..], [Ok(Line::Put(_)), Ok(Line::Entry(Value::Null))]));
    }

    #[test]
    fn a_line_that_says_two_things_or_none_is_unreadable() {
        for text in ["{}", "{\"remove\":[],\"entry\":1}", "{\"later\":1}", "{\"field\":{}}"] {
            assert!(Line::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
