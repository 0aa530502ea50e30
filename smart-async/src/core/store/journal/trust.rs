//! Whose files a store reads. A record can make a server run its tools, so a file that another user owns or may write to is
//! refused, and so is one that is not a regular file: opening a pipe or following a link would give others power as well.
//!
//! The folder itself may be a link, since the operator names it; the folder that it leads to is checked.

use std::fmt;
use std::fs::{Metadata, OpenOptions};
use std::io;
use std::path::Path;

use crate::core::env_vars::{self, Lookup};

/// Whose files a store reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Trust {
    /// Those of the user as whom this process runs, or of root.
    #[default]
    OwnUser,
    /// All: the operator says that every writer of the folder may run the server's tools.
    Anyone,
}

/// Why a file or folder is refused.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Owner { owner: u32, own: u32 },
    Writable { mode: u32 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { owner, own } => {
                write!(f, "it belongs to user {owner}, and this server runs as user {own}")
            }
            Self::Writable { mode } => write!(f, "other users may write to it (mode {mode:04o})"),
        }
    }
}

impl Fault {
    /// The command that mends it, or another folder where the operator means to share this one.
    fn remedy(&self, path: &Path) -> String {
        const STICKY: u32 = 0o1000;
        let quoted = format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
        let command = match self {
            Self::Writable { mode } if mode & STICKY != 0 => {
                return "it is a folder that users share, so name one of your own inside it"
                    .to_owned();
            }
            Self::Owner { own, .. } => format!("chown {own} {quoted}"),
            Self::Writable { .. } => format!("chmod go-w {quoted}"),
        };
        format!("run {command} once you know that all in it is yours")
    }
}

fn fault(owner: u32, mode: u32, own: u32) -> Option<Fault> {
    const ROOT: u32 = 0;
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    if owner != own && owner != ROOT {
        return Some(Fault::Owner { owner, own });
    }
    (mode & WRITABLE_BY_OTHERS != 0).then_some(Fault::Writable { mode: mode & 0o7777 })
}

impl Trust {
    /// The choice of the operator.
    pub(super) fn of(lookup: Lookup<'_>) -> Self {
        if env_vars::switch(lookup, env_vars::TRUST_FOLDER) { Self::Anyone } else { Self::OwnUser }
    }

