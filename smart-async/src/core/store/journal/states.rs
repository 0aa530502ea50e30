//! States on disk. The journal has them as lines; `state/<name>.json` is an export of each, one JSON document for its
//! value, which the view thread writes. Readers of the file see one completion or another, and so they do after a crash.
//!
//! A file that the journal does not know is taken in when the folder is opened: the first versions of this library wrote
//! the files alone, and a person may have restored one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::folder::Paths;
use super::leftovers::AnyVersion;
use crate::core::clock;
use crate::core::job::{HydratedState, JobId, StateName, Timestamp};
use crate::core::observe;
use crate::core::store::StoreError;
use crate::core::store::table::States;

/// The version of the file. 1: the first.
const VERSION: u64 = 1;

/// A state in the journal and in its file, as it is written.
#[derive(Serialize)]
pub(super) struct StateDocument<'a> {
    /// In the file alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    field: &'a str,
    job_id: JobId,
    server: &'a str,
    tool: &'a str,
    completed_at: String,
    value: &'a Value,
}

impl<'a> StateDocument<'a> {
    pub(super) fn of(state: &'a HydratedState) -> Self {
        Self {
            version: None,
            field: state.field.as_str(),
            job_id: state.job_id,
            server: &state.server,
            tool: &state.tool,
            completed_at: clock::rfc3339(state.completed_at),
            value: &state.value,
        }
    }
}

/// A state as it is read.
#[derive(Deserialize)]
struct StoredState {
    #[serde(default)]
    field: String,
    job_id: JobId,
    server: String,
    tool: String,
    completed_at: Timestamp,
    value: Value,
}

impl StoredState {
    fn named(self, field: StateName) -> HydratedState {
        let Self { field: _, job_id, server, tool, completed_at, value } = self;
        HydratedState::new(field, job_id, server, tool, completed_at, value)
    }
}

/// A state from its line.
pub(super) fn from_line(text: &RawValue) -> Result<HydratedState, serde_json::Error> {
    let mut state: StoredState = serde_json::from_str(text.get())?;
    let field = StateName::new(std::mem::take(&mut state.field));
    Ok(state.named(field.map_err(serde::de::Error::custom)?))
}

/// The file of a state, as it was found.
#[derive(Debug)]
enum StateFile {
    State(HydratedState),
    LaterVersion(u64),
    Nothing,
    Damaged(serde_json::Error),
}

/// Reads a file's text. The file's name says which state it is, so that a copy under another name is another state.
fn parse(field: StateName, text: &[u8]) -> StateFile {
    match serde_json::from_slice(text) {
        Ok(AnyVersion { version }) if version > VERSION => StateFile::LaterVersion(version),
        Err(error) => StateFile::Damaged(error),
        Ok(_) => match serde_json::from_slice::<StoredState>(text) {
            Ok(state) => StateFile::State(state.named(field)),
            Err(error) => StateFile::Damaged(error),
        },
    }
}

fn render(state: &HydratedState) -> Result<Vec<u8>, serde_json::Error> {
    let document = StateDocument { version: Some(VERSION), ..StateDocument::of(state) };
    let mut text = serde_json::to_vec(&document)?;
    text.push(b'\n');
    Ok(text)
}

fn path(paths: &Paths, field: &StateName) -> PathBuf {
    paths.states.join(format!("{field}.json"))
}

