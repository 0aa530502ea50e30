//! Parts of the store's files that this version does not understand.

use serde_json::{Map, Value};

/// The parts of the files that this version does not understand. Each rewrite carries them along.
#[derive(Debug, Clone, Default)]
pub(super) struct Leftovers {
    /// Fields of the document.
    pub(super) fields: Map<String, Value>,
    /// Entries of `jobs` that are no job records.
    pub(super) entries: Vec<Value>,
}

impl Leftovers {
    pub(super) fn extend(&mut self, more: Self) {
        self.fields.extend(more.fields);
        self.entries.extend(more.entries);
    }
}
