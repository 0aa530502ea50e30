//! A job as a table keeps it. A live one is kept as it is, because it changes and is looked at often. An ended one never
//! changes: it is kept as its JSON text, which takes a third of the room, is what every file wants of it, and reads back in
//! a microsecond or two.

use std::sync::Arc;

use crate::job::{
    Ended, JobId, JobQuery, JobRecord, JobScope, JobStatus, MalformedRecord, Size, Timestamp,
};

/// A longer text is not kept in place of its record: reading it again at each look would cost more than the room is worth.
const LONGEST_TEXT: usize = 4096;

/// What many jobs have in common, said once for all of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) server: Box<str>,
    pub(super) tool: Box<str>,
}

/// A job, cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Kept(Arc<Entry>);

/// What is asked of ended jobs is beside their text, so that answers over all of them read none.
#[derive(Debug)]
struct Entry {
    id: JobId,
    kind: Arc<Kind>,
    status: JobStatus,
    created_at: Timestamp,
    completed_at: Option<Timestamp>,
    /// How many bytes the record of an ended job takes; it is not counted as long as it changes.
    ended_bytes: u64,
    /// What few jobs have: most keep their tool's name as label, and are not marked.
    marks: Option<Box<Marks>>,
    form: Form,
}

#[derive(Debug)]
struct Marks {
    /// Where it is not the tool's name.
    label: Option<Box<str>>,
    session: Option<Box<str>>,
    scope: Option<JobScope>,
    tagged: bool,
}

enum Form {
    Record(Arc<JobRecord>),
    /// It has no line break, and was read back when it was taken in.
    Text(Box<str>),
}

/// Results and tags may be secrets.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Record(_) => "Record",
            Self::Text(_) => "Text",
        })
    }
}

impl Kept {
    /// Takes in a record. `kind` shares what it is given with other jobs.
    pub(super) fn new(job: Arc<JobRecord>, kind: Arc<Kind>) -> Self {
        let text = job.status().is_terminal().then(|| serde_json::to_string(&*job).ok()).flatten();
        let length = text.as_ref().map_or(0, String::len);
        let form = match text.filter(|text| stands_for(text, &job)) {
            Some(text) => Form::Text(text.into_boxed_str()),
            None => Form::Record(Arc::clone(&job)),
        };
        Self::in_form(&job, kind, form, length)
    }

    /// Takes in a record as a file has it, and leaves it as it is there.
    ///
    /// # Errors
    /// [`MalformedRecord`] where the text is no record.
    pub(super) fn read(
        text: &str,
        kind: impl FnOnce(&JobRecord) -> Arc<Kind>,
    ) -> Result<Self, MalformedRecord> {
        let job = JobRecord::from_text(text)?;
        let kind = kind(&job);
        // A line break between two fields would break the journal's line in two.
        if job.status().is_terminal() && text.len() <= LONGEST_TEXT && !text.contains('\n') {
            return Ok(Self::in_form(&job, kind, Form::Text(text.into()), text.len()));
        }
        Ok(Self::new(Arc::new(job), kind))
    }

    /// The same job, its text written as this version writes it.
    pub(super) fn written_anew(&self) -> Self {
        match self.record() {
            Some(job) => Self::new(job, Arc::clone(&self.0.kind)),
            None => self.clone(),
        }
    }

    fn in_form(job: &JobRecord, kind: Arc<Kind>, form: Form, length: usize) -> Self {
        let label = (job.label != job.tool).then(|| job.label.as_str().into());
        let session = job.session.as_deref().map(Into::into);
        let (scope, tagged) = (job.scope.clone(), !job.tags.is_empty());
        let marked = label.is_some() || session.is_some() || scope.is_some() || tagged;
        Self(Arc::new(Entry {
            id: job.id,
            kind,
            status: job.status(),
            created_at: job.created_at,
            completed_at: job.state.completed_at(),
            ended_bytes: if job.status().is_terminal() { job.stored_with(length) } else { 0 },
            marks: marked.then(|| Box::new(Marks { label, session, scope, tagged })),
            form,
        }))
    }

    pub(super) fn id(&self) -> JobId {
        self.0.id
    }

    pub(super) fn server(&self) -> &str {
        &self.0.kind.server
    }

    /// Whose the job is.
    pub(super) fn scope(&self) -> Option<&JobScope> {
        self.0.marks.as_deref()?.scope.as_ref()
    }

    pub(super) fn status(&self) -> JobStatus {
        self.0.status
    }

    pub(super) fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// How many bytes the record takes, where it has ended; else none are counted.
    pub(super) fn ended_bytes(&self) -> u64 {
        self.0.ended_bytes
    }

    /// What a `Prune` asks of a job that has ended.
    pub(super) fn ended(&self) -> Option<Ended<'_>> {
        self.0.completed_at.map(|completed_at| Ended {
            id: self.0.id,
            server: &self.0.kind.server,
            scope: self.scope(),
            status: self.0.status,
            completed_at,
            size: Size::Known(self.0.ended_bytes),
        })
    }

    /// The record, if it has not ended.
    pub(super) fn live(&self) -> Option<&Arc<JobRecord>> {
        match &self.0.form {
            Form::Record(job) if !self.0.status.is_terminal() => Some(job),
            _ => None,
        }
    }

    /// The record.
    pub(super) fn record(&self) -> Option<Arc<JobRecord>> {
        match &self.0.form {
            Form::Record(job) => Some(Arc::clone(job)),
            // It was read before it was taken in, so it can be read.
            Form::Text(text) => match JobRecord::from_text(text) {
                Ok(job) => Some(Arc::new(job)),
                Err(error) => {
                    tracing::error!(job_id = %self.0.id, %error, "failed to read a record again");
                    None
                }
            },
        }
    }

    /// Whether what the job ended with lies in a file of its own.
    pub(super) fn has_result_file(&self) -> bool {
        self.0.status.is_terminal() && self.record().is_some_and(|job| job.result_kept.is_in_file())
    }

    /// Whether the job meets every condition of a query.
    pub(super) fn meets(&self, query: &JobQuery) -> bool {
        let Entry { kind, status, marks, form, .. } = &*self.0;
        // Every condition is named here, so that a new one cannot be forgotten.
        let JobQuery { server, statuses, label, tag, session, scope, limit: _ } = query;
        if let Form::Record(job) = form {
            return query.matches(job);
        }
        let marks = marks.as_deref();
        let own_label = marks.and_then(|marks| marks.label.as_deref()).unwrap_or(&kind.tool);
        let own_session = marks.and_then(|marks| marks.session.as_deref());
        server.as_deref().is_none_or(|server| server == &*kind.server)
            && (statuses.is_empty() || statuses.contains(status))
            && label.as_deref().is_none_or(|label| label == own_label)
            && session.as_deref().is_none_or(|session| own_session == Some(session))
            && scope.as_ref().is_none_or(|scope| self.scope() == Some(scope))
            && (tag.is_none()
                || marks.is_some_and(|marks| marks.tagged)
                    && self.record().is_some_and(|job| query.matches(&job)))
    }

    /// Writes the record as JSON, in one line.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match &self.0.form {
            Form::Record(job) => serde_json::to_writer(out, &**job),
            Form::Text(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
    }
}

/// Whether a text may be kept in place of the record: it is not too long, and the same when it is read back. (Times finer
/// than a millisecond, as a program may give them to its records, are not.)
fn stands_for(text: &str, job: &JobRecord) -> bool {
    text.len() <= LONGEST_TEXT && JobRecord::from_text(text).is_ok_and(|back| back == *job)
}