fn read(paths: &Paths, field: &StateName) -> Result<StateFile, StoreError> {
    let path = path(paths, field);
    match paths.disk.read(&path) {
        Ok(text) => Ok(parse(field.clone(), &text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(StateFile::Nothing),
        Err(error) => Err(StoreError::io("read", path, error)),
    }
}

/// The states that have files. A file that cannot be understood is set aside. Needs the folder's lock.
pub(super) fn read_all(paths: &Paths) -> Result<States, StoreError> {
    let mut states = States::new();
    let Ok(entries) = fs::read_dir(&paths.states) else { return Ok(states) };
    for file in entries.flatten().map(|entry| entry.path()) {
        let Some(field) = name_of(&file) else { continue };
        match read(paths, &field)? {
            StateFile::State(state) => {
                states.insert(field, state.into());
            }
            StateFile::Nothing => {}
            StateFile::LaterVersion(found) => {
                observe::error!(%field, found, "the file of a state was written by a later version; it is left alone");
            }
            StateFile::Damaged(error) => {
                let aside = paths.set_aside(&file)?;
                observe::error!(%error, %field, aside = %aside.display(), "the file of a state cannot be read; it was set aside");
            }
        }
    }
    Ok(states)
}

fn name_of(file: &Path) -> Option<StateName> {
    StateName::new(file.file_name()?.to_str()?.strip_suffix(".json")?).ok()
}

/// Writes the files of `states` where they show another completion. `exported` has the completions that this process has
/// written or found in their files.
pub(super) fn export(
    paths: &Paths,
    states: &States,
    exported: &mut States,
) -> Result<(), StoreError> {
    for (field, state) in states {
        let is_exported = |known: &HydratedState| known.is_of_same_completion(state);
        if exported.get(field).is_some_and(|known| is_exported(known)) {
            continue;
        }
        match read(paths, field)? {
            StateFile::State(found) if is_exported(&found) => {
                // Its writer may have died before the file's name was durable.
                paths.sync_folder_of(&path(paths, field))?;
            }
            StateFile::LaterVersion(found) => {
                observe::error!(%field, found, "the file of a state was written by a later version; it is left alone");
            }
            found => {
                if let StateFile::Damaged(error) = found {
                    let aside = paths.set_aside(&path(paths, field))?;
                    observe::error!(%error, %field, aside = %aside.display(), "the file of a state cannot be read; it was set aside, and is written anew");
                }
                let path = path(paths, field);
                let text = render(state);
                let text = text.map_err(|error| StoreError::io("write", &path, error.into()))?;
                paths.make_folder(&paths.states)?;
                paths.replace(&path, &text)?;
            }
        }
        exported.insert(field.clone(), state.clone());
    }
    Ok(())
}

/// Removes files that a process was writing when it ended. Needs the lock of the view.
pub(super) fn remove_unfinished(paths: &Paths) {
    let Ok(entries) = fs::read_dir(&paths.states) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "new") {
            let _ = paths.disk.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name() -> StateName {
        StateName::new("latest").unwrap()
    }

    fn state() -> HydratedState {
        let value = json!({"null": null, "text": "\u{0}\u{2028}ü", "numbers": [0.1, u64::MAX]});
        let completed_at = Timestamp::from_timestamp_millis(1_800_000_000_123).unwrap();
        HydratedState::new(name(), JobId::new(), "reactor", "simulate", completed_at, value)
    }

    #[test]
    fn a_state_reads_back_from_its_file_and_from_its_line() {
        let state = state();
        let StateFile::State(read) = parse(name(), &render(&state).unwrap()) else {
            panic!("a file of this version")
        };
        assert!(read == state);
        let line = serde_json::to_string(&StateDocument::of(&state)).unwrap();
        let line = RawValue::from_string(line).unwrap();
        assert!(from_line(&line).unwrap() == state);
    }

    /// A released file has to be read for ever.
    #[test]
    fn the_text_of_version_1_is_read() {
        let text = br#"{"version":1,"field":"latest","job_id":"8c6f2a0e-3f4b-4b7e-9d0a-2f1c5e6d7a8b","server":"reactor",
            "tool":"simulate","completed_at":"2025-12-17T14:25:00.123Z","value":[1],"of a later release":true}"#;
        let StateFile::State(read) = parse(name(), text) else { panic!("a file of version 1") };
        assert_eq!(read.value, json!([1]));
        assert_eq!(clock::rfc3339(read.completed_at), "2025-12-17T14:25:00.123Z");
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let later = parse(name(), br#"{"version":2,"all":"different"}"#);
        assert!(matches!(later, StateFile::LaterVersion(2)));
        for damaged in ["", "{", "[]", "{\"version\":1}", "\u{0}\u{0}"] {
            let found = parse(name(), damaged.as_bytes());
            assert!(matches!(found, StateFile::Damaged(_)), "{damaged:?}");
        }
    }
}
