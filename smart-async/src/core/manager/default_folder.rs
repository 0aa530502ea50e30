//! The folder that jobs are kept in where the program names none: the one that the operator's variable names, else `~/.job_mcp`.
//!
//! Hosts pass on what their configuration says, and no shell reads it: `${HOME}/jobs` or a quoted path would become a folder of that
//! name wherever the host was started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, path};

use super::open_error::OpenError;
use crate::core::env_vars;
use crate::core::observe;

/// The folder that the environment of the process names.
pub(super) fn default_folder() -> Result<PathBuf, OpenError> {
    let home = env::home_dir().filter(|home| !home.as_os_str().is_empty());
    resolve(env::var_os(env_vars::HOME), home.as_deref())
}

fn resolve(named: Option<OsString>, home: Option<&Path>) -> Result<PathBuf, OpenError> {
    let in_home = |rest: &str| home.map(|home| home.join(rest)).ok_or(OpenError::NoHome);
    let Some(named) = named else { return in_home(".job_mcp") };
    let text = named.to_string_lossy();
    if text.trim().is_empty() {
        return in_home(".job_mcp");
    }
    if &*text == "~" {
        return in_home("");
    }
    if let Some(rest) = text.strip_prefix("~/") {
        return in_home(rest);
    }
    if let Some(reason) = fault(&text) {
        return Err(OpenError::FolderName { name: text.into_owned(), reason });
    }
    let folder = PathBuf::from(named);
    if folder.is_relative()
        && let Ok(folder) = path::absolute(&folder)
    {
        let name = env_vars::HOME;
        observe::warn!(
            folder = %folder.display(),
            "{name} is not an absolute path: the jobs are where this server was started"
        );
    }
    Ok(folder)
}

/// Why a name cannot be meant as it stands, if so.
fn fault(name: &str) -> Option<&'static str> {
    let names_variable = |sign: char| {
        let mut after = name.split(sign).skip(1);
        after
            .any(|rest| rest.starts_with(|c: char| c == '{' || c.is_ascii_alphabetic() || c == '_'))
    };
    if name.trim() != name {
        Some("it has blanks around it")
    } else if name.starts_with(['"', '\'']) || name.ends_with(['"', '\'']) {
        Some("it has quotes around it")
    } else if name.starts_with('~') {
        Some("only ~/ at the beginning stands for the home folder")
    } else if names_variable('$') || (name.matches('%').count() > 1 && names_variable('%')) {
        Some("variables in it are not replaced, since no shell reads it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(named: &str) -> Result<PathBuf, OpenError> {
        resolve(Some(named.into()), Some(Path::new("/home/ann")))
    }

    #[test]
    fn a_folder_is_named_by_its_path_or_from_the_home_folder() {
        assert_eq!(
            resolve(None, Some(Path::new("/home/ann"))).unwrap(),
            Path::new("/home/ann/.job_mcp")
        );
        for (named, folder) in [
            ("", "/home/ann/.job_mcp"),
            ("  ", "/home/ann/.job_mcp"),
            ("~", "/home/ann"),
            ("~/jobs", "/home/ann/jobs"),
            ("/var/lib/jobs", "/var/lib/jobs"),
            ("/srv/100%/a$ b", "/srv/100%/a$ b"),
            ("jobs", "jobs"),
        ] {
            assert_eq!(resolved(named).unwrap(), Path::new(folder), "{named:?}");
        }
        assert!(matches!(resolve(Some("~/jobs".into()), None), Err(OpenError::NoHome)));
    }

    #[test]
    fn a_name_that_only_a_shell_would_understand_is_refused_in_words() {
        for named in [
            "${HOME}/jobs",
            "$HOME/jobs",
            "${workspaceFolder}",
            "%USERPROFILE%\\jobs",
            "\"/var/lib/jobs\"",
            "'/var/lib/jobs'",
            " /var/lib/jobs",
            "/var/lib/jobs\n",
            "~ann/jobs",
            "~jobs",
        ] {
            let error = resolved(named).unwrap_err().to_string();
            assert!(
                error.starts_with("failed to open the job folder: JOB_MCP_HOME is "),
                "{error}"
            );
            assert!(
                error.ends_with("write the whole path of a folder, or begin with ~/"),
                "{error}"
            );
        }
    }
}
