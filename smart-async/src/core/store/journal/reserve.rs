//! Room on the disk for the removal of jobs: a file that is removed where a full disk refuses a removal, and made again when
//! there is room. So jobs can be pruned on a full disk, which frees more.

use std::fs;
use std::time::{Duration, Instant};

use super::folder::Paths;
use crate::core::observe;

/// The pause after an attempt that found no room.
const PAUSE: Duration = Duration::from_secs(10);

/// The writer thread's handle on the file. Needs the folder's lock.
#[derive(Debug)]
pub(super) struct Reserve {
    paths: Paths,
    /// No attempt is made before this.
    next_attempt: Option<Instant>,
}

impl Reserve {
    pub(super) const fn new(paths: Paths) -> Self {
        Self { paths, next_attempt: None }
    }

    /// Makes the file where it is missing and there is room. It is not synced: one that a power loss has shortened is made again.
    pub(super) fn keep(&mut self) {
        let Paths { reserve, reserve_bytes, disk, .. } = &self.paths;
        let length = fs::symlink_metadata(reserve).ok().map(|file| file.len());
        if length == Some(*reserve_bytes as u64)
            || self.next_attempt.is_some_and(|time| Instant::now() < time)
        {
            return;
        }
        if length.is_some() {
            let _ = disk.remove(reserve);
        }
        let kept = disk.create(reserve).and_then(|file| disk.write(&file, &noise(*reserve_bytes)));
        if let Err(error) = kept {
            observe::debug!(%error, "there is no room for the reserve of the job store");
            let _ = disk.remove(reserve);
            self.next_attempt = Some(Instant::now() + PAUSE);
        }
    }

    /// Frees the room. Returns whether there was any.
    pub(super) fn release(&mut self) -> bool {
        self.next_attempt = Some(Instant::now() + PAUSE);
        self.paths.disk.remove(&self.paths.reserve).is_ok()
    }
}

/// Bytes that no file system stores in less room than they take.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}
