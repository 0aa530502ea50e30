//! The idempotency keys of a table: for each the job that has it.

use std::collections::HashMap;

use super::entry::Entry;
use crate::core::job::Timestamp;

#[derive(Debug, Default)]
pub(in crate::core::store) struct Keys {
    /// By the hash of its key, the newest job that has that: an older one has let the key go.
    holders: HashMap<String, Entry>,
    /// How many bytes the ended ones take.
    bytes: u64,
}

impl Keys {
    pub(super) fn insert(&mut self, job: &Entry) {
        let Some(hash) = hash(job) else { return };
        let is_older = |known: &Entry| known.record().sequence > job.record().sequence;
        if self.holders.get(hash).is_some_and(is_older) {
            return;
        }
        self.bytes += job.ended_bytes();
        if let Some(before) = self.holders.insert(hash.to_owned(), job.clone()) {
            self.bytes -= before.ended_bytes();
        }
    }

    pub(super) fn remove(&mut self, job: &Entry) {
        let Some(hash) = hash(job) else { return };
        if self.holders.get(hash).is_some_and(|known| known.id() == job.id())
            && let Some(known) = self.holders.remove(hash)
        {
            self.bytes -= known.ended_bytes();
        }
    }

    /// The job that has this key, or had it last.
    pub(in crate::core::store) fn find(&self, hash: &str) -> Option<&Entry> {
        self.holders.get(hash)
    }

    /// How many keys are kept at this time, and how many bytes the answers take, where that is `keys` or `bytes` at least; `None`
    /// where it is less of both.
    pub(in crate::core::store) fn at_limit(
        &self,
        keys: usize,
        bytes: u64,
        now: Timestamp,
    ) -> Option<(usize, u64)> {
        // Those whose time is over are there until the next sweep, and do not count.
        if self.holders.len() < keys && self.bytes < bytes {
            return None;
        }
        let kept = self.holders.values().filter(|job| job.record().holds_key(now));
        let used = kept.fold((0, 0), |(keys, bytes), job| (keys + 1, bytes + job.ended_bytes()));
        (used.0 >= keys || used.1 >= bytes).then_some(used)
    }
}

fn hash(job: &Entry) -> Option<&str> {
    job.record().spec.idempotency.as_ref().map(|key| key.hash.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{IdempotencyKey, JobId, JobRecord, JobSpec};

    fn keyed(hash: &str, sequence: u64, until: i64) -> Entry {
        let at = |second| Timestamp::from_timestamp(second, 0).unwrap();
        let mut job = JobRecord::new(JobId::new(), JobSpec::new("saw", "shop", at(0)));
        job.sequence = sequence;
        let key = IdempotencyKey::new(hash.to_owned(), String::new(), at(until));
        job.spec_mut().idempotency = Some(key);
        job.state = crate::core::job::JobState::Cancelled { started_at: None, completed_at: at(1) };
        Entry::of_text(job, 100)
    }

    #[test]
    fn the_newest_job_of_a_key_has_it_in_whichever_order_they_come() {
        let (old, new) = (keyed("a", 1, 9), keyed("a", 2, 9));
        for order in [[&old, &new], [&new, &old]] {
            let mut keys = Keys::default();
            order.into_iter().for_each(|job| keys.insert(job));
            assert_eq!(keys.find("a").map(Entry::id), Some(new.id()));
            keys.remove(&old);
            assert_eq!(keys.find("a").map(Entry::id), Some(new.id()));
            assert_eq!(keys.bytes, new.ended_bytes());
            keys.remove(&new);
            assert_eq!((keys.find("a").map(Entry::id), keys.bytes), (None, 0));
        }
    }

    #[test]
    fn a_key_whose_time_is_over_takes_no_room() {
        let at = |second| Timestamp::from_timestamp(second, 0).unwrap();
        let mut keys = Keys::default();
        let jobs = [keyed("a", 1, 5), keyed("b", 2, 9)];
        jobs.iter().for_each(|job| keys.insert(job));
        let each = jobs[0].ended_bytes();
        assert_eq!(keys.at_limit(2, u64::MAX, at(4)), Some((2, 2 * each)));
        assert_eq!(keys.at_limit(2, u64::MAX, at(5)), None);
        assert_eq!(keys.at_limit(9, each, at(5)), Some((1, each)));
        assert_eq!(keys.at_limit(9, each + 1, at(9)), None);
    }
}
