//! Who asks, and which jobs are theirs to see: the one rule that every door to a job goes by.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::core::job::{ClientIdentity, JobRecord, JobScope};

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::mcp) enum Scope {
    /// Whoever has the one connection of this server, such as stdio; and the program itself.
    Everything,
    /// Somebody who proved who they are.
    Identity(JobScope),
    /// Somebody unknown, in a session over HTTP.
    Session(JobScope),
    /// Somebody unknown, whose requests have nothing in common but what they show of themselves.
    Stateless(Credentials),
}

/// What requests of one and the same unknown client have in common, if anything: the credentials that they show, by
/// kind. It tells callers apart, and proves nothing.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::mcp) struct Credentials(pub(in crate::mcp) [Vec<Vec<u8>>; 2]);

impl Scope {
    pub(in crate::mcp) fn of_identity(identity: &ClientIdentity) -> Self {
        Self::Identity(JobScope::from(identity.clone()))
    }

    /// Somebody unknown in the session of this id, which the server has given.
    pub(in crate::mcp) fn of_session(id: &str) -> Self {
        Self::Session(JobScope::of_session(id))
    }

    /// Who made the call that became this job, as far as its record tells.
    pub(in crate::mcp) fn of_job(job: &JobRecord) -> Self {
        match &job.spec.scope {
            None => Self::Everything,
            Some(scope) if scope.is_of_session() => Self::Session(scope.clone()),
            Some(scope) => Self::Identity(scope.clone()),
        }
    }

    /// Whether a job is there for whoever asks, by its id. To anybody unknown, the id itself is what lets them in: it
    /// cannot be guessed. But what belongs to somebody who proved who they are is there for them alone.
    pub(in crate::mcp) fn sees(&self, job: &JobRecord) -> bool {
        match self {
            Self::Everything => true,
            Self::Identity(own) => job.spec.scope.as_ref() == Some(own),
            Self::Session(_) | Self::Stateless(_) => {
                job.spec.scope.as_ref().is_none_or(JobScope::is_of_session)
            }
        }
    }

    /// Which jobs are there for whoever asks for all of theirs.
    pub(in crate::mcp) fn lists(&self) -> Lists {
        match self {
            Self::Everything => Lists::All,
            Self::Identity(own) | Self::Session(own) => Lists::Of(own.clone()),
            Self::Stateless(_) => Lists::Nothing,
        }
    }

    /// The mark of the jobs that whoever asks makes.
    pub(in crate::mcp) fn mark(&self) -> Option<JobScope> {
        match self {
            Self::Everything | Self::Stateless(_) => None,
            Self::Identity(own) | Self::Session(own) => Some(own.clone()),
        }
    }
}

/// The jobs that somebody finds without knowing their ids.
#[derive(Debug)]
pub(in crate::mcp) enum Lists {
    All,
    /// Those with this mark.
    Of(JobScope),
    Nothing,
}

/// For the key of a call: calls of different scopes are never the same.
impl Hash for Scope {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Self::Everything => {}
            Self::Identity(own) | Self::Session(own) => own.hash(hasher),
            Self::Stateless(shown) => shown.hash(hasher),
        }
    }
}

/// What it holds are credentials, or what stands for them.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "Everything",
            Self::Identity(_) => "Identity",
            Self::Session(_) => "Session",
            Self::Stateless(_) => "Stateless",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::key::CallDigest;
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

    /// Of the jobs of nobody, of alice, of bob and of two sessions, who sees which.
    #[test]
    fn who_sees_which_jobs_by_their_ids() {
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
            (Scope::Stateless(Credentials::default()), by_id),
        ] {
            assert_eq!(jobs.each_ref().map(|job| scope.sees(job)), sees, "{scope:?}");
        }
    }

    #[test]
    fn a_job_is_its_makers_after_a_restart() {
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
        let shown = |one: &str, two: &str| {
            let values = |text: &str| text.split_terminator(',').map(Into::into).collect();
            Scope::Stateless(Credentials([values(one), values(two)]))
        };
        let callers = [
            Scope::Everything,
            Scope::of_identity(&ClientIdentity::new("alice")),
            Scope::of_identity(&ClientIdentity::new("bob")),
            Scope::of_session("alice"),
            Scope::of_session("bob"),
            Scope::Stateless(Credentials::default()),
            shown("alice", ""),
            shown("", "alice"),
            shown("alice,bob", ""),
            shown("alice", "bob"),
            shown("bob", "alice"),
        ];
        for (index, one) in callers.iter().enumerate() {
            let of = |scope| CallDigest::new("a", None).key("x", scope, &serde_json::Map::new());
            let again = one.clone();
            assert_eq!(of(one), of(&again));
            for other in &callers[..index] {
                assert_ne!(of(one), of(other), "{one:?} {other:?}");
            }
        }
    }
}
