//! The names of jobs, of the processes that run them, and of each single claim.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of a job: a random UUID (version 4) from the system's secure generator.
///
/// A caller that knows an id may follow and cancel the job, so ids are never made guessable or shortened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// Makes a new id.
    #[expect(
        clippy::new_without_default,
        reason = "a default id would be a different one each time"
    )]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// The byte that ids are ordered by first.
    pub(crate) const fn first_byte(self) -> u8 {
        let [first, ..] = *self.0.as_bytes();
        first
    }
}

impl From<Uuid> for JobId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({})", self.0)
    }
}

/// A text that is no job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a job id is a UUID such as 8c6f2a0e-3f4b-4b7e-9d0a-2f1c5e6d7a8b")]
pub struct MalformedJobId;

impl FromStr for JobId {
    type Err = MalformedJobId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text.trim()).map(Self).map_err(|_| MalformedJobId)
    }
}

/// The name of one run of one process. It tells a job whose server still runs from one whose server died.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnerId(Uuid);

impl OwnerId {
    /// Makes a new name, to be used by one process only.
    #[expect(
        clippy::new_without_default,
        reason = "a default id would be a different one each time"
    )]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for OwnerId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerId({})", self.0)
    }
}

/// The name of one claim of one job. An owner that claims the same job twice gets two of them, so that a late change of
/// the first run is told from one of the second.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimToken(Uuid);

impl ClaimToken {
    /// Makes a new token.
    #[expect(
        clippy::new_without_default,
        reason = "a default token would be a different one each time"
    )]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Debug for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimToken({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = JobId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!(" {id}\n").parse(), Ok(id), "agents copy white space along");
    }

    #[test]
    fn a_text_that_is_no_uuid_is_refused() {
        for text in ["", "42", "not-a-job", "8c6f2a0e-3f4b-4b7e-9d0a", "\u{0}"] {
            assert_eq!(text.parse::<JobId>(), Err(MalformedJobId), "{text:?}");
        }
    }
}
