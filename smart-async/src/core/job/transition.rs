//! The one function that moves a job between states. Every store applies every change through it, under the store's own
//! lock, so that each write is guarded by the state that it finds.
//!
//! ```text
//!                 Start               Ask
//!   (new) ─► pending ───► running ◄─────────► input_required
//!             ▲ │            │   Answer, GiveUp     │
//!             │ │ Fail,      │ Complete, Fail,      │ the same as
//!     Requeue │ │ Cancel     │ Cancel               │ from running
//!    from all │ ▼            ▼                      ▼
//!  that live ─┘ failed,   completed, failed, cancelled   (for ever)
//!               cancelled
//! ```
//!
//! A job with several open questions stays `input_required` until the last of them is answered or given up; the record,
//! which has the questions, sees to that. The record also resolves `Interrupt`, since it knows whether the work may run
//! again: into `Requeue` where it may, `Cancel` where a stop was requested, else `Fail`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{
    Actor, ClaimToken, Dispatch, HydratedState, JobFailure, JobOutput, JobState, JobStatus,
    OwnerId, PendingReason, Progress, Question, ResultLocation, Timestamp,
};

/// An event in the life of a job.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum JobEvent {
    /// The work begins.
    Start,
    /// The work got on; the figures are in [`Change::progress`].
    Progress,
    /// The work asked a question, under this key.
    Ask(String, Box<Question>),
    /// The question of this key was answered.
    Answer(String, Value),
    /// The work no longer waits for an answer to the question of this key.
    GiveUp(String),
    /// A stop was requested. The state stays until the work has stopped.
    RequestCancel,
    /// The work ended with a result.
    Complete(JobOutput),
    /// The work ended without a result.
    Fail(JobFailure),
    /// The work has stopped on request.
    Cancel,
    /// The process that ran the work ends, or has ended. The work waits to run again where it may, and has failed with
    /// this failure otherwise.
    Interrupt(JobFailure),
    /// The work is to run later, in a process that claims it.
    Requeue(PendingReason),
    /// The caller of an open call waits for it no longer, so that it is a job from now on: one that runs since this time, where it
    /// has begun, with the questions that it has asked.
    Detach(Option<Timestamp>, BTreeMap<String, Question>),
    /// A process claims a job that waits, or the owner of a queued one begins it.
    Claim(OwnerId, ClaimToken),
    /// Another process takes over a running program from an owner that died. A tool's body cannot move to another
    /// process, so only a job of kind `program` can be adopted.
    Adopt(OwnerId),
}

/// Answers may be secrets: they do not go into logs.
impl fmt::Debug for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_tuple(self.name());
        match self {
            Self::Ask(key, _) | Self::Answer(key, _) | Self::GiveUp(key) => event.field(key),
            Self::Complete(output) => event.field(output),
            Self::Fail(failure) | Self::Interrupt(failure) => event.field(failure),
            Self::Requeue(reason) => event.field(reason),
            Self::Claim(owner, _) | Self::Adopt(owner) => event.field(owner),
            Self::Detach(began, _) => event.field(began),
            Self::Start | Self::Progress | Self::RequestCancel | Self::Cancel => &mut event,
        }
        .finish()
    }
}

impl JobEvent {
    /// The event in a word, for logs and errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Progress => "progress",
            Self::Ask(..) => "ask",
            Self::Answer(..) => "answer",
            Self::GiveUp(_) => "give_up",
            Self::RequestCancel => "request_cancel",
            Self::Complete(_) => "complete",
            Self::Fail(_) => "fail",
            Self::Cancel => "cancel",
            Self::Interrupt(_) => "interrupt",
            Self::Requeue(_) => "requeue",
            Self::Detach(..) => "detach",
            Self::Claim(..) => "claim",
            Self::Adopt(_) => "adopt",
        }
    }

    /// Returns whether a job has ended after this event. `Interrupt` may end it or not: the record resolves it.
    pub const fn ends_job(&self) -> bool {
        matches!(self, Self::Complete(_) | Self::Fail(_) | Self::Cancel)
    }
}

