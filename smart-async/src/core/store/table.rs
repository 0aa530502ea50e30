//! The records of a store in memory, and what is asked of them. What changes them is in `draft`.

pub(super) mod entry;
mod index;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::entry::{Kept, Kind};
use self::index::Index;
use crate::core::job::{
    JobId, JobPage, JobQuery, JobRecord, JobScope, MalformedRecord, Prune, ShortPage,
};

/// What becomes of jobs: their new record, or nothing where they are removed.
pub(super) type Changes = BTreeMap<JobId, Option<Arc<JobRecord>>>;

/// What a file says of jobs: what becomes of each, the later one counts.
pub(super) type Read = Vec<(JobId, Option<Kept>)>;

/// All jobs, ordered by id. A clone shares what there is, and costs as much with a hundred thousand jobs as with ten: it
/// is for those who look at all jobs, and let others change them meanwhile.
///
/// Ids are random, so that their first byte spreads them evenly; a change after a clone copies the one part that it is in.
#[derive(Debug, Clone, Default)]
pub(super) struct Jobs(BTreeMap<u8, Arc<BTreeMap<JobId, Kept>>>);

impl Jobs {
    fn get(&self, id: JobId) -> Option<&Kept> {
        self.0.get(&id.first_byte())?.get(&id)
    }

    fn insert(&mut self, job: Kept) -> Option<Kept> {
        let part = self.0.entry(job.id().first_byte()).or_default();
        Arc::make_mut(part).insert(job.id(), job)
    }

    fn remove(&mut self, id: JobId) -> Option<Kept> {
        let part = self.0.get_mut(&id.first_byte()).filter(|part| part.contains_key(&id))?;
        let removed = Arc::make_mut(part).remove(&id);
        if part.is_empty() {
            self.0.remove(&id.first_byte());
        }
        removed
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.0.values().flat_map(|part| part.values())
    }
}

/// As many as there are, in the order of their ids.
impl FromIterator<Kept> for Jobs {
    fn from_iter<I: IntoIterator<Item = Kept>>(jobs: I) -> Self {
        let mut parts = BTreeMap::<u8, Vec<_>>::new();
        for job in jobs {
            parts.entry(job.id().first_byte()).or_default().push((job.id(), job));
        }
        let parts = parts.into_iter();
        Self(parts.map(|(byte, part)| (byte, Arc::new(part.into_iter().collect()))).collect())
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    jobs: Jobs,
    index: Index,
    /// Of what kinds the jobs are: by server and tool.
    kinds: BTreeMap<Box<str>, BTreeMap<Box<str>, Arc<Kind>>>,
}

impl Table {
    pub(super) const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(super) fn find(&self, id: JobId) -> Option<&Kept> {
        self.jobs.get(id)
    }

    /// The page of jobs that `query` asks for. They are to be read where nobody waits for the table.
    pub(super) fn list(&self, query: &JobQuery) -> KeptPage {
        let limit = query.limit.unwrap_or(usize::MAX);
        let unmarked = query.label.is_none()
            && query.tag.is_none()
            && query.session.is_none()
            && query.scope.is_none();
        if unmarked {
            let jobs = self.index.newest(query).take(limit).cloned().collect();
            return KeptPage {
                jobs,
                total: self.index.count(query.server.as_deref(), &query.statuses),
            };
        }
        let mut page = KeptPage::default();
        for job in self.index.newest(query).filter(|job| job.meets(query)) {
            page.total += 1;
            if page.jobs.len() < limit {
                page.jobs.push(job.clone());
            }
        }
        page
    }

    /// Takes over what a draft has made of the jobs.
    pub(super) fn commit(&mut self, changes: Changes) {
        let removes = changes.values().any(Option::is_none);
        for (id, change) in changes {
            let change = change.map(|job| {
                let kind = self.kind(&job);
                Kept::new(job, kind)
            });
            self.put(id, change);
        }
        if removes {
            self.forget_kinds();
        }
    }

