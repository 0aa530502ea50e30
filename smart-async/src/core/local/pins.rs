//! The jobs that code of this process is about to read: a prune of this process spares them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::core::job::JobId;
use crate::core::sync::Mutex;

/// How many readers each job has. Clones are the same register.
#[derive(Debug, Clone, Default)]
pub(in crate::core) struct Pins(Arc<Mutex<HashMap<JobId, usize>>>);

/// Keeps jobs from being pruned by this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct ReadPin {
    pins: Pins,
    jobs: Vec<JobId>,
}

impl Pins {
    pub(in crate::core) fn pin(&self, jobs: &[JobId]) -> ReadPin {
        let mut counts = self.0.lock();
        for id in jobs {
            *counts.entry(*id).or_default() += 1;
        }
        ReadPin { pins: self.clone(), jobs: jobs.to_vec() }
    }

    pub(in crate::core) fn pinned(&self) -> Vec<JobId> {
        self.0.lock().keys().copied().collect()
    }
}

impl Drop for ReadPin {
    fn drop(&mut self) {
        let mut counts = self.pins.0.lock();
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
    fn a_job_is_pinned_until_its_last_reader_has_gone() {
        let (pins, id) = (Pins::default(), JobId::new());
        // One reader may name a job twice.
        let (one, two) = (pins.pin(&[id, id]), pins.pin(&[id]));
        drop(one);
        assert_eq!(pins.pinned(), [id]);
        drop(two);
        assert!(pins.pinned().is_empty());
    }
}
