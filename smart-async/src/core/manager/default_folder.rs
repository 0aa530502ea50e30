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
use crate::core::text::is_unseen;

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
    let in_home_folder = text.strip_prefix("~/");
    if let Some(reason) = fault(&text, in_home_folder.unwrap_or(&text)) {
        return Err(OpenError::FolderName { name: text.into_owned(), reason });
    }
    if let Some(rest) = in_home_folder {
        return in_home(rest);
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

/// Why a name cannot be meant as it stands, if so. `path` is the name without a `~/` at its beginning.
fn fault(name: &str, path: &str) -> Option<&'static str> {
    let names_variable = |sign: char| {
        let mut after = path.split(sign).skip(1);
        after
            .any(|rest| rest.starts_with(|c: char| c == '{' || c.is_ascii_alphabetic() || c == '_'))
    };
    if name.trim() != name {
        Some("it has blanks around it")
    } else if name.contains(is_unseen) {
        Some("it has characters that are not seen")
    } else if is_url(name) {
        Some("it is a URL, and a path is needed")
    } else if path.starts_with(['"', '\'']) || path.ends_with(['"', '\'']) {
        Some("it has quotes around it")
    } else if path.starts_with('~') {
        Some("only ~/ at the beginning stands for the home folder")
    } else if names_variable('$') || (name.matches('%').count() > 1 && names_variable('%')) {
        Some("variables in it are not replaced, since no shell reads it")
    } else {
        None
    }
}

/// Returns whether the name begins with the scheme of a URL. A single letter is a drive of Windows.
fn is_url(name: &str) -> bool {
    let Some((scheme, rest)) = name.split_once(':') else { return false };
    let is_scheme = scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric());
    is_scheme && (rest.starts_with("//") || scheme.eq_ignore_ascii_case("file"))
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
            ("~/a: b", "/home/ann/a: b"),
            ("/srv/a://b", "/srv/a://b"),
            ("C:\\jobs", "C:\\jobs"),
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
            "~/jobs ",
            "~/jobs\n",
            "~/$USER/jobs",
            "~/'jobs'",
            "~/~/jobs",
            "/srv/a\nb",
            "/srv/a\u{202e}b",
            "file:///tmp/x",
            "file:/tmp/x",
            "File://localhost/tmp/x",
            "https://example.com/jobs",
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