    /// Reads a record, to be taken over later.
    pub(super) fn read(&mut self, text: &str) -> Result<Kept, MalformedRecord> {
        Kept::read(text, |job| self.kind(job))
    }

    /// Takes over what was read.
    pub(super) fn take_over(&mut self, read: Read) {
        if self.jobs.0.is_empty() {
            let jobs: BTreeMap<_, _> = read.into_iter().collect();
            self.jobs = jobs.into_values().flatten().collect();
            self.index = self.jobs.iter().collect();
        } else {
            for (id, change) in read {
                self.put(id, change);
            }
        }
        self.forget_kinds();
    }

    /// Writes every record anew, where a person may have written them: whoever reads our files finds each field in the
    /// form that is promised.
    pub(super) fn write_anew(&mut self) {
        self.jobs = self.jobs.iter().map(Kept::written_anew).collect();
        self.index = self.jobs.iter().collect();
    }

    fn put(&mut self, id: JobId, change: Option<Kept>) {
        let before = match &change {
            Some(job) => self.jobs.insert(job.clone()),
            None => self.jobs.remove(id),
        };
        if let Some(before) = before {
            self.index.remove(&before);
        }
        if let Some(job) = change {
            self.index.insert(job);
        }
    }

    fn kind(&mut self, job: &JobRecord) -> Arc<Kind> {
        if let Some(kind) = self
            .kinds
            .get(job.spec.server.as_str())
            .and_then(|tools| tools.get(job.spec.tool.as_str()))
        {
            return Arc::clone(kind);
        }
        let (server, tool): (Box<str>, Box<str>) =
            (job.spec.server.as_str().into(), job.spec.tool.as_str().into());
        let kind = Arc::new(Kind { server: server.clone(), tool: tool.clone() });
        self.kinds.entry(server).or_default().insert(tool, Arc::clone(&kind));
        kind
    }

    /// Forgets kinds that no job is of.
    fn forget_kinds(&mut self) {
        self.kinds.retain(|_, tools| {
            tools.retain(|_, kind| Arc::strong_count(kind) > 1);
            !tools.is_empty()
        });
    }

    /// The jobs that have not ended, of one server or of all.
    pub(super) fn live(&self, server: Option<&str>) -> impl Iterator<Item = &Kept> {
        self.index.live(server)
    }

    /// The jobs of `server` that have not ended. They are to be read where nobody waits for the table.
    pub(super) fn unfinished(&self, server: &str) -> Vec<Kept> {
        self.live(Some(server)).cloned().collect()
    }

    /// How many jobs there are, of one server or of all, and of one client or of all.
    pub(super) fn count(&self, server: Option<&str>, scope: Option<&JobScope>) -> usize {
        match scope {
            None => self.index.count(server, &[]),
            Some(scope) => self.index.of(server).filter(|job| job.scope() == Some(scope)).count(),
        }
    }

    /// The ended jobs of the server and in the statuses that `prune` names. Its other conditions are not looked at.
    pub(super) fn ended(&self, prune: &Prune) -> impl Iterator<Item = &Kept> {
        self.index.ended(prune)
    }

    /// How many [`ended`](Self::ended) there are, and how many bytes their records take.
    pub(super) fn count_ended(&self, prune: &Prune) -> (usize, u64) {
        self.index.count_ended(prune)
    }
}

/// The answer to a [`JobQuery`], not read yet.
#[derive(Debug, Default)]
pub(super) struct KeptPage {
    jobs: Vec<Kept>,
    total: usize,
}

impl KeptPage {
    pub(super) fn read(self) -> JobPage {
        let Self { jobs, total } = self;
        JobPage::new(jobs.iter().filter_map(Kept::record).collect(), total)
    }

    pub(super) fn in_short(self) -> ShortPage {
        let Self { jobs, total } = self;
        ShortPage::new(jobs.iter().filter_map(Kept::listed).collect(), total)
    }
}
