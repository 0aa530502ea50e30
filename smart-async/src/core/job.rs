//! What a job is: its id, its states and the one function that moves it between them, its progress,
//! what it ends with, and the record that a store keeps of it.
//!
//! Nothing here waits, reads a clock or touches a disk: the manager says what happened and when.

mod document;
mod failure;
mod outcome;
mod payload;
mod progress;
mod query;
mod question;
mod record;
mod rerun;
mod scope;
mod state;
mod state_name;
mod state_target;
mod summary;
mod transition;

pub use super::ids::{JobId, MalformedJobId, OwnerId};
pub use failure::{FailureKind, JobFailure};
pub use outcome::{JobOutput, Outcome};
pub use payload::ResultKept;
pub use progress::{Progress, ProgressTotal, ProgressValue};
pub use query::{JobPage, JobQuery, Prune, ShortPage};
pub use question::{Question, QuestionStatus};
pub use record::{JobRecord, MalformedRecord};
pub use rerun::Rerun;
pub use scope::JobScope;
pub use state::{JobState, JobStatus, Timestamp};
pub use state_name::{InvalidStateName, StateName};
pub use state_target::StateTarget;
pub use summary::{JobSummary, Listed};
pub use transition::{Change, IllegalTransition, JobEvent};

pub(crate) use outcome::kept;
pub(crate) use payload::Payload;
pub(crate) use progress::ProgressCell;
pub(crate) use query::{Ended, Size};
