//! Hydrated state on disk: `state/<field>.json`, one JSON document for each field. It is replaced whole, under a lock of
//! the folder, so that whoever reads it sees one completion or another, and after a crash one of them is there.
//!
//! What is read is kept until the file is another one; to find that out costs one look at the folder.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::{Paths, identity, open_lock, wait_for_lock};
use crate::core::clock;
use crate::core::job::{JobId, StateName, Timestamp};
use crate::core::observe;
use crate::core::store::{Clock, HydratedState, StoreError};

/// The version written. 1: the first.
const VERSION: u64 = 1;

/// The states of a folder. Its methods block, but for [`peek`](Self::peek).
#[derive(Debug)]
pub(super) struct States {
    paths: Paths,
    known: Mutex<HashMap<StateName, Known>>,
}

/// A file that was read.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// Held open: its inode is not given to another file, so that a file that was replaced is told for certain.
    #[expect(dead_code, reason = "held for what it keeps others from having")]
    file: File,
    state: Arc<HydratedState>,
}

/// What tells a file from the one that took its place, and from itself before somebody edited it.
#[derive(Debug, Clone, PartialEq)]
struct Stamp {
    #[cfg(unix)]
    identity: (u64, u64),
    #[cfg(not(unix))]
    identity: Option<SystemTime>,
    modified: Option<SystemTime>,
    length: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            identity: identity(metadata),
            modified: metadata.modified().ok(),
            length: metadata.len(),
        }
    }
}

/// What a look at a state brought.
pub(super) enum Peek {
    /// What it is, read before; or that there is none.
    Known(Option<Arc<HydratedState>>),
    /// It has to be read.
    Unread,
}

enum Loaded {
    State(Arc<HydratedState>),
    Nothing,
    Damaged(serde_json::Error),
}

impl States {
    /// Takes the folder over, and removes what a crash left half-written.
    pub(super) fn open(paths: Paths) -> Self {
        let states = Self { paths, known: Mutex::default() };
        // Where another process holds the lock, the file that it writes just now is none that was left.
        if states.folder().is_dir()
            && let Ok(lock) = open_lock(&states.lock_path())
            && lock.try_lock().is_ok()
        {
            states.clear_away();
        }
        states
    }

    /// Puts a state in place, where it replaces what stands there; says whether it did.
    pub(super) fn put(&self, state: HydratedState, clock: Clock) -> Result<bool, StoreError> {
        self.paths.make_folder(self.folder())?;
        let _locked = self.lock()?;
        let path = self.path(&state.field);
        if let Some(stands) = self.read_locked(&state.field)?
            && !state.replaces(&stands, clock())
        {
            // It may stand there by an attempt that failed before its name was durable.
            self.paths.sync_folder_of(&path)?;
            return Ok(false);
        }
        let text = render(&state).map_err(|error| StoreError::io("write", &path, error.into()))?;
        self.paths.replace(&path, &text)?;
        Ok(true)
    }

    /// Looks whether a state is known as it is, without reading it. Does not block for long.
    pub(super) fn peek(&self, field: &StateName) -> Peek {
        match fs::metadata(self.path(field)) {
            Ok(metadata) => match self.known().get(field) {
                Some(known) if known.stamp == Stamp::of(&metadata) => {
                    Peek::Known(Some(Arc::clone(&known.state)))
                }
                _ => Peek::Unread,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known().remove(field);
                Peek::Known(None)
            }
            // Reading it will say what is wrong.
            Err(_) => Peek::Unread,
        }
    }

    /// Reads a state. A file that cannot be understood is set aside.
    pub(super) fn read(&self, field: &StateName) -> Result<Option<Arc<HydratedState>>, StoreError> {
        match self.load(field)? {
            Loaded::State(state) => Ok(Some(state)),
            Loaded::Nothing => Ok(None),
            Loaded::Damaged(_) => {
                let _locked = self.lock()?;
                self.read_locked(field)
            }
        }
    }

    /// As [`read`](Self::read), for who holds the lock: nobody replaces the file meanwhile.
    fn read_locked(&self, field: &StateName) -> Result<Option<Arc<HydratedState>>, StoreError> {
        match self.load(field)? {
            Loaded::State(state) => Ok(Some(state)),
            Loaded::Nothing => Ok(None),
            Loaded::Damaged(error) => {
                let aside = self.paths.set_aside(&self.path(field))?;
                observe::error!(
                    %error, %field, aside = %aside.display(),
                    "the file of a state cannot be read; it was set aside, and the state has no value now"
                );
                self.known().remove(field);
                Ok(None)
            }
        }
    }

