//! A job as a table keeps it. A record is large, as it has room for whatever a job may have, and most have little of that. So
//! a live one of the usual kind, which changes and is looked at often, is kept in a small form (`small`), of which its record
//! is made at each look, in a fraction of a microsecond. An ended one never changes: it is kept as its JSON text, which is
//! what every file wants of it, and reads back in a microsecond or two.

use std::sync::Arc;

use crate::core::job::{
    Ended, JobId, JobQuery, JobRecord, JobScope, JobStatus, JobSummary, Listed, MalformedRecord,
    Size, Timestamp,
};
use crate::core::observe;

/// A longer text is not kept in place of its record: reading it again at each look would cost more than the room is worth.
const LONGEST_TEXT: usize = 4096;

/// What many jobs have in common, said once for all of them.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::core::store) struct Kind {
    pub(in crate::core::store) server: Box<str>,
    pub(in crate::core::store) tool: Box<str>,
}

/// A job, cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::core::store) struct Kept(Arc<Entry>);

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
    shown: Shown,
    /// What few jobs have: most keep their tool's name as label, and are not marked.
    marks: Option<Box<Marks>>,
    form: Form,
}

/// What a list shows of a job that is known by nothing else here. It takes no room of its own: it fits into a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The job was updated last when it ended, and no percentage is known.
    Ended,
    /// The same, and the percentage is so many tenths, as progress that was reported has it.
    EndedAt(u16),
    /// Its record has to be read.
    InRecord,
}

impl Shown {
    fn of(job: &JobRecord) -> Self {
        if job.state.completed_at() != Some(job.updated_at) {
            return Self::InRecord;
        }
        match job.progress.as_ref().and_then(|progress| progress.percentage) {
            None => Self::Ended,
            Some(percentage) => {
                // What is out of bounds is cut, and so is another number than it was.
                let tenths = (percentage * 10.0).round() as u16;
                if in_tenths(tenths).to_bits() == percentage.to_bits() {
                    Self::EndedAt(tenths)
                } else {
                    Self::InRecord
                }
            }
        }
    }
}

/// As [`Progress`](crate::core::job::Progress) rounds it, to the last bit.
fn in_tenths(tenths: u16) -> f64 {
    f64::from(tenths) / 10.0
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
    Held(Arc<JobRecord>),
    /// It has no line break, and was read back when it was taken in.
    Text(Box<str>),
}

/// Results and tags may be secrets.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Held(_) => "Held",
            Self::Text(_) => "Text",
        })
    }
}

impl Kept {
    /// Takes in a record. `kind` shares what it is given with other jobs.
    pub(in crate::core::store) fn new(job: Arc<JobRecord>, kind: Arc<Kind>) -> Self {
        let text = job.status().is_terminal().then(|| serde_json::to_string(&*job).ok()).flatten();
        let length = text.as_ref().map_or(0, String::len);
        let form = match text.filter(|text| stands_for(text, &job)) {
            Some(text) => Form::Text(text.into_boxed_str()),
            None => Form::Held(Arc::clone(&job)),
        };
        Self::in_form(&job, kind, form, length)
    }

    /// Takes in a record as a file has it, and leaves it as it is there.
    ///
    /// # Errors
    /// [`MalformedRecord`] where the text is no record.
    pub(in crate::core::store) fn read(
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
    pub(in crate::core::store) fn written_anew(&self) -> Self {
        match self.record() {
            Some(job) => Self::new(job, Arc::clone(&self.0.kind)),
            None => self.clone(),
        }
    }

    fn in_form(job: &JobRecord, kind: Arc<Kind>, form: Form, length: usize) -> Self {
        let label = (job.spec.label != job.spec.tool).then(|| job.spec.label.as_str().into());
        let session = job.spec.session.as_deref().map(Into::into);
        let (scope, tagged) = (job.spec.scope.clone(), !job.spec.tags.is_empty());
        let marked = label.is_some() || session.is_some() || scope.is_some() || tagged;
        Self(Arc::new(Entry {
            id: job.id,
            kind,
            status: job.status(),
            created_at: job.spec.created_at,
            completed_at: job.state.completed_at(),
            ended_bytes: if job.status().is_terminal() { job.stored_with(length) } else { 0 },
            shown: Shown::of(job),
            marks: marked.then(|| Box::new(Marks { label, session, scope, tagged })),
            form,
        }))
    }

    pub(in crate::core::store) fn id(&self) -> JobId {
        self.0.id
    }

    pub(in crate::core::store) fn server(&self) -> &str {
        &self.0.kind.server
    }

    /// Whose the job is.
    pub(in crate::core::store) fn scope(&self) -> Option<&JobScope> {
        self.0.marks.as_deref()?.scope.as_ref()
    }

    pub(in crate::core::store) fn status(&self) -> JobStatus {
        self.0.status
    }

    pub(in crate::core::store) fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// How many bytes the record takes, where it has ended; else none are counted.
    pub(in crate::core::store) fn ended_bytes(&self) -> u64 {
        self.0.ended_bytes
    }

    /// What a `Prune` asks of a job that has ended.
    pub(in crate::core::store) fn ended(&self) -> Option<Ended<'_>> {
        self.0.completed_at.map(|completed_at| Ended {
            id: self.0.id,
            server: &self.0.kind.server,
            scope: self.scope(),
            status: self.0.status,
            completed_at,
            size: Size::Known(self.0.ended_bytes),
        })
    }

