//! Names that are nearly the name of one of our arguments.

/// The most letters in which a misspelt name differs.
const MOST_EDITS: usize = 2;

/// Returns whether a caller who writes `given` may mean the argument `name`: at most two letters or digits are missing, too many,
/// others or exchanged with their neighbours; or `given` says `async`, and the argument does too.
pub(super) fn is_nearly(given: &str, name: &str) -> bool {
    // Longer than any misspelling, with a sign between each two letters.
    if given.len() > 4 * name.len() {
        return false;
    }
    let (given, name) = (letters(given), letters(name));
    within(MOST_EDITS, &given, &name) || says_async(&given) && says_async(&name)
}

fn letters(name: &str) -> Vec<char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn says_async(name: &[char]) -> bool {
    const ASYNC: [char; 5] = ['a', 's', 'y', 'n', 'c'];
    name.windows(ASYNC.len()).any(|letters| letters == ASYNC)
}

/// Returns whether `to` is made from `from` by at most `edits` letters that are inserted, removed, replaced, or exchanged with their
/// neighbours.
fn within(edits: usize, from: &[char], to: &[char]) -> bool {
    match (from, to) {
        ([], rest) | (rest, []) => rest.len() <= edits,
        ([letter, from @ ..], [wanted, to @ ..]) if letter == wanted => within(edits, from, to),
        _ if edits == 0 => false,
        ([letter, from_rest @ ..], [wanted, to_rest @ ..]) => {
            let exchanged = match (from_rest, to_rest) {
                ([second, from @ ..], [next, to @ ..]) => {
                    second == wanted && letter == next && within(edits - 1, from, to)
                }
                _ => false,
            };
            exchanged
                || within(edits - 1, from_rest, to_rest)
                || within(edits - 1, from_rest, to)
                || within(edits - 1, from, to_rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_up_to_two_other_letters_is_nearly_the_same() {
        for given in [
            "asyncmod",
            "async_mod",
            "asynch_mode",
            "aysnc_mode",
            "AsyncMode",
            "async-node",
            "async_modee",
            "assync_mode",
            "a_sync_mode",
            "async",
            "run_async",
            "isAsync",
            "asyncJob",
        ] {
            assert!(is_nearly(given, "async_mode"), "{given}");
        }
        for given in ["job_lable", "joblabl", "job_labels", "jobs_label", "ob_label", "job_labl"] {
            assert!(is_nearly(given, "job_label"), "{given}");
        }
        for given in
            ["mode", "sync", "label", "job", "job_id", "table", "", "job_name", "async\u{301}"]
        {
            assert!(!is_nearly(given, "job_label"), "{given}");
        }
        for given in ["mode", "sync", "any_model", "a_node", "wait", "background"] {
            assert!(!is_nearly(given, "async_mode"), "{given}");
        }
        assert!(!is_nearly(&"x".repeat(1 << 20), "async_mode"));
    }

    #[test]
    fn edits_are_counted() {
        for (from, to, edits) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("ab", "ba", 1),
            ("abcd", "acbd", 1),
            ("abc", "axc", 1),
            ("kitten", "sitting", 3),
            ("aab", "ab", 1),
        ] {
            let (from, to) = (letters(from), letters(to));
            assert!(within(edits, &from, &to), "{from:?} {to:?}");
            assert!(edits == 0 || !within(edits - 1, &from, &to), "{from:?} {to:?}");
        }
    }
}
