//! The check of the environment at the beginning: an operator who misspells a name would wonder why it has no effect, and a value
//! that a call reads is invalid before the first call.

use super::{CLEANUP_INTERVAL, KNOWN, TIMEOUT_SECONDS, WAIT_SECONDS, duration, process};
use crate::core::observe;

/// Reports each variable of the process whose name is nearly a known one, and each invalid time.
pub(crate) fn report_faults() {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if let Some(meant) = meant_by(&name) {
            observe::warn!("environment variable {name} has no effect: did you mean {meant}?");
        }
    }
    for name in [TIMEOUT_SECONDS, WAIT_SECONDS, CLEANUP_INTERVAL] {
        duration(&process, name);
    }
}

/// The known variable that is meant by a name that is none.
fn meant_by(name: &str) -> Option<&'static str> {
    let is_longest_typing_error = |distance: usize| match name.len() {
        ..16 => distance == 1,
        _ => distance <= 2,
    };
    let upper = name.to_ascii_uppercase();
    let is_ours = ["SMART_ASYNC_", "JOB_"].iter().any(|prefix| upper.starts_with(prefix));
    // Windows does not tell letters of both cases apart.
    let is_known = |known: &&str| **known == *name || (cfg!(windows) && **known == *upper);
    if !is_ours || KNOWN.iter().any(is_known) {
        return None;
    }
    let begins = |known: &str| {
        upper.starts_with("SMART_ASYNC_")
            && known.strip_prefix(upper.as_str()).is_some_and(|rest| rest.starts_with('_'))
    };
    let mut distances = KNOWN.iter().map(|known| (mistakes(&upper, known), *known));
    distances
        .clone()
        .filter(|(distance, _)| *distance == 0 || is_longest_typing_error(*distance))
        .min()
        .or_else(|| distances.find(|(_, known)| begins(known)))
        .map(|(_, known)| known)
}

/// How many letters one has to leave out, add or replace to make one name of the other. Two neighbours in the wrong order are one
/// mistake.
fn mistakes(name: &str, other: &str) -> usize {
    if are_neighbours_swapped(name, other) {
        return 1;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in name.bytes().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        let above = row.iter().zip(row.iter().skip(1));
        for (expected, (above_left, above)) in other.bytes().zip(above) {
            let replaced = above_left + usize::from(letter != expected);
            left = replaced.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Returns whether two neighbours in the wrong order are all that tells the names apart.
fn are_neighbours_swapped(name: &str, other: &str) -> bool {
    let letters = name.bytes().zip(other.bytes()).enumerate();
    let differing: Vec<_> = letters.filter(|(_, (letter, expected))| letter != expected).collect();
    name.len() == other.len()
        && matches!(*differing, [(first, (a, b)), (second, (c, d))] if second == first + 1 && (a, b) == (d, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_a_known_one_leads_to_it() {
        for (name, meant) in [
            ("SMART_ASYNC_TIMEOUT_SECOND", "SMART_ASYNC_TIMEOUT_SECONDS"),
            ("SMART_ASYNC_TIEMOUT_SECONDS", "SMART_ASYNC_TIMEOUT_SECONDS"),
            ("SMART_ASYNC_TIMEOUT", "SMART_ASYNC_TIMEOUT_SECONDS"),
            ("SMART_ASYNC_WAIT", "SMART_ASYNC_WAIT_SECONDS"),
            ("smart_async_debug", "SMART_ASYNC_DEBUG"),
            ("JOB_MPC_HOME", "JOB_MCP_HOME"),
            ("JOB_MCP_HOM", "JOB_MCP_HOME"),
            ("JOB_RETENTION_HOUR", "JOB_RETENTION_HOURS"),
        ] {
            assert_eq!(meant_by(name).unwrap_or_default(), meant, "{name}");
        }
    }

    #[test]
    fn names_of_others_and_known_ones_are_left_alone() {
        let others = ["JOB_NAME", "JOB_ID", "JOB", "JOB_MAX_TIME", "SMART_ASYNC_CUTS", "HOME"];
        for name in others.iter().chain(&KNOWN) {
            assert_eq!(meant_by(name), None, "{name}");
        }
    }
}