    /// Where the job stands, if it has not ended, and whether somebody wants it stopped.
    pub(in crate::core::store) fn live(&self) -> Option<(JobStatus, bool)> {
        let cancel_requested = match &self.0.form {
            Form::Text(_) => return None,
            Form::Held(job) => job.cancel_requested,
        };
        (!self.0.status.is_terminal()).then_some((self.0.status, cancel_requested))
    }

    /// The record.
    pub(in crate::core::store) fn record(&self) -> Option<Arc<JobRecord>> {
        let text = match &self.0.form {
            Form::Text(text) => text,
            Form::Held(job) => return Some(Arc::clone(job)),
        };
        // It was read before it was taken in, so it can be read.
        match JobRecord::from_text(text) {
            Ok(job) => Some(Arc::new(job)),
            Err(error) => {
                observe::error!(job_id = %self.0.id, %error, "failed to read a record again");
                None
            }
        }
    }

    /// What a list shows of the job.
    pub(in crate::core::store) fn listed(&self) -> Option<Listed> {
        let Entry { id, kind, status, completed_at, shown, marks, form, .. } = &*self.0;
        let percentage = match (form, shown) {
            (Form::Text(_), Shown::Ended) => None,
            (Form::Text(_), Shown::EndedAt(tenths)) => Some(in_tenths(*tenths)),
            _ => return self.record().map(Listed::Record),
        };
        let label = marks.as_deref().and_then(|marks| marks.label.as_deref());
        Some(Listed::Ended(JobSummary {
            id: *id,
            tool: kind.tool.as_ref().to_owned(),
            label: label.unwrap_or(&kind.tool).to_owned(),
            status: *status,
            percentage,
            updated_at: (*completed_at)?,
        }))
    }

    /// Whether what the job ended with lies in a file of its own.
    pub(in crate::core::store) fn has_result_file(&self) -> bool {
        self.0.status.is_terminal()
            && self.record().is_some_and(|job| job.result_location.is_in_file())
    }

    /// Whether the job meets every condition of a query.
    pub(in crate::core::store) fn meets(&self, query: &JobQuery) -> bool {
        let Entry { kind, status, marks, .. } = &*self.0;
        // Every condition is named here, so that a new one cannot be forgotten.
        let JobQuery { server, statuses, label, tag, session, scope, limit: _ } = query;
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
    pub(in crate::core::store) fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match &self.0.form {
            Form::Held(job) => serde_json::to_writer(out, &**job),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::Progress;

    fn ended() -> Value {
        let moment = "2026-11-21T17:43:44.572Z";
        json!({
            "id": "8c6f2a0e-3f4b-4b7e-9d0a-2f1c5e6d7a8b", "label": "simulate", "tool": "simulate", "server": "reactor",
            "status": "completed", "created_at": moment, "started_at": moment, "updated_at": moment,
            "completed_at": moment, "result": 3
        })
    }

    fn kept(job: &Value) -> Kept {
        let kind = |job: &JobRecord| {
            Arc::new(Kind {
                server: job.spec.server.as_str().into(),
                tool: job.spec.tool.as_str().into(),
            })
        };
        Kept::read(&job.to_string(), kind).unwrap()
    }

    #[test]
    fn an_ended_job_is_listed_as_its_record_says_and_its_text_is_seldom_read() {
        let percentage =
            |percentage: Value| json!({"progress": {"current": 1, "percentage": percentage}});
        for (changed, is_read) in [
            (json!({}), false),
            (json!({"label": "the first", "status": "cancelled"}), false),
            (json!({"status": "failed", "error": "no", "tags": {"a": "b"}}), false),
            (percentage(Value::Null), false),
            (percentage(json!(0.0)), false),
            (percentage(json!(33.3)), false),
            (percentage(json!(100)), false),
            (percentage(json!(6553.5)), false),
            (percentage(json!(33.33)), true),
            (percentage(json!(-0.0)), true),
            (percentage(json!(-1)), true),
            (percentage(json!(6553.6)), true),
            (percentage(json!(1e300)), true),
            (json!({"updated_at": "2026-11-21T17:43:44.573Z"}), true),
        ] {
            let mut job = ended();
            job.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
            let kept = kept(&job);
            assert!(matches!(kept.0.form, Form::Text(_)));
            let (listed, record) = (kept.listed().unwrap(), kept.record().unwrap());
            assert_eq!(listed.record().is_some(), is_read, "{job}");
            assert_eq!(JobSummary::from(listed), JobSummary::from(&*record), "{job}");
        }
        // Each percentage that progress can have.
        for thousandths in 0..=1000 {
            let mut job = ended();
            let progress = Progress::new(f64::from(thousandths), Some(1000.0), None);
            job["progress"] = serde_json::to_value(progress).unwrap();
            assert!(kept(&job).listed().unwrap().record().is_none(), "{job}");
        }
    }

    #[test]
    fn a_live_job_is_listed_with_its_whole_record() {
        let mut job = ended();
        job["status"] = "running".into();
        assert!(kept(&job).listed().unwrap().record().is_some());
    }
}
