//! The one function that moves a job between states. Every store applies every change through it, under its
//! own lock, so that each write is guarded by the state it finds.
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
//! A job with several open questions stays `input_required` until the last of them is answered or given up: the record
//! sees to that, which has them. `Interrupt` is decided by the record, which knows whether the work may run again: it is a `Requeue` there, a `Cancel`
//! where somebody wanted the job stopped anyway, else a `Fail`.

use std::fmt;

use serde_json::Value;

use super::{
    JobFailure, JobOutput, JobState, JobStatus, OwnerId, Progress, Question, ResultKept, Timestamp,
};

/// What happened to a job.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum JobEvent {
    /// Its work begins.
    Start,
    /// Its work got on. Says nothing by itself: the figures are in [`Change::progress`].
    Progress,
    /// Its work asked a question, under this key.
    Ask(String, Box<Question>),
    /// The question of this key was answered.
    Answer(String, Value),
    /// Its work waits for an answer to the question of this key no more.
    GiveUp(String),
    /// Somebody wants it stopped. The state stays until the work has really stopped.
    RequestCancel,
    /// Its work ended with a result.
    Complete(JobOutput),
    /// Its work ended without one.
    Fail(JobFailure),
    /// Its work has stopped because somebody asked for it.
    Cancel,
    /// The process that had its work in hand ends, or has ended: the work waits to run again where it may, and has failed
    /// for this reason otherwise.
    Interrupt(JobFailure),
    /// Its work is to run again, in a process that takes it on.
    Requeue,
    /// A process takes on work that waits to run again.
    Claim(OwnerId),
}

/// Answers may be secrets: they do not go into logs.
impl fmt::Debug for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_tuple(self.name());
        match self {
            Self::Ask(key, _) | Self::Answer(key, _) | Self::GiveUp(key) => event.field(key),
            Self::Complete(output) => event.field(output),
            Self::Fail(failure) | Self::Interrupt(failure) => event.field(failure),
            Self::Claim(owner) => event.field(owner),
            Self::Start | Self::Progress | Self::RequestCancel | Self::Cancel | Self::Requeue => {
                &mut event
            }
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
            Self::Requeue => "requeue",
            Self::Claim(_) => "claim",
        }
    }
}

/// A change to one job: what happened, when, and how far the work had come by then.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// What happened.
    pub event: JobEvent,
    /// When.
    pub at: Timestamp,
    /// How far the work had come, where that is news.
    pub progress: Option<Progress>,
    /// The owner that the job has to have, where somebody else may have taken it on meanwhile: a change that was meant for
    /// another run is refused.
    pub owned_by: Option<Option<OwnerId>>,
    /// Of an end: where what the job ends with is kept, where the event does not say it.
    pub result_kept: ResultKept,
}

impl Change {
    /// A change without news about progress.
    pub const fn new(event: JobEvent, at: Timestamp) -> Self {
        Self { event, at, progress: None, owned_by: None, result_kept: ResultKept::InRecord }
    }

    /// Adds how far the work had come.
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
}

/// An event that cannot happen to a job in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {status} cannot {event}")]
pub struct IllegalTransition {
    /// The status the job was found in.
    pub status: JobStatus,
    /// The event that was refused.
    pub event: &'static str,
}

impl JobState {
    /// The state after `event` at `at`.
    ///
    /// # Errors
    /// [`IllegalTransition`] where the event cannot happen in this state; in a terminal one, none can.
    pub fn apply(self, event: JobEvent, at: Timestamp) -> Result<Self, IllegalTransition> {
        let refused = IllegalTransition { status: self.status(), event: event.name() };
        match (self, event) {
            (Self::Pending, JobEvent::Start) => Ok(Self::Running { started_at: at }),
            (Self::Pending, JobEvent::RequestCancel | JobEvent::Requeue | JobEvent::Claim(_)) => {
                Ok(Self::Pending)
            }
            (Self::Running { .. } | Self::InputRequired { .. }, JobEvent::Requeue) => {
                Ok(Self::Pending)
            }
            (Self::Pending, JobEvent::Fail(failure) | JobEvent::Interrupt(failure)) => {
                Ok(Self::Failed { started_at: None, completed_at: at, failure })
            }
            (Self::Pending, JobEvent::Cancel) => {
                Ok(Self::Cancelled { started_at: None, completed_at: at })
            }

            (
                Self::Running { started_at } | Self::InputRequired { started_at },
                JobEvent::Ask(..),
            ) => Ok(Self::InputRequired { started_at }),
            (Self::InputRequired { started_at }, JobEvent::Answer(..) | JobEvent::GiveUp(_)) => {
                Ok(Self::Running { started_at })
            }
            // What an earlier run asked may be answered before this one asks it again.
            (state @ (Self::Pending | Self::Running { .. }), JobEvent::Answer(..)) => Ok(state),

            (
                state @ (Self::Running { .. } | Self::InputRequired { .. }),
                JobEvent::Progress | JobEvent::RequestCancel,
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
                Self::Pending,
                JobEvent::Progress
                | JobEvent::Ask(..)
                | JobEvent::GiveUp(_)
                | JobEvent::Complete(_),
            )
            | (Self::Running { .. }, JobEvent::Start | JobEvent::GiveUp(_) | JobEvent::Claim(_))
            | (Self::InputRequired { .. }, JobEvent::Start | JobEvent::Claim(_))
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
            JobEvent::Requeue,
            JobEvent::Claim(OwnerId::new()),
        ]
    }

    fn states(began: Timestamp, ended: Timestamp) -> Vec<JobState> {
        vec![
            JobState::Pending,
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
