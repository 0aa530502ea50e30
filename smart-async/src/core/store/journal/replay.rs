//! What many lines of the journal come to. Of each job only the last line that can be read counts, so only that one is
//! read: a job's life is several lines, and a journal several lives.
//!
//! A line that cannot be read, and that nothing after it makes void, is kept: it may be of a later version. What came
//! before it counts then, so that no record is lost to a line that is no record.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::format::Line;
use super::view_format::Leftovers;
use crate::core::job::JobId;
use crate::core::observe;
use crate::core::store::table::{Read, Table};

/// What one line says of one job.
struct Said<'a> {
    id: JobId,
    line: Numbered<'a>,
    /// None, where the job is gone.
    record: Option<&'a RawValue>,
}

#[derive(Clone, Copy)]
struct Numbered<'a> {
    number: usize,
    text: &'a [u8],
}

/// Reads whole lines, and takes over what they come to. Those that cannot be read go to `unread`.
pub(super) fn replay(
    text: &[u8],
    table: &mut Table,
    leftovers: &mut Leftovers,
    unread: &mut Vec<Vec<u8>>,
) {
    let mut said = Vec::new();
    let mut passed_over = Vec::new();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (number, text) in lines.enumerate() {
        let line = Numbered { number, text };
        match Line::parse(text) {
            Ok(Line::Put(record)) => match id_of(record) {
                Ok(id) => said.push(Said { id, line, record: Some(record) }),
                Err(error) => passed_over.push(pass_over(line, &error)),
            },
            Ok(Line::Remove(ids)) => {
                said.extend(ids.into_iter().map(|id| Said { id, line, record: None }));
            }
            Ok(Line::Field((name, value))) => {
                leftovers.fields.insert(name, value);
            }
            Ok(Line::Entry(value)) => leftovers.entries.push(value),
            Err(error) => passed_over.push(pass_over(line, &error)),
        }
    }
    // A stable sort: what is said of one job stays in its order.
    said.sort_by_key(|said| said.id);
    let mut changes = Read::new();
    for of_one in said.chunk_by(|one, next| one.id == next.id) {
        for Said { id, line, record } in of_one.iter().rev() {
            let Some(record) = record else {
                changes.push((*id, None));
                break;
            };
            match table.read(record.get()) {
                Ok(job) if job.id() == *id => {
                    changes.push((*id, Some(job)));
                    break;
                }
                Ok(_) => passed_over.push(pass_over(*line, &"a record with two ids")),
                Err(error) => passed_over.push(pass_over(*line, &error)),
            }
        }
    }
    table.take_over(changes);
    passed_over.sort_by_key(|line| line.number);
    unread.extend(passed_over.into_iter().map(|line| line.text.to_owned()));
}

fn pass_over<'a>(line: Numbered<'a>, error: &dyn fmt::Display) -> Numbered<'a> {
    observe::warn!(%error, "passing over a line of the journal that a crash tore, or a later version wrote");
    line
}

/// Whose record it is; the rest of it is not looked at.
fn id_of(record: &RawValue) -> Result<JobId, serde_json::Error> {
    #[derive(Deserialize)]
    struct Named {
        id: JobId,
    }
    // Where our own lines have it.
    let written = record.get().strip_prefix("{\"id\":\"").and_then(|rest| rest.split_once('"'));
    match written.and_then(|(id, _)| id.parse().ok()) {
        Some(id) => Ok(id),
        None => serde_json::from_str(record.get()).map(|Named { id }| id),
    }
}
