//! Why a manager could not be opened.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use crate::core::store::StoreError;

/// Why a manager could not be opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum OpenError {
    /// No folder was named, and there is no home folder.
    NoHome,
    /// The variable `JOB_MCP_HOME` does not name a folder.
    FolderName {
        /// The value of the variable.
        name: String,
        /// The fault of it.
        reason: &'static str,
    },
    /// The folder cannot be used.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The failure.
        source: StoreError,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => f.write_str(
                "failed to find the home folder for ~/.job_mcp; name a folder with JOB_MCP_HOME",
            ),
            Self::FolderName { name, reason } => write!(
                f,
                "failed to open the job folder: JOB_MCP_HOME is {name:?}, but {reason}; write the whole path of a folder, \
                 or begin with ~/"
            ),
            Self::Folder { folder, source } => write!(
                f,
                "failed to open the job folder {}: {source}; mend it, name another one with JOB_MCP_HOME, or go on without a \
                 disk by JobManager::open_or_memory",
                folder.display()
            ),
        }
    }
}

/// It names no source, since its text has the source's: reports of a chain, such as `anyhow`'s, would print that once more.
impl Error for OpenError {}

impl OpenError {
    /// The error as a client reads it, without places of the server.
    pub(crate) fn client_text(&self) -> String {
        match self {
            Self::NoHome => "the server has no folder for its jobs".to_owned(),
            Self::FolderName { .. } => {
                "the variable JOB_MCP_HOME of the server does not name a folder".to_owned()
            }
            Self::Folder { source, .. } => source.client_text(),
        }
    }
}
