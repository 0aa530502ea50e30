//! The record that a store keeps of a job: the request that made it, and the state of its run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Actor, Change, ClaimToken, Dispatch, FailureKind, IllegalTransition, JobEvent, JobId, JobKind,
    JobSpec, JobState, JobStatus, OwnerId, PendingReason, Progress, Question, Refusal,
    ResultLocation, Timestamp, questions,
};
use crate::core::clock;

/// A server that ends this many times before the work begins is given up on.
const MAX_FALSE_STARTS: u32 = 3;

/// Everything that is known about a job, and that lies on disk of it.
///
/// Serialized, it is one flat JSON object (its fields: `docs/reference/jobs-json.md`). Fields that this version does not
/// know are kept as they were read.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct JobRecord {
    /// The job's name.
    pub id: JobId,
    /// The request that made the job.
    pub spec: Arc<JobSpec>,
    /// The state of the job.
    pub state: JobState,
    /// Where the result of an ended job is kept.
    pub result_location: ResultLocation,
    /// How many versions of this record there have been; 1 when it was made, one more after each change.
    pub version: u64,
    /// The job's place among all jobs of its store in the order in which they were inserted, from 1. The store gives it, so that
    /// no clock decides which of two jobs is the newer one; 0 before that, and in records of a version that knew no such number.
    pub sequence: u64,
    /// The same for the end of the job, by the same count.
    pub end_sequence: u64,
    /// When the record changed last.
    pub updated_at: Timestamp,
    /// The originator of the last change.
    pub updated_by: Actor,
    /// For how long the last run of an ended job took, by a clock that no change of the time moves; `None` where no process
    /// measured it to its end.
    pub ran: Option<Duration>,
    /// The progress of the work, where it reported any.
    pub progress: Option<Progress>,
    /// The questions of the work, by key; dropped when the job ends.
    pub questions: BTreeMap<String, Question>,
    /// Whether a stop was requested.
    pub cancel_requested: bool,
    /// The number of this run of the work, from 1.
    pub attempt: u32,
    /// How often a process that had claimed the job ended before the work began.
    pub false_starts: u32,
    /// The process that runs the job, or is about to. A live job without an owner waits to be claimed.
    pub owner: Option<OwnerId>,
    /// The claim under which the owner has the job, where it was claimed.
    pub claim: Option<ClaimToken>,
    /// The job's place in a queue, while it waits in one.
    pub dispatch: Option<Dispatch>,
    /// Whether the record is that of a call which is no job: its caller waits, or has had its answer inline. The record is in the
    /// store for the sake of its slot, or of its key; no list shows it. Without a key it is taken back when the call is answered.
    pub call_open: bool,
    /// Fields of a later version, kept as they were read.
    pub unknown_fields: Map<String, Value>,
}

impl JobRecord {
    /// A job whose owner is about to start it.
    pub fn new(id: JobId, spec: JobSpec) -> Self {
        let updated_at = spec.created_at;
        Self {
            id,
            spec: Arc::new(spec),
            state: JobState::STARTING,
            result_location: ResultLocation::InRecord,
            version: 1,
            sequence: 0,
            end_sequence: 0,
            updated_at,
            updated_by: Actor::Owner,
            ran: None,
            progress: None,
            questions: BTreeMap::new(),
            cancel_requested: false,
            attempt: 1,
            false_starts: 0,
            owner: None,
            claim: None,
            dispatch: None,
            call_open: false,
            unknown_fields: Map::new(),
        }
    }

    /// The same record as it was before a store gave it numbers.
    pub(crate) fn unnumbered(&self) -> Self {
        Self { sequence: 0, end_sequence: 0, ..self.clone() }
    }

    /// The request that made the job, to be filled in while the record is put together.
    pub fn spec_mut(&mut self) -> &mut JobSpec {
        Arc::make_mut(&mut self.spec)
    }

    /// The name of the job's state.
    pub const fn status(&self) -> JobStatus {
        self.state.status()
    }

    /// Returns whether the work may run once more after the end of the process that has it.
    pub fn may_rerun(&self) -> bool {
        self.spec.max_reruns.is_some_and(|max_reruns| match self.status() {
            JobStatus::Pending => self.false_starts < MAX_FALSE_STARTS,
            _ => self.attempt <= max_reruns,
        })
    }

    /// Returns whether the job waits for a server that can run its work again.
    pub fn waits_for_server(&self) -> bool {
        self.state == JobState::Pending { reason: PendingReason::WaitingForServer }
    }

    /// Returns whether the process that has the job has put it into the queue for a slot. One without a limit waits for no slot.
    pub fn waits_for_slot(&self) -> bool {
        self.owner.is_some()
            && (self.spec.explicit || self.spec.max_concurrent.is_some())
            && self.state == JobState::Pending { reason: PendingReason::Queued }
    }

    /// Returns whether the job takes a slot: its work is under way, or is about to begin.
    pub fn holds_slot(&self) -> bool {
        match &self.state {
            JobState::Pending { reason } => {
                self.owner.is_some() && *reason == PendingReason::Starting
            }
            JobState::Running { .. } | JobState::InputRequired { .. } => true,
            JobState::Completed { .. } | JobState::Failed { .. } | JobState::Cancelled { .. } => {
                false
            }
        }
    }