/// A change to one job: the event, its time and originator, and the progress that the work had made by then.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The event.
    pub event: JobEvent,
    /// The time of the event.
    pub at: Timestamp,
    /// The originator of the change.
    pub actor: Actor,
    /// The progress that the work had made, where the change carries it.
    pub progress: Option<Progress>,
    /// The owner that the job must have; the change is refused where another process has claimed the job meanwhile.
    pub owned_by: Option<Option<OwnerId>>,
    /// The claim that the job must be under; the change is refused where it was claimed anew meanwhile.
    pub claimed_by: Option<ClaimToken>,
    /// The place in a queue that the job takes, where it waits from now on. A change after which it does not wait
    /// closes the place that it had.
    pub dispatch: Option<Dispatch>,
    /// Of an end: where the result is kept, if not in the event.
    pub result_location: ResultLocation,
    /// The state that the end fills. The store writes it together with the end.
    pub state: Option<Arc<HydratedState>>,
    /// Of an end: for how long the work ran, where its process measured that.
    pub ran: Option<Duration>,
}

impl Change {
    /// A change made by the job's owner, without progress.
    pub const fn new(event: JobEvent, at: Timestamp) -> Self {
        Self {
            event,
            at,
            actor: Actor::Owner,
            progress: None,
            owned_by: None,
            claimed_by: None,
            dispatch: None,
            result_location: ResultLocation::InRecord,
            state: None,
            ran: None,
        }
    }

    /// The same change, made by another originator than the job's owner.
    #[must_use]
    pub fn by(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }

    /// Adds the progress that the work had made.
    #[must_use]
    pub fn with_progress(mut self, progress: Option<Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Refuses the change where the job has another owner than this one by then.
    #[must_use]
    pub const fn owned_by(mut self, owner: Option<OwnerId>) -> Self {
        self.owned_by = Some(owner);
        self
    }

    /// Refuses the change where the job is not under this claim by then.
    #[must_use]
    pub const fn claimed_by(mut self, claim: ClaimToken) -> Self {
        self.claimed_by = Some(claim);
        self
    }

    /// Gives the job this place in a queue.
    #[must_use]
    pub fn dispatched(mut self, dispatch: Dispatch) -> Self {
        self.dispatch = Some(dispatch);
        self
    }
}

/// An event that cannot happen to a job in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {status} cannot {event}")]
pub struct IllegalTransition {
    /// The status that the job was found in.
    pub status: JobStatus,
    /// The event that was refused.
    pub event: &'static str,
}

/// The reason why a record refused a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The event cannot happen to a job in this state.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The change was meant for a run of another owner, or under another claim.
    #[error("the job belongs to another owner by now")]
    NotOwner,
}

