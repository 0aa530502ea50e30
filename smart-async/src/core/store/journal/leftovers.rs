//! Parts of the store's files that this version does not understand.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Where the version stands in a file or in its first line. A later version may have changed everything else.
#[derive(Deserialize)]
pub(super) struct AnyVersion {
    pub(super) version: u64,
}

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
