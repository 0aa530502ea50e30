//! The demo server over HTTP as its users run it: a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A process that serves.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    /// Where it serves: address and port.
    pub(crate) address: String,
}

impl Server {
    /// Starts a demo server over a folder.
    pub(crate) fn start(home: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo_server"));
        command.args(["http", "127.0.0.1:0"]).args(arguments);
        Self::run(command, home)
    }

    /// Starts a server that asks its clients.
    pub(crate) fn start_asking(home: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conformance_server"));
        command.arg("127.0.0.1:0");
        Self::run(command, home)
    }

    /// Starts the example whose clients see their own jobs only.
    pub(crate) fn start_scopes(home: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_http_scopes"));
        command.arg("127.0.0.1:0");
        Self::run(command, home)
    }

    fn run(mut command: Command, home: &Path) -> Self {
        let mut process = command
            .env("JOB_MCP_HOME", home)
            .env_remove("DEMO_TIMEOUT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.and_then(|address| address.strip_suffix("/mcp"));
        let address = address.unwrap_or_else(|| panic!("the server said {line:?}")).to_owned();
        Self { process, address }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Waits until the process has ended.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

/// No process is left behind, however a test ends.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
