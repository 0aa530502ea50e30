//! Why a store could not do what it was asked.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::core::job::{IllegalTransition, JobId, Refusal};
use crate::core::observe;

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A job of this id is there already.
    #[error("there is a job {0} already")]
    Duplicate(JobId),
    /// Another job has this idempotency key, and keeps it.
    #[error("job {0} has this idempotency key")]
    KeyTaken(JobId),
    /// The store keeps as many idempotency keys as it may.
    #[error(
        "the job store keeps no more idempotency keys at the moment: it has {keys}, whose answers take {bytes} bytes \
         (JOB_MAX_KEYS, JOB_MAX_KEY_BYTES)"
    )]
    KeysFull {
        /// How many keys it keeps.
        keys: usize,
        /// How many bytes the answers take that are kept for them.
        bytes: u64,
    },
    /// There is no such job; it never was, or it was pruned.
    #[error("there is no job {0}")]
    NotFound(JobId),
    /// The job's state does not allow the change.
    #[error("job {id}: {source}")]
    Illegal {
        /// The job.
        id: JobId,
        /// The refused transition.
        source: IllegalTransition,
    },
    /// Another process owns the job by now, or it is under another claim: the change was meant for an earlier run.
    #[error("job {0} belongs to another owner by now")]
    NotOwner(JobId),
    /// This process counts as dead: its name has been taken away from it, and other processes go on with its jobs. A runner
    /// stops all its bodies and writes nothing more.
    #[error("this process counts as dead to the job store, and its jobs belong to others")]
    OwnerLost,
    /// A step failed that may succeed another time.
    #[error(
        "failed to {action} {place}: {source}{}",
        if *in_doubt { "; whether the change stands is not known yet" } else { "" }
    )]
    Unavailable {
        /// The step, as a verb.
        action: &'static str,
        /// The file, folder or server that failed.
        place: String,
        /// The failure.
        source: Arc<dyn Error + Send + Sync>,
        /// Whether the refused change may stand all the same. A caller learns that by reading, once the store works again.
        in_doubt: bool,
    },
    /// The store does not know what of a failed write is on disk, and refuses changes until it has recovered, by itself.
    #[error("the job store has stopped after a failed write, and is trying to recover: {reason}")]
    Stopped {
        /// The failure.
        reason: Arc<Self>,
    },
    /// Something was written by a later version of this library, and is left alone.
    #[error(
        "{place} was written by a later version of smart-async (format {found}, this one knows up to {known}); \
         update this server, or name another folder with JOB_MCP_HOME"
    )]
    LaterVersion {
        /// The file or server.
        place: String,
        /// The version it says.
        found: u64,
        /// The newest version that is known here.
        known: u64,
    },
    /// The store cannot be used, and will not be without a person's help.
    #[error("{place} cannot be used: {reason}")]
    Unusable {
        /// The folder, file or server.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The store has been closed.
    #[error("the job store is closed")]
    Closed,
}

impl StoreError {
    /// The error for a step on a file that the system refused.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        let place = path.as_ref().display().to_string();
        Self::Unavailable { action, place, source: Arc::new(source), in_doubt: false }
    }

    /// The error for a change that the record of this job refused.
    pub(crate) const fn refused(id: JobId, refusal: Refusal) -> Self {
        match refusal {
            Refusal::Illegal(source) => Self::Illegal { id, source },
            Refusal::NotOwner => Self::NotOwner(id),
        }
    }

    /// The same failure, of a change that may stand all the same.
    pub(crate) fn but_in_doubt(mut self) -> Self {
        if let Self::Unavailable { in_doubt, .. } = &mut self {
            *in_doubt = true;
        }
        self
    }

    /// Returns whether the same request may succeed another time.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Stopped { .. }
                | Self::LaterVersion { .. }
                | Self::Unusable { .. }
        )
    }

    /// Returns whether the refused change may stand all the same. Once the store works again, the caller learns that by
    /// reading.
    pub const fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Unavailable { in_doubt: true, .. })
    }

    /// The failure as a client reads it: its kind, the error of the system, and what to do. A place of the server is no business of
    /// a client: the whole error goes to the log.
    pub(crate) fn answer_text(&self) -> String {
        let text = self.client_text();
        if self.is_transient() {
            observe::error!(error = %self, "a client was told: {text}");
        }
        text
    }

    /// The text of [`answer_text`](Self::answer_text), without a line in the log.
    pub(crate) fn client_text(&self) -> String {
        match self {
            Self::Unavailable { in_doubt, .. } => {
                let advice = match in_doubt {
                    true => {
                        "whether the change stands is not known yet, so look before you try again"
                    }
                    false => "try again later",
                };
                format!("{}; {advice}", self.kind_for_client())
            }
            Self::Stopped { reason } => {
                let reason = reason.kind_for_client();
                format!(
                    "the job store has stopped and is trying to recover ({reason}); try again in a moment"
                )
            }
            _ => self.kind_for_client(),
        }
    }

    fn kind_for_client(&self) -> String {
        match self {
            Self::Unavailable { action, source, .. } => {
                let done = match *action {
                    "read" => "read",
                    "write" | "append to" | "cut" | "sync" | "replace" | "put in place" => "written",
                    _ => "used",
                };
                let reason = error_of_system(&**source).map(|error| format!(": {error}"));
                format!("the job store could not be {done}{}", reason.unwrap_or_default())
            }
            Self::Stopped { reason } => reason.kind_for_client(),
            Self::LaterVersion { found, known, .. } => format!(
                "the job store was written by a later version of smart-async (format {found}, this one knows up to {known}); \
                 the operator has to update this server"
            ),
            Self::Unusable { .. } => {
                "the job store cannot be used, and the operator of this server has to mend it; the log says why".to_owned()
            }
            Self::Duplicate(_)
            | Self::KeyTaken(_)
            | Self::KeysFull { .. }
            | Self::NotFound(_)
            | Self::Illegal { .. }
            | Self::NotOwner(_)
            | Self::OwnerLost
            | Self::Closed => self.to_string(),
        }
    }
}

/// The error of the system that a failure comes from, in the system's words. Words that a program gave it may name places.
fn error_of_system(error: &(dyn Error + 'static)) -> Option<String> {
    let (mut cause, mut kind) = (Some(error), None);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if let Some(code) = error.raw_os_error() {
                return Some(io::Error::from_raw_os_error(code).to_string());
            }
            kind = kind.or(Some(error.kind()));
        }
        cause = error.source();
    }
    kind.filter(|kind| *kind != io::ErrorKind::Other).map(|kind| kind.to_string())
}
