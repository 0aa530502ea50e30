//! The scope of a request: the jobs that its client may see, list and make. All access to jobs follows this one rule.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use crate::call::key::CallDigest;
use crate::core::call_key::CallKey;
use crate::core::job::{ClientIdentity, JobRecord, JobScope};

/// The client of a request, as far as the server knows it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::mcp) enum Scope {
    /// The one client of a transport that has one, such as stdio; and the program itself.
    Everything,
    /// An authenticated client.
    Identity(JobScope),
    /// An unauthenticated client, in a session over HTTP.
    Session(JobScope),
    /// An unauthenticated client without a session. Two such requests may come from two people, whatever they carry: which
    /// header tells people apart, only the host knows.
    Stateless,
}

impl Scope {
    pub(in crate::mcp) fn of_identity(identity: &ClientIdentity) -> Self {
        Self::Identity(JobScope::from(identity.clone()))
    }

    /// An unauthenticated client in the session with this id, which the server has given out.
    pub(in crate::mcp) fn of_session(id: &str) -> Self {
        Self::Session(JobScope::of_session(id))
    }

    /// The scope of the call that became this job, as far as the record tells.
    pub(in crate::mcp) fn of_job(job: &JobRecord) -> Self {
        match &job.spec.scope {
            None => Self::Everything,
            Some(scope) if scope.is_of_session() => Self::Session(scope.clone()),
            Some(scope) => Self::Identity(scope.clone()),
        }
    }

    /// Returns whether the client may see a job whose id it names. An unauthenticated client may see each job without an
    /// identity whose id it knows, because ids cannot be guessed. Only the authenticated client itself sees its own jobs.
    pub(in crate::mcp) fn sees(&self, job: &JobRecord) -> bool {
        match self {
            Self::Everything => true,
            Self::Identity(own) => job.spec.scope.as_ref() == Some(own),
            Self::Session(_) | Self::Stateless => {
                job.spec.scope.as_ref().is_none_or(JobScope::is_of_session)
            }
        }
    }

    /// The jobs that the client may list.
    pub(in crate::mcp) fn lists(&self) -> Lists {
        match self {
            Self::Everything => Lists::All,
            Self::Identity(own) | Self::Session(own) => Lists::Of(own.clone()),
            Self::Stateless => Lists::Nothing,
        }
    }

    /// The mark of the jobs that the client makes.
    pub(in crate::mcp) fn mark(&self) -> Option<JobScope> {
        match self {
            Self::Everything | Self::Stateless => None,
            Self::Identity(own) | Self::Session(own) => Some(own.clone()),
        }
    }

    /// The key by which the same call of this client finds a run of it; `None` for a client that cannot be told from another
    /// one, whose calls share nothing with any call.
    pub(in crate::mcp) fn call_key(
        &self,
        digest: &CallDigest,
        server: &str,
        beside: &Map<String, Value>,
    ) -> Option<CallKey> {
        (*self != Self::Stateless).then(|| digest.key(server, self, beside))
    }
}

/// The jobs that a client finds without knowing their ids.
#[derive(Debug)]
pub(in crate::mcp) enum Lists {
    All,
    /// The jobs with this mark.
    Of(JobScope),
    Nothing,
}

/// A part of the key of a call, so that calls of different scopes are never the same call.
impl Hash for Scope {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Self::Everything | Self::Stateless => {}
            Self::Identity(own) | Self::Session(own) => own.hash(hasher),
        }
    }
}

/// Hides the marks that stand for clients.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "Everything",
            Self::Identity(_) => "Identity",
            Self::Session(_) => "Session",
            Self::Stateless => "Stateless",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{ClientIdentity, JobId, JobSpec, Timestamp};

    fn job(scope: Option<JobScope>) -> JobRecord {
        let mut job = JobRecord::new(
            JobId::new(),
            JobSpec::new("simulate", "reactor", Timestamp::UNIX_EPOCH),
        );
        job.spec_mut().scope = scope;
        job
    }

    fn identity(name: &str) -> Scope {
        Scope::of_identity(&ClientIdentity::new(name))
    }

    /// The jobs: one without a mark, one of alice, one of bob, two of sessions, one with a mark of a later version.
    #[test]
    fn each_scope_sees_its_jobs_by_their_ids() {
        let of_later: JobScope = serde_json::from_str("\"tenant:of a later version\"").unwrap();
        let jobs = [
            None,
            identity("alice").mark(),
            identity("bob").mark(),
            Scope::of_session("one").mark(),
            Scope::of_session("two").mark(),
            Some(of_later),
        ]
        .map(job);
        let by_id = [true, false, false, true, true, false];
        for (scope, sees) in [
            (Scope::Everything, [true; 6]),
            (identity("alice"), [false, true, false, false, false, false]),
            (identity("bob"), [false, false, true, false, false, false]),
            (identity("one"), [false; 6]),
            (Scope::of_session("one"), by_id),
            (Scope::of_session("alice"), by_id),
            (Scope::Stateless, by_id),
        ] {
            assert_eq!(jobs.each_ref().map(|job| scope.sees(job)), sees, "{scope:?}");
        }
    }

    #[test]
    fn a_job_keeps_the_scope_of_its_call_after_a_restart() {
        for scope in [identity("alice"), Scope::of_session("one"), Scope::Everything] {
            assert!(Scope::of_job(&job(scope.mark())) == scope, "{scope:?}");
        }
    }

    #[test]
    fn no_log_has_the_identity_of_a_client() {
        assert_eq!(format!("{:?}", identity("alice")), "Identity");
    }

    #[test]
    fn the_same_call_of_another_client_has_another_key() {
        let callers = [
            Scope::Everything,
            Scope::of_identity(&ClientIdentity::new("alice")),
            Scope::of_identity(&ClientIdentity::new("bob")),
            Scope::of_session("alice"),
            Scope::of_session("bob"),
        ];
        for (index, one) in callers.iter().enumerate() {
            let of = |scope: &Scope| scope.call_key(&CallDigest::new("a", None), "x", &Map::new());
            let again = one.clone();
            assert!(of(one).is_some() && of(one) == of(&again));
            for other in &callers[..index] {
                assert_ne!(of(one), of(other), "{one:?} {other:?}");
            }
            assert_eq!(of(&Scope::Stateless), None, "who cannot be told apart shares nothing");
        }
    }
}