    /// Returns whether the job has its key at this time, so that the same key starts no second run: it has not ended, or its answer is
    /// kept. An interrupted one whose work may run again, or never began, leaves its key to the next call.
    pub fn holds_key(&self, now: Timestamp) -> bool {
        let Some(key) = &self.spec.idempotency else { return false };
        match &self.state {
            JobState::Failed { started_at, failure, .. }
                if failure.kind == FailureKind::Interrupted =>
            {
                let never_began = !self.call_open && started_at.is_none();
                self.spec.max_reruns.is_none() && !never_began && now < key.until
            }
            state => !state.status().is_terminal() || now < key.until,
        }
    }

    /// Returns whether nothing is left of the record when its process has died: it is that of an open call whose client knows of no
    /// job, and which has no key, or never began.
    pub(crate) fn is_lost_with_process(&self) -> bool {
        let never_began = self.waits_for_slot();
        let has_no_key = self.spec.idempotency.is_none();
        self.call_open && !self.status().is_terminal() && (has_no_key || never_began)
    }

    /// Returns whether a process may claim the job: it waits, and has no owner.
    pub fn is_claimable(&self) -> bool {
        self.owner.is_none()
            && matches!(
                self.state,
                JobState::Pending {
                    reason: PendingReason::WaitingForServer
                        | PendingReason::Queued
                        | PendingReason::RetryAt(_)
                        | PendingReason::ScheduledAt(_)
                }
            )
    }

