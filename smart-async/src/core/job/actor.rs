//! The originator of a change, which every change names: an audit log needs it, and so does a reader of `meta/jobs.json`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::JobScope;

/// The originator of a change to a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Actor {
    /// The process that runs the job.
    #[default]
    Owner,
    /// A client, through a tool or the protocol: with its mark where it came over HTTP and has one.
    Client(Option<JobScope>),
    /// A person at the command line.
    Cli,
    /// The library itself: recovery after the end of an owner, the sweep.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Client(None) => "client",
            Self::Client(Some(scope)) => scope.as_str(),
            Self::Cli => "cli",
            Self::System => "system",
        })
    }
}

/// Serialized, an actor is one word, or the mark of a client (`identity:…`, `session:…`).
impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "owner" => Self::Owner,
            "client" => Self::Client(None),
            "cli" => Self::Cli,
            mark if mark.contains(':') => Self::Client(Some(JobScope::from_mark(mark))),
            // A later version's word: the change did not come from a client of this version's kinds.
            _ => Self::System,
        })
    }
}
