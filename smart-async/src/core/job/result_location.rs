//! Where the outcome of a job is kept.

/// The place of a job's outcome: its result, its tool's whole answer, its metadata, the details of its error. Kind, code
/// and text of an error are always in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ResultLocation {
    /// In this record.
    #[default]
    InRecord,
    /// In a file beside the record, which [`JobStore::get_with_result`](crate::core::store::JobStore::get_with_result) reads.
    InFile {
        /// The length of the result as text, or of the details of the error, in bytes.
        bytes: u64,
        /// The length of the file in bytes.
        file_bytes: u64,
    },
    /// In the memory of the process that ran the job, for as long as that lives, and nowhere else: its tool says
    /// `store_result = false` or `redact`.
    InMemory,
}

impl ResultLocation {
    /// Returns whether the outcome is in a file beside the record.
    pub const fn is_in_file(&self) -> bool {
        matches!(self, Self::InFile { .. })
    }
}
