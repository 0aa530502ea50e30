//! Who is about to read which jobs: a prune of this process leaves those alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::job::JobId;

/// How many read, or wait for, each job. Clones are the same register.
#[derive(Debug, Clone, Default)]
pub(in crate::core) struct Readers(Arc<Mutex<HashMap<JobId, usize>>>);

/// Somebody who is about to read jobs, until this is dropped.
#[derive(Debug)]
pub(crate) struct Reading {
    readers: Readers,
    jobs: Vec<JobId>,
}

impl Readers {
    fn counts(&self) -> MutexGuard<'_, HashMap<JobId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::core) fn enter(&self, jobs: &[JobId]) -> Reading {
        let mut counts = self.counts();
        for id in jobs {
            *counts.entry(*id).or_default() += 1;
        }
        Reading { readers: self.clone(), jobs: jobs.to_vec() }
    }

    /// The jobs that somebody is about to read.
    pub(in crate::core) fn jobs(&self) -> Vec<JobId> {
        self.counts().keys().copied().collect()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut counts = self.readers.counts();
        for id in &self.jobs {
            if let Some(count) = counts.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_until_its_last_reader_has_gone() {
        let (readers, id) = (Readers::default(), JobId::new());
        // The same reader may name a job twice.
        let (one, two) = (readers.enter(&[id, id]), readers.enter(&[id]));
        drop(one);
        assert_eq!(readers.jobs(), [id]);
        drop(two);
        assert!(readers.jobs().is_empty());
    }
}
