//! The parts of a job: its id, its states and the one function that moves it between them, its progress,
//! its outcome, and the record that a store keeps of it.
//!
//! Nothing here waits, reads a clock or touches a disk: the caller passes the event and its time.

mod actor;
mod claim;
mod dispatch;
mod document;
mod failure;
mod hydrated_state;
mod idempotency_key;
pub(in crate::core) mod json;
mod outcome;
mod payload;
mod progress;
mod query;
mod question;
mod questions;
mod queue_order;
mod record;
mod record_json;
mod result_location;
mod result_page;
mod scope;
mod spec;
mod state;
mod state_name;
mod state_target;
mod transition;

pub use super::ids::{ClaimToken, JobId, MalformedJobId, OwnerId};
pub use actor::Actor;
pub use claim::{ClaimLimits, ClaimQuery};
pub use dispatch::Dispatch;
pub use document::MalformedRecord;
pub use failure::{FailureKind, JobFailure};
pub use hydrated_state::HydratedState;
pub use idempotency_key::IdempotencyKey;
pub use outcome::{JobOutput, Outcome};
pub use progress::{Progress, ProgressMessage, ProgressTotal, ProgressValue};
pub use query::{JobCursor, JobPage, JobQuery, ProgressReport, Prune};
pub use question::{Question, QuestionStatus};
pub use record::JobRecord;
pub use result_location::ResultLocation;
pub use result_page::ResultPage;
pub use scope::{ClientIdentity, JobScope};
pub use spec::{JobKind, JobSpec, Priority, RetryPolicy};
pub use state::{JobState, JobStatus, PendingReason, Timestamp};
pub use state_name::{InvalidStateName, StateName};
pub use state_target::StateTarget;
pub use transition::{Change, IllegalTransition, JobEvent, Refusal};

pub(in crate::core) use claim::NeededSlots;
pub(crate) use outcome::check_depth;
pub(crate) use payload::Payload;
pub(crate) use progress::ProgressCell;
pub(crate) use query::{PruneCandidate, Size};