    /// Returns whether the time has come that a waiting job waits for.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let time_has_come = match self.state {
            JobState::Pending {
                reason: PendingReason::RetryAt(time) | PendingReason::ScheduledAt(time),
            } => time <= now,
            _ => true,
        };
        time_has_come && self.dispatch.as_ref().is_none_or(|dispatch| dispatch.is_due(now))
    }

    /// The record after `change`.
    ///
    /// # Errors
    /// [`Refusal::NotOwner`] where the change was meant for another owner's run, and [`Refusal::Illegal`] where it cannot
    /// happen to a job in this state. Nothing can happen to a job that has ended: late progress and late ends are refused
    /// alike.
    pub fn apply(&self, change: Change) -> Result<Self, Refusal> {
        let Change {
            event,
            at,
            actor,
            progress,
            owned_by,
            claimed_by,
            dispatch,
            result_location,
            state: _,
            ran,
        } = change;
        let illegal = IllegalTransition { status: self.status(), event: event.name() };
        if owned_by.is_some_and(|owner| owner != self.owner)
            || claimed_by.is_some_and(|claim| self.claim != Some(claim))
        {
            // A job that has ended refuses every change for that reason, whichever owner it had.
            return Err(match self.status().is_terminal() {
                true => illegal.into(),
                false => Refusal::NotOwner,
            });
        }
        let event = self.resolve_interrupt(event);
        let mut next = self.clone();
        if progress.is_some() {
            next.progress = progress;
        }
        match &event {
            JobEvent::RequestCancel => next.cancel_requested = true,
            // One process gets the job: the second that comes finds an owner. An owner begins its own queued job.
            JobEvent::Claim(owner, _)
                if !(self.is_claimable()
                    || self.waits_for_slot() && self.owner == Some(*owner)) =>
            {
                return Err(illegal.into());
            }
            JobEvent::Detach(..) if !self.call_open => return Err(illegal.into()),
            // The record of an open call does not say that its work has begun.
            JobEvent::Complete(_) if self.call_open && self.status() == JobStatus::Pending => {
                next.state = next
                    .state
                    .apply(JobEvent::Start, clock::before(at, ran.unwrap_or_default()))?;
            }
            JobEvent::Detach(..) => next.call_open = false,
            JobEvent::Claim(owner, claim) => {
                (next.owner, next.claim) = (Some(*owner), Some(*claim));
            }
            JobEvent::Adopt(owner) if self.spec.kind == JobKind::Program => {
                next.owner = Some(*owner);
            }
            JobEvent::Adopt(_) => return Err(illegal.into()),
            JobEvent::Requeue(reason) if !self.may_wait_for(reason) => return Err(illegal.into()),
            JobEvent::Requeue(reason) => {
                (next.owner, next.claim, next.progress) = (None, None, None);
                if self.status() != JobStatus::Pending {
                    next.attempt = self.attempt.saturating_add(1);
                } else if *reason == PendingReason::WaitingForServer && self.holds_slot() {
                    // Work that never began has not been attempted; what waited for its turn was not about to begin.
                    next.false_starts = self.false_starts.saturating_add(1);
                }
            }
            JobEvent::Ask(..) | JobEvent::Answer(..) | JobEvent::GiveUp(_) => {
                next.questions =
                    questions::after(&self.questions, &event, self.attempt).ok_or(illegal)?;
            }
            _ => {}
        }
        let asked = match &event {
            JobEvent::Detach(_, questions) => Some(questions.clone()),
            _ => None,
        };
        next.state = next.state.apply(event, at)?;
        if let Some(asked) = asked {
            next = next.with_questions(asked);
        }
        (next.updated_at, next.updated_by) = (at, actor);
        next.version = self.version.saturating_add(1);
        let awaits = questions::awaited(&next.questions, next.attempt);
        next.state = match (&self.state, next.state) {
            // One of several questions was answered.
            (JobState::InputRequired { .. }, JobState::Running { started_at }) if awaits => {
                JobState::InputRequired { started_at }
            }
            // The question that was asked has its answer already.
            (JobState::Running { .. }, JobState::InputRequired { started_at }) if !awaits => {
                JobState::Running { started_at }
            }
            (_, state) => state,
        };
        next.dispatch = match dispatch.or(next.dispatch.take()) {
            // A job that is being started, runs or has ended has left its queue.
            Some(dispatch) if next.owner.is_none() && next.status() == JobStatus::Pending => {
                Some(dispatch)
            }
            _ => None,
        };
        if next.status().is_terminal() {
            next.end(result_location);
            next.ran = ran;
        }
        Ok(next)
    }

    /// Drops everything that only a live job needs.
    fn end(&mut self, result_location: ResultLocation) {
        if self.spec.arguments.is_some() {
            self.spec_mut().arguments = None;
        }
        self.questions.clear();
        // Its answer is kept for the key alone.
        self.call_open &= self.spec.idempotency.is_some();
        self.false_starts = 0;
        self.claim = None;
        self.result_location = result_location;
    }

    /// Returns whether the job may go back to `pending` for this reason.
    fn may_wait_for(&self, reason: &PendingReason) -> bool {
        match reason {
            PendingReason::WaitingForServer => self.spec.max_reruns.is_some(),
            PendingReason::RetryAt(_) => self.spec.retry.is_some(),
            _ => self.status() == JobStatus::Pending,
        }
    }

    /// The event that an `Interrupt` means to this job. A request to stop a job that no process runs ends it at once.
    fn resolve_interrupt(&self, event: JobEvent) -> JobEvent {
        match event {
            JobEvent::RequestCancel if self.is_claimable() => JobEvent::Cancel,
            JobEvent::Interrupt(_) if self.cancel_requested => JobEvent::Cancel,
            // A call is made again by its caller alone.
            JobEvent::Interrupt(_) if self.may_rerun() && !self.call_open => {
                JobEvent::Requeue(PendingReason::WaitingForServer)
            }
            JobEvent::Interrupt(mut failure) => {
                // A pending job has not begun the run that it was claimed for.
                let is_pending = self.status() == JobStatus::Pending;
                if is_pending && self.false_starts > 0 {
                    let times = self.false_starts.saturating_add(1);
                    let given_up = format!("; that happened {times} times, so the job is given up");
                    failure.message.push_str(&given_up);
                }
                match self.attempt.saturating_sub(u32::from(is_pending)) {
                    _ if self.attempt <= 1 => {}
                    1 => failure.message.push_str("; it has run once"),
                    runs => failure.message.push_str(&format!("; it has run {runs} times")),
                }
                JobEvent::Interrupt(failure)
            }
            event => event,
        }
    }

    /// The same record, with questions that the work asked before it became a job.
    pub(crate) fn with_questions(mut self, questions: BTreeMap<String, Question>) -> Self {
        if let JobState::Running { started_at } = self.state
            && questions::awaited(&questions, self.attempt)
        {
            self.state = JobState::InputRequired { started_at };
        }
        self.questions = questions::without_closed_requests(questions);
        self
    }

    /// The questions that the job waits for, by key: those that may be answered now. There are none unless the job
    /// is [`InputRequired`](JobStatus::InputRequired) and no stop was requested.
    pub fn open_questions(&self) -> impl Iterator<Item = (&str, &Question)> {
        let attempt = self.attempt;
        self.questions
            .iter()
            .filter(move |(_, question)| question.is_open() && question.attempt == attempt)
            .filter(|_| self.status() == JobStatus::InputRequired && !self.cancel_requested)
            .map(|(key, question)| (key.as_str(), question))
    }

    /// For how long the work ran; where no process measured that, and for a live job by `now`, by the wall clock.
    ///
    /// `None` where that is not known: the work has not begun, its process died, so that the record has the time at which that
    /// was noticed, or the clock has gone back behind its start.
    pub fn elapsed(&self, now: Timestamp) -> Option<Duration> {
        if self.ran.is_some() {
            return self.ran;
        }
        let started_at = self.state.started_at()?;
        let end = match self.state.completed_at() {
            Some(_) if self.updated_by == Actor::System => return None,
            Some(completed_at) => completed_at,
            None => now,
        };
        (end - started_at).to_std().ok()
    }
}

/// Arguments, results and tags may be secrets: they do not go into logs.
impl fmt::Debug for JobRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRecord")
            .field("id", &self.id)
            .field("label", &self.spec.label)
            .field("tool", &self.spec.tool)
            .field("server", &self.spec.server)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