impl JobState {
    /// The state after `event` at `at`.
    ///
    /// # Errors
    /// [`IllegalTransition`] where the event cannot happen in this state; in a terminal one, none can.
    pub fn apply(self, event: JobEvent, at: Timestamp) -> Result<Self, IllegalTransition> {
        let refused = IllegalTransition { status: self.status(), event: event.name() };
        match (self, event) {
            (Self::Pending { .. }, JobEvent::Start) => Ok(Self::Running { started_at: at }),
            (state @ Self::Pending { .. }, JobEvent::RequestCancel) => Ok(state),
            (Self::Pending { .. }, JobEvent::Claim(..)) => Ok(Self::STARTING),
            (Self::Pending { .. }, JobEvent::Detach(Some(started_at), _)) => {
                Ok(Self::Running { started_at })
            }
            (state @ Self::Pending { .. }, JobEvent::Detach(None, _)) => Ok(state),
            (
                Self::Pending { .. } | Self::Running { .. } | Self::InputRequired { .. },
                JobEvent::Requeue(reason),
            ) => Ok(Self::Pending { reason }),
            (Self::Pending { .. }, JobEvent::Fail(failure) | JobEvent::Interrupt(failure)) => {
                Ok(Self::Failed { started_at: None, completed_at: at, failure })
            }
            (Self::Pending { .. }, JobEvent::Cancel) => {
                Ok(Self::Cancelled { started_at: None, completed_at: at })
            }

            (
                Self::Running { started_at } | Self::InputRequired { started_at },
                JobEvent::Ask(..),
            ) => Ok(Self::InputRequired { started_at }),
            (Self::InputRequired { started_at }, JobEvent::Answer(..) | JobEvent::GiveUp(_)) => {
                Ok(Self::Running { started_at })
            }
            // A question of an earlier run may be answered before this run asks it again.
            (state @ (Self::Pending { .. } | Self::Running { .. }), JobEvent::Answer(..)) => {
                Ok(state)
            }

            (
                state @ (Self::Running { .. } | Self::InputRequired { .. }),
                JobEvent::Progress | JobEvent::RequestCancel | JobEvent::Adopt(_),
            ) => Ok(state),
            (
                Self::Running { started_at } | Self::InputRequired { started_at },
                JobEvent::Complete(output),
            ) => Ok(Self::Completed { started_at, completed_at: at, output }),
            (
                Self::Running { started_at } | Self::InputRequired { started_at },
                JobEvent::Fail(failure) | JobEvent::Interrupt(failure),
            ) => Ok(Self::Failed { started_at: Some(started_at), completed_at: at, failure }),
            (
                Self::Running { started_at } | Self::InputRequired { started_at },
                JobEvent::Cancel,
            ) => Ok(Self::Cancelled { started_at: Some(started_at), completed_at: at }),

            (
                Self::Pending { .. },
                JobEvent::Progress
                | JobEvent::Ask(..)
                | JobEvent::GiveUp(_)
                | JobEvent::Complete(_)
                | JobEvent::Adopt(_),
            )
            | (
                Self::Running { .. },
                JobEvent::Start | JobEvent::GiveUp(_) | JobEvent::Claim(..) | JobEvent::Detach(..),
            )
            | (
                Self::InputRequired { .. },
                JobEvent::Start | JobEvent::Claim(..) | JobEvent::Detach(..),
            )
            | (Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled { .. }, _) => {
                Err(refused)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn ask() -> JobEvent {
        let (asked, expires) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        JobEvent::Ask("name".into(), Box::new(Question::new(Value::Null, asked, expires)))
    }

    fn events() -> Vec<JobEvent> {
        vec![
            JobEvent::Start,
            JobEvent::Progress,
            ask(),
            JobEvent::Answer("name".into(), Value::Null),
            JobEvent::GiveUp("name".into()),
            JobEvent::RequestCancel,
            JobEvent::Complete(JobOutput::new(1)),
            JobEvent::Fail(JobFailure::error("no")),
            JobEvent::Cancel,
            JobEvent::Interrupt(JobFailure::error("no")),
            JobEvent::Requeue(PendingReason::WaitingForServer),
            JobEvent::Detach(None, BTreeMap::new()),
            JobEvent::Claim(OwnerId::new(), ClaimToken::new()),
            JobEvent::Adopt(OwnerId::new()),
        ]
    }

    fn states(began: Timestamp, ended: Timestamp) -> Vec<JobState> {
        vec![
            JobState::STARTING,
            JobState::Running { started_at: began },
            JobState::InputRequired { started_at: began },
            JobState::Completed {
                started_at: began,
                completed_at: ended,
                output: JobOutput::new(1),
            },
            JobState::Failed {
                started_at: None,
                completed_at: ended,
                failure: JobFailure::error("no"),
            },
            JobState::Cancelled { started_at: Some(began), completed_at: ended },
        ]
    }

    /// The whole table, as a promise: a change to it is a change of the life of jobs.
    #[test]
    fn every_event_in_every_state_does_what_the_table_says() {
        let at = Timestamp::UNIX_EPOCH;
        let mut table = String::new();
        for state in states(at, at) {
            for event in events() {
                let (from, event_name) = (state.status(), event.name());
                let to = state.clone().apply(event, at).map(|state| state.status());
                let to = to.map_or_else(|_| "refused".to_owned(), |status| status.to_string());
                writeln!(table, "{from:<14} {event_name:<14} {to}").unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_terminal_state_refuses_every_event() {
        let at = Timestamp::UNIX_EPOCH;
        for state in states(at, at).into_iter().filter(|state| state.status().is_terminal()) {
            for event in events() {
                let (status, name) = (state.status(), event.name());
                assert_eq!(
                    state.clone().apply(event, at),
                    Err(IllegalTransition { status, event: name })
                );
            }
        }
    }

    #[test]
    fn an_end_keeps_the_start_and_takes_its_own_time() {
        let (began, ended) =
            (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + chrono::Duration::seconds(9));
        for event in [
            JobEvent::Complete(JobOutput::new(1)),
            JobEvent::Fail(JobFailure::error("x")),
            JobEvent::Cancel,
        ] {
            let state = JobState::Running { started_at: began }.apply(event, ended).unwrap();
            assert_eq!((state.started_at(), state.completed_at()), (Some(began), Some(ended)));
        }
    }
}
