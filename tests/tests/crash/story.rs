//! The story of a job, as the workers tell it, and the record that fits it.

use std::collections::BTreeMap;

use serde_json::Value;
use smart_async::job::JobRecord;
use smart_async::store::conformance::helpers::unnumbered;

use super::worker::{Life, Worker};

/// Whether a job was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Removal {
    #[default]
    No,
    /// It may be gone or not.
    Tried,
    Acknowledged,
}

/// What the workers said about a job.
#[derive(Debug, Default, Clone)]
pub(super) struct Story {
    /// Whose process it runs in.
    pub(super) life: Life,
    /// The records that the store was asked for, by the number of the change, and who asked.
    pub(super) tried: BTreeMap<u64, Vec<(Life, Value)>>,
    /// The changes that were acknowledged, and by whom.
    pub(super) done: BTreeMap<u64, Life>,
    pub(super) removal: Removal,
    /// Another process was about to ask for it to be cancelled.
    pub(super) cancel_tried: bool,
    /// That was acknowledged.
    pub(super) cancelled: bool,
}

impl Story {
    /// The record that was acknowledged as that change.
    pub(super) fn acknowledged(&self, number: u64) -> Option<&Value> {
        let by = self.done.get(&number)?;
        let tried = self.tried.get(&number)?;
        tried.iter().find(|(life, _)| life == by).map(|(_, record)| record)
    }

    /// Whether `found` is this record, as far as those who want the job cancelled left it alone.
    pub(super) fn is(&self, record: &Value, found: &Value) -> bool {
        if !self.cancel_tried {
            return found == record;
        }
        let rest = |record: &Value| {
            let mut rest = record.clone();
            let fields = rest.as_object_mut().unwrap();
            fields.retain(|name, _| {
                !["cancel_requested", "updated_at", "updated_by", "version"]
                    .contains(&name.as_str())
            });
            rest
        };
        rest(found) == rest(record)
    }

    /// Whether the job has to be accounted for by one of the living, now that its process is dead.
    pub(super) fn is_left_behind(&self, living: &BTreeMap<Life, Worker>) -> bool {
        let Some(last) = self.last() else { return false };
        let ends = |record: &Value| record["terminal"] == true;
        let ended = self.acknowledged(last).is_some_and(ends);
        // Its end may be on disk, though nobody was told: its process, or one that accounted for it, died first.
        let may_have_ended = self.tried.range(last + 1..).any(|(_, tried)| {
            tried.iter().any(|(life, record)| !living.contains_key(life) && ends(record))
        });
        self.removal == Removal::No && !ended && !may_have_ended
    }

    /// Forgets what was overtaken by what was acknowledged since.
    pub(super) fn forget_the_past(&mut self) {
        if self.removal == Removal::Acknowledged {
            self.tried.clear();
            self.done.clear();
        } else if let Some(last) = self.last() {
            self.tried = self.tried.split_off(&last);
            self.done = self.done.split_off(&last);
        }
    }

    /// The number of the last change that was acknowledged.
    pub(super) fn last(&self) -> Option<u64> {
        self.done.last_key_value().map(|(number, _)| *number)
    }
}

/// A record that is there is one that was asked for, and at least as new as what was acknowledged `before` it was read.
pub(super) fn check_found(job: &JobRecord, told: &Story, before: Option<&Story>) {
    let (id, found) = (job.id, unnumbered(job).to_json());
    assert!(job.sequence > 0 && (job.end_sequence > job.sequence) == job.status().is_terminal());
    let number = found["progress"]["current"].as_u64().unwrap();
    let removed = before.is_some_and(|before| before.removal == Removal::Acknowledged);
    assert!(!removed, "{id} was removed, and is back as {found}");
    let tried = told.tried.get(&number);
    assert!(
        tried.is_some_and(|tried| tried.iter().any(|(_, record)| told.is(record, &found))),
        "{id}: nobody asked for {found}, but for {tried:?}"
    );
    if let Some(acknowledged) = told.acknowledged(number) {
        assert!(
            told.is(acknowledged, &found),
            "{id}: as change {number} {acknowledged} was acknowledged, and {found} is found"
        );
    }
    if before.is_some_and(|before| before.cancelled) {
        assert_eq!(found["cancel_requested"], true, "{id}: the wish to cancel is lost");
    }
    if let Some(before) = before
        && let Some(last) = before.last()
    {
        assert!(number >= last, "{id}: change {last} was acknowledged, and {number} is found");
        let end = before.acknowledged(last).is_some_and(|record| record["terminal"] == true);
        assert!(!end || number == last, "{id} changed after its end");
    }
}
