//! Who asks, and which jobs are theirs to see: the one rule that every door to a job goes by.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::core::job::{JobRecord, JobScope};

/// Who makes a request over HTTP, as the host of the server knows them.
///
/// The host's own middleware puts it into the extensions of the HTTP request, once it knows who that is; from then on the
/// client sees the jobs of this identity, and no others:
///
/// ```
/// use http::Request;
/// use smart_async::ClientIdentity;
///
/// fn identify<B>(request: &mut Request<B>, user: &str) {
///     request.extensions_mut().insert(ClientIdentity::new(user));
/// }
/// ```
///
/// Put none where nobody has proved who they are. Whoever has none sees no job of anybody who has one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity(JobScope);

impl ClientIdentity {
    /// The identity of this name: whatever is one client's for ever and nobody else's, such as the issuer and the subject
    /// of a token. Only a hash of it is kept, in memory and on disk.
    ///
    /// The empty text is an identity like any other, and so shared by all who are given it.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(JobScope::of_identity(name.as_ref()))
    }
}

/// Who somebody is does not go into logs.
impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

/// The mark that this client's jobs carry, for a [`JobQuery`](crate::core::job::JobQuery) or a [`Prune`](crate::core::job::Prune).
impl From<ClientIdentity> for JobScope {
    fn from(identity: ClientIdentity) -> Self {
        identity.0
    }
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Whoever has the one connection of this server, such as stdio; and the program itself.
    Everything,
    /// Somebody who proved who they are.
    Identity(JobScope),
    /// Somebody unknown, in a session over HTTP.
    Session(JobScope),
    /// Somebody unknown, whose requests have nothing in common but what they show of themselves.
    Stateless(Shown),
}

/// What requests of one and the same unknown client have in common, if anything: the credentials that they show, by
/// kind. It tells callers apart, and proves nothing.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Shown(pub(crate) [Vec<Vec<u8>>; 2]);

impl Scope {
    pub(crate) fn of_identity(identity: &ClientIdentity) -> Self {
        Self::Identity(identity.0.clone())
    }

    /// Somebody unknown in the session of this id, which the server has given.
    pub(crate) fn of_session(id: &str) -> Self {
        Self::Session(JobScope::of_session(id))
    }

    /// Who made the call that became this job, as far as its record tells.
    pub(crate) fn of_job(job: &JobRecord) -> Self {
        match &job.spec.scope {
            None => Self::Everything,
            Some(scope) if scope.is_of_session() => Self::Session(scope.clone()),
            Some(scope) => Self::Identity(scope.clone()),
        }
    }

    /// Whether a job is there for whoever asks, by its id. To anybody unknown, the id itself is what lets them in: it
    /// cannot be guessed. But what belongs to somebody who proved who they are is there for them alone.
    pub(crate) fn sees(&self, job: &JobRecord) -> bool {
        match self {
            Self::Everything => true,
            Self::Identity(own) => job.spec.scope.as_ref() == Some(own),
            Self::Session(_) | Self::Stateless(_) => {
                job.spec.scope.as_ref().is_none_or(JobScope::is_of_session)
            }
        }
    }

    /// Which jobs are there for whoever asks for all of theirs.
    pub(crate) fn lists(&self) -> Lists {
        match self {
            Self::Everything => Lists::All,
            Self::Identity(own) | Self::Session(own) => Lists::Of(own.clone()),
            Self::Stateless(_) => Lists::Nothing,
        }
    }

    /// The mark of the jobs that whoever asks makes.
    pub(crate) fn mark(&self) -> Option<JobScope> {
        match self {
            Self::Everything | Self::Stateless(_) => None,
            Self::Identity(own) | Self::Session(own) => Some(own.clone()),
        }
    }
}

/// The jobs that somebody finds without knowing their ids.
#[derive(Debug)]
pub(crate) enum Lists {
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
    use crate::core::job::JobSpec;
    use crate::core::job::{JobId, Timestamp};

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
            (Scope::Stateless(Shown::default()), by_id),
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
    fn who_somebody_is_is_in_no_log() {
        let alice = ClientIdentity::new("alice");
        assert_eq!(format!("{alice:?}"), "ClientIdentity { .. }");
        assert_eq!(format!("{:?}", Scope::of_identity(&alice)), "Identity");
    }
}
