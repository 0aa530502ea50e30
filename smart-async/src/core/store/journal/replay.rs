//! Reads many lines of the journal. Of each job the last line that can be read counts, so that a record is parsed once for
//! each job, however many lines its life took.
//!
//! A line that cannot be read, and that no later line makes void, is kept: a later version may have written it. The line
//! before it counts then, so that no record is lost to a line that is no record.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::format::Line;
use super::leftovers::Leftovers;
use super::states;
use crate::core::job::{JobId, JobRecord};
use crate::core::observe;
use crate::core::store::table::entry::Entry;
use crate::core::store::table::{States, Table};

/// The outcome of reading lines.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) jobs: Vec<(JobId, Option<Entry>)>,
    pub(super) states: States,
    pub(super) leftovers: Leftovers,
    /// Lines that could not be read.
    pub(super) unread: Vec<Vec<u8>>,
}

impl Replayed {
    /// Takes it into a table.
    pub(super) fn take_into(self, table: &mut Table) {
        table.take_in(self.jobs, self.states);
    }
}

/// One line's statement about one job.
struct Statement<'a> {
    id: JobId,
    line: Numbered<'a>,
    /// None where the job is gone.
    record: Option<&'a RawValue>,
}

#[derive(Clone, Copy)]
struct Numbered<'a> {
    number: usize,
    text: &'a [u8],
}

/// Reads whole lines.
pub(super) fn replay(text: &[u8]) -> Replayed {
    let mut replayed = Replayed::default();
    let mut statements = Vec::new();
    let mut passed_over = Vec::new();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (number, text) in lines.enumerate() {
        let line = Numbered { number, text };
        let parsed = match Line::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                passed_over.push(pass_over(line, &error));
                continue;
            }
        };
        match parsed {
            Line::Put(record, state) => {
                match id_of(record) {
                    Ok(id) => statements.push(Statement { id, line, record: Some(record) }),
                    Err(error) => passed_over.push(pass_over(line, &error)),
                }
                if let Some(Ok(state)) = state.map(states::from_line) {
                    replayed.states.insert(state.field.clone(), state.into());
                }
            }
            Line::Remove(ids) => {
                let gone = ids.into_iter().map(|id| Statement { id, line, record: None });
                statements.extend(gone);
            }
            Line::State(state) => match states::from_line(state) {
                Ok(state) => {
                    replayed.states.insert(state.field.clone(), state.into());
                }
                Err(error) => passed_over.push(pass_over(line, &error)),
            },
            Line::Field(name, value) => {
                replayed.leftovers.fields.insert(name, value);
            }
            Line::Entry(value) => replayed.leftovers.entries.push(value),
        }
    }
    // A stable sort, so that the statements about one job keep their order.
    statements.sort_by_key(|statement| statement.id);
    for of_one in statements.chunk_by(|one, next| one.id == next.id) {
        for Statement { id, line, record } in of_one.iter().rev() {
            let Some(record) = record else {
                replayed.jobs.push((*id, None));
                break;
            };
            match JobRecord::from_text(record.get()) {
                Ok(job) if job.id == *id => {
                    replayed.jobs.push((*id, Some(Entry::of_text(job, record.get().len()))));
                    break;
                }
                Ok(_) => passed_over.push(pass_over(*line, &"it is a record with two ids")),
                Err(error) => passed_over.push(pass_over(*line, &error)),
            }
        }
    }
    passed_over.sort_by_key(|line| line.number);
    // One warning for all of them: a journal of a later version may have thousands.
    if !passed_over.is_empty() {
        observe::warn!(
            lines = passed_over.len(),
            "the journal has lines that a crash tore, or that a later version wrote; they are passed over and kept"
        );
    }
    replayed.unread = passed_over.into_iter().map(|line| line.text.to_owned()).collect();
    replayed
}

fn pass_over<'a>(line: Numbered<'a>, error: &dyn fmt::Display) -> Numbered<'a> {
    observe::debug!(line = line.number, %error, "passing over a line of the journal that cannot be read");
    line
}

/// The id of a record, mostly without parsing the rest of it.
fn id_of(record: &RawValue) -> Result<JobId, serde_json::Error> {
    #[derive(Deserialize)]
    struct Named {
        id: JobId,
    }
    // Our own lines begin with the id.
    let written = record.get().strip_prefix("{\"id\":\"").and_then(|rest| rest.split_once('"'));
    match written.and_then(|(id, _)| id.parse().ok()) {
        Some(id) => Ok(id),
        None => serde_json::from_str(record.get()).map(|Named { id }| id),
    }
}
