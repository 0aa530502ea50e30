//! Reads many lines of the journal. Of each job the last line that can be read counts, so that a record is parsed once for
//! each job, however many lines its life took.
//!
//! A line that cannot be read, and that no later line makes void, is kept: a later version may have written it. The line
//! before it counts then, so that no record is lost to a line that is no record.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::format::{Line, PutLine};
use super::leftovers::Leftovers;
use super::states;
use crate::core::job::{JobId, JobRecord};
use crate::core::observe;
use crate::core::store::table::entry::{Entry, Put};
use crate::core::store::table::{States, Table};

/// The outcome of reading lines.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) jobs: Vec<(JobId, Option<Entry>)>,
    /// Jobs whose arguments stand in an earlier line than these.
    arguments_before: HashSet<JobId>,
    pub(super) states: States,
    pub(super) leftovers: Leftovers,
    /// Lines that could not be read.
    pub(super) unread: Vec<Vec<u8>>,
}

impl Replayed {
    /// Takes it into a table, which is what the journal says before.
    pub(super) fn take_into(mut self, table: &mut Table) {
        for (id, job) in &mut self.jobs {
            if let Some(job) = job
                && self.arguments_before.contains(id)
            {
                let known = table.find(*id).and_then(|known| known.record().spec.arguments.clone());
                *job = with_arguments(job, known);
            }
        }
        table.take_in(self.jobs, self.states);
    }
}

/// One line's statement about one job.
struct Statement<'a> {
    id: JobId,
    line: Numbered<'a>,
    /// None where the job is gone.
    put: Option<PutLine<'a>>,
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
            Line::Put(put) => {
                match id_of(put.record) {
                    Ok(id) => statements.push(Statement { id, line, put: Some(put) }),
                    Err(error) => passed_over.push(pass_over(line, &error)),
                }
                if let Some(Ok(state)) = put.state.map(states::from_line) {
                    replayed.states.insert(state.field.clone(), state.into());
                }
            }
            Line::Remove(ids) => {
                let gone = ids.into_iter().map(|id| Statement { id, line, put: None });
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
        let mut later_first = of_one.iter().rev();
        while let Some(Statement { id, line, put }) = later_first.next() {
            let Some(PutLine { record, same_arguments, .. }) = put else {
                replayed.jobs.push((*id, None));
                break;
            };
            match JobRecord::from_text(record.get()) {
                Ok(job) if job.id == *id => {
                    let mut job = Entry::of_text(job, record.get().len());
                    if *same_arguments {
                        match last_arguments(later_first) {
                            Some(arguments) => job = with_arguments(&job, Some(arguments)),
                            None => drop(replayed.arguments_before.insert(*id)),
                        }
                    }
                    replayed.jobs.push((*id, Some(job)));
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

/// The arguments that the lines of one job have last.
fn last_arguments<'a>(
    mut later_first: impl Iterator<Item = &'a Statement<'a>>,
) -> Option<Map<String, Value>> {
    let record = later_first.find_map(|statement| match &statement.put {
        Some(put) => (!put.same_arguments).then_some(put.record),
        None => None,
    })?;
    JobRecord::from_text(record.get()).ok()?.spec.arguments.clone()
}

/// The job with these arguments. A job whose arguments are lost cannot run again.
fn with_arguments(job: &Entry, arguments: Option<Map<String, Value>>) -> Entry {
    let mut record = JobRecord::clone(job.record());
    let spec = record.spec_mut();
    if arguments.is_none() {
        spec.max_reruns = None;
    }
    spec.arguments = arguments;
    Put::from(record).into()
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
