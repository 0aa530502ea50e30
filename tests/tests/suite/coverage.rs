//! `.ci/coverage` chooses the tool that is there, and says so where none is. The tools are stand-ins that write down how they
//! were called.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::docs::root;

fn put(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs the script on a machine that has these subcommands of cargo, and the component or not. The measuring ends with this code.
fn run(subcommands: &[&str], has_component: bool, code: i32) -> Output {
    let machine = TempDir::new().unwrap();
    let folder = machine.path();
    let known = subcommands.join("|");
    let known = if known.is_empty() { "none".to_owned() } else { known };
    let script = format!(
        "case $1 in {known}) ;; *) exit 101 ;; esac\n\
         if [ \"$2\" = --version ]; then exit 0; fi\n\
         echo \"measured by $*\"; exit {code}"
    );
    put(folder, "cargo", &script);
    put(folder, "rustc", &format!("echo {}/toolchain", folder.display()));
    put(folder, "rustup", "exit 1");
    if has_component {
        put(folder, "toolchain/lib/rustlib/here/bin/llvm-cov", "");
    }
    let path = format!("{}:/usr/bin:/bin", folder.display());
    Command::new(root().join(".ci/coverage")).env("PATH", path).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn llvm_cov_measures_where_its_component_is_there() {
    let (code, text) = said(&run(&["llvm-cov", "tarpaulin"], true, 0));
    assert!(code == Some(0) && text.starts_with("measured by llvm-cov --workspace"), "{text}");
}

#[test]
fn tarpaulin_measures_where_llvm_cov_cannot() {
    for (subcommands, has_component) in
        [(&["llvm-cov", "tarpaulin"][..], false), (&["tarpaulin"], true)]
    {
        let (code, text) = said(&run(subcommands, has_component, 0));
        assert!(code == Some(0) && text.starts_with("measured by tarpaulin --workspace"), "{text}");
    }
}

#[test]
fn a_machine_without_either_is_told_that_nothing_was_checked() {
    for (subcommands, has_component) in [(&["llvm-cov"][..], false), (&[], true)] {
        let (code, text) = said(&run(subcommands, has_component, 0));
        assert!(code == Some(69) && text.starts_with("!!! NOT CHECKED: line coverage"), "{text}");
    }
}

#[test]
fn a_test_that_fails_while_it_is_measured_fails_the_script() {
    for tool in ["llvm-cov", "tarpaulin"] {
        assert_eq!(said(&run(&[tool], true, 1)).0, Some(1), "{tool}");
    }
}