    /// Opens a regular file with these options, and checks it. It never waits, and follows no link.
    pub(super) fn open(self, options: &mut OpenOptions, path: &Path) -> io::Result<std::fs::File> {
        let file = never_waiting(options).open(path).map_err(explain)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(refused("it is not a regular file"));
        }
        self.check(&metadata, path)?;
        Ok(file)
    }

    /// Checks a folder in the job folder, if it is there.
    pub(super) fn check_folder(self, path: &Path) -> io::Result<()> {
        self.check_that(path, path.symlink_metadata(), Metadata::is_dir, "it is not a folder")
    }

    /// Checks the job folder, if it is there.
    pub(super) fn check_home(self, path: &Path) -> io::Result<()> {
        self.check_that(path, path.metadata(), Metadata::is_dir, "it is not a folder")
    }

    /// Checks a file that is opened later, if it is there.
    pub(super) fn check_file(self, path: &Path) -> io::Result<()> {
        let found = path.symlink_metadata();
        self.check_that(path, found, Metadata::is_file, "it is not a regular file")
    }

    fn check_that(
        self,
        path: &Path,
        found: io::Result<Metadata>,
        is_of_kind: fn(&Metadata) -> bool,
        otherwise: &str,
    ) -> io::Result<()> {
        match found {
            Ok(found) if found.is_symlink() => Err(refused(LINK)),
            Ok(found) if !is_of_kind(&found) => Err(refused(otherwise)),
            Ok(found) => self.check(&found, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    #[cfg(unix)]
    fn check(self, metadata: &Metadata, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        if self == Self::Anyone {
            return Ok(());
        }
        match fault(metadata.uid(), metadata.mode(), own_user()) {
            None => Ok(()),
            Some(fault) => {
                let (remedy, variable) = (fault.remedy(path), env_vars::TRUST_FOLDER);
                Err(refused(&format!(
                    "{fault}, so that they could make this server run its tools: {remedy}, or set {variable}=true if all who \
                     can write to the folder may do that"
                )))
            }
        }
    }

    /// Other systems keep the rights of files elsewhere.
    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    fn check(self, _: &Metadata, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

const LINK: &str =
    "it is a symbolic link, and none is followed in the job folder: put the file itself there";

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

#[cfg(unix)]
fn never_waiting(options: &mut OpenOptions) -> &OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
}

#[cfg(not(unix))]
fn never_waiting(options: &mut OpenOptions) -> &OpenOptions {
    options
}

/// The system's errors for a link and for a pipe without a reader say little.
#[cfg(unix)]
fn explain(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ELOOP) => refused(LINK),
        Some(libc::ENXIO) => refused("it is not a regular file"),
        _ => error,
    }
}

#[cfg(not(unix))]
const fn explain(error: io::Error) -> io::Error {
    error
}

/// The user as whom this process opens files.
#[cfg(unix)]
#[expect(unsafe_code, reason = "the call takes and writes no memory, and never fails")]
fn own_user() -> u32 {
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_own_user_and_of_root_are_trusted_unless_others_may_write() {
        for owner in [0, 1000] {
            for mode in [0o600, 0o644, 0o700, 0o755, 0o400] {
                assert_eq!(fault(owner, 0o100_000 | mode, 1000), None);
            }
            for mode in [0o660, 0o606, 0o664, 0o775, 0o777, 0o1777, 0o2775] {
                let expected = Some(Fault::Writable { mode });
                assert_eq!(fault(owner, 0o40_000 | mode, 1000), expected);
            }
        }
        for (owner, own) in [(1001, 1000), (1000, 0), (65534, 1000)] {
            assert_eq!(fault(owner, 0o600, own), Some(Fault::Owner { owner, own }));
        }
    }

    #[test]
    fn the_remedy_is_a_command_that_a_shell_takes() {
        let writable = Fault::Writable { mode: 0o775 };
        let path = Path::new("/home/ann/it's mine");
        let once = "once you know that all in it is yours";
        assert_eq!(
            writable.remedy(path),
            format!(r"run chmod go-w '/home/ann/it'\''s mine' {once}")
        );
        let owner = Fault::Owner { owner: 7, own: 1000 };
        assert_eq!(owner.remedy(Path::new("/jobs")), format!("run chown 1000 '/jobs' {once}"));
    }

    #[test]
    fn no_command_is_given_for_a_folder_that_users_share() {
        let remedy = Fault::Writable { mode: 0o1777 }.remedy(Path::new("/tmp"));
        assert!(remedy.contains("inside it") && !remedy.contains("chmod"), "{remedy}");
    }

    #[test]
    fn the_operator_can_trust_everyone() {
        assert_eq!(Trust::of(&|_| None), Trust::OwnUser);
        let on = |name: &str| (name == "JOB_MCP_TRUST_FOLDER").then(|| "true".to_owned());
        assert_eq!(Trust::of(&on), Trust::Anyone);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_everyone_may_write_to_is_taken_where_the_operator_says_so() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        fs::write(&file, "text").unwrap();
        for path in [folder.path(), &file] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let open = |trust: Trust| trust.open(OpenOptions::new().read(true), &file);
        assert!(open(Trust::OwnUser).is_err() && open(Trust::Anyone).is_ok());
        assert!(Trust::OwnUser.check_home(folder.path()).is_err());
        assert!(Trust::Anyone.check_home(folder.path()).is_ok());
        // No link is followed even then.
        let link = folder.path().join("a link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(Trust::Anyone.open(OpenOptions::new().read(true), &link).is_err());
        assert!(Trust::Anyone.check_file(&link).is_err());
    }
}
