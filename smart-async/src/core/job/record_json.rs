//! Writing a record as JSON, and reading it back.

use serde::Serialize;
use serde_json::Value;

use super::document::JobDocument;
use super::{JobRecord, MalformedRecord, ResultLocation};

impl JobRecord {
    /// The record as one flat JSON object, as `meta/jobs.json` holds it.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(JobDocument::from(self)).unwrap_or_default()
    }

    /// The number of bytes that the record takes as JSON, together with the file that its result is in.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_with(serde_json::to_vec(&JobDocument::from(self)).map_or(0, |text| text.len()))
    }

    /// As [`stored_bytes`](Self::stored_bytes), where the length of the record's text is known.
    pub(crate) const fn stored_with(&self, text_bytes: usize) -> u64 {
        let file_bytes = match self.result_location {
            ResultLocation::InFile { file_bytes, .. } => file_bytes,
            ResultLocation::InRecord | ResultLocation::InMemory => 0,
        };
        (text_bytes as u64).saturating_add(file_bytes)
    }

    /// The record from its JSON object.
    ///
    /// # Errors
    /// [`MalformedRecord`], which names the field that is missing or wrong.
    pub fn from_json(value: Value) -> Result<Self, MalformedRecord> {
        let document: JobDocument<'_> = serde_json::from_value(value)
            .map_err(|error| MalformedRecord { reason: error.to_string() })?;
        document.try_into()
    }

    /// The record from its JSON text.
    ///
    /// # Errors
    /// [`MalformedRecord`], as [`from_json`](Self::from_json).
    pub(crate) fn from_text(text: &str) -> Result<Self, MalformedRecord> {
        match serde_json::from_str::<JobDocument<'_>>(text) {
            Ok(document) => document.try_into(),
            // Of a field that is there twice the last one counts, as everywhere in JSON.
            Err(error) => match serde_json::from_str(text) {
                Ok(value) => Self::from_json(value),
                Err(_) => Err(MalformedRecord { reason: error.to_string() }),
            },
        }
    }
}

impl Serialize for JobRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JobDocument::from(self).serialize(serializer)
    }
}