    fn load(&self, field: &StateName) -> Result<Loaded, StoreError> {
        let path = self.path(field);
        let failed = |error| StoreError::io("read", &path, error);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Nothing),
            Err(error) => return Err(failed(error)),
        };
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        if let Some(known) = self.known().get(field).filter(|known| known.stamp == stamp) {
            return Ok(Loaded::State(Arc::clone(&known.state)));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        match parse(field, &text) {
            Ok(Parsed::State(state)) => {
                let mut known = self.known();
                // Whoever was faster has shown its copy to others already.
                if let Some(known) = known.get(field).filter(|known| known.stamp == stamp) {
                    return Ok(Loaded::State(Arc::clone(&known.state)));
                }
                let state = Arc::new(state);
                known.insert(field.clone(), Known { stamp, file, state: Arc::clone(&state) });
                Ok(Loaded::State(state))
            }
            Ok(Parsed::LaterVersion(found)) => {
                Err(StoreError::LaterVersion { path, found, known: VERSION })
            }
            Err(error) => Ok(Loaded::Damaged(error)),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<StateName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self) -> &Path {
        &self.paths.states
    }

    fn path(&self, field: &StateName) -> PathBuf {
        self.folder().join(format!("{field}.json"))
    }

    fn lock_path(&self) -> PathBuf {
        self.folder().join("state.lock")
    }

    /// Waits until no other process replaces a state.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.lock_path();
        let file = open_lock(&path).map_err(|error| StoreError::io("lock", &path, error))?;
        wait_for_lock(file, &path)
    }

    /// Removes files that were being written when their process ended.
    fn clear_away(&self) {
        let Ok(entries) = fs::read_dir(self.folder()) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "new") {
                let _ = self.paths.disk.remove(&path);
            }
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    version: u64,
    field: &'a str,
    job_id: JobId,
    server: &'a str,
    tool: &'a str,
    completed_at: String,
    value: &'a Value,
}

#[derive(Deserialize)]
struct Document {
    job_id: JobId,
    server: String,
    tool: String,
    completed_at: Timestamp,
    value: Value,
}

#[derive(Debug)]
enum Parsed {
    State(HydratedState),
    LaterVersion(u64),
}

fn render(state: &HydratedState) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_vec(&Written {
        version: VERSION,
        field: state.field.as_str(),
        job_id: state.job_id,
        server: &state.server,
        tool: &state.tool,
        completed_at: clock::rfc3339(state.completed_at),
        value: &state.value,
    })?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a file's text. The file's name says which state it is, so that a copy under another name is another state.
///
/// The version is looked at before all else: a later version may have changed what the rest means.
fn parse(field: &StateName, text: &[u8]) -> Result<Parsed, serde_json::Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let Version { version } = serde_json::from_slice(text)?;
    if version > VERSION {
        return Ok(Parsed::LaterVersion(version));
    }
    let Document { job_id, server, tool, completed_at, value } = serde_json::from_slice(text)?;
    let state = HydratedState::new(field.clone(), job_id, server, tool, completed_at, value);
    Ok(Parsed::State(state))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state() -> HydratedState {
        let field = StateName::new("latest").unwrap();
        let value = json!({"null": null, "text": "\u{0}\u{2028}ü", "numbers": [0.1, u64::MAX]});
        let completed_at = Timestamp::from_timestamp_millis(1_800_000_000_123).unwrap();
        HydratedState::new(field, JobId::new(), "reactor", "simulate", completed_at, value)
    }

    #[test]
    fn a_state_reads_back_from_its_text() {
        let state = state();
        let Parsed::State(read) = parse(&state.field, &render(&state).unwrap()).unwrap() else {
            panic!("a version of its own")
        };
        assert!(read == state);
    }

    /// What was released has to be read for ever.
    #[test]
    fn the_text_of_version_1_is_read() {
        let text = br#"{"version":1,"field":"latest","job_id":"8c6f2a0e-3f4b-4b7e-9d0a-2f1c5e6d7a8b","server":"reactor",
            "tool":"simulate","completed_at":"2025-12-17T14:25:00.123Z","value":[1],"of a later release":true}"#;
        let Parsed::State(read) = parse(&StateName::new("latest").unwrap(), text).unwrap() else {
            panic!("a version of its own")
        };
        assert_eq!(read.value, json!([1]));
        assert_eq!(clock::rfc3339(read.completed_at), "2025-12-17T14:25:00.123Z");
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let field = StateName::new("latest").unwrap();
        let later = parse(&field, br#"{"version":2,"all":"different"}"#).unwrap();
        assert!(matches!(later, Parsed::LaterVersion(2)));
        for damaged in ["", "{", "[]", "{\"version\":1}", "\u{0}\u{0}"] {
            assert!(parse(&field, damaged.as_bytes()).is_err(), "{damaged:?}");
        }
    }
}
