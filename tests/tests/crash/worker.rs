//! A process that uses the folder, and is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use smart_async_tests::crash::Line;

/// One life of a worker, by its number.
pub(super) type Life = usize;

/// What a life said; nothing, once its output has ended.
pub(super) type Said = (Life, Option<Line>);

pub(super) struct Worker {
    pub(super) process: Child,
    pub(super) input: ChildStdin,
}

impl Worker {
    pub(super) fn start(folder: &Path, life: Life, seed: u64, said: mpsc::Sender<Said>) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_crash_worker"))
            .arg(folder)
            .args([format!("life{life}"), seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // A line that the kill cut off was never said.
            while output.read_until(b'\n', &mut text).is_ok() && text.ends_with(b"\n") {
                let line = serde_json::from_slice(&text).expect("a whole line is JSON");
                if said.send((life, Some(line))).is_err() {
                    return;
                }
                text.clear();
            }
            let _ = said.send((life, None));
        });
        Self { process, input }
    }
}

/// No process is left behind, however a test ends.
impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
