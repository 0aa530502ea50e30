//! How the tests of the source report violations of a rule.

use std::collections::BTreeSet;

/// Fails where the rule is violated more often than `limit` times. The limit is 0 for a rule that the code keeps.
#[track_caller]
pub(crate) fn at_most(limit: usize, rule: &str, found: impl IntoIterator<Item = String>) {
    let found: BTreeSet<_> = found.into_iter().collect();
    let list = found.iter().map(String::as_str).collect::<Vec<_>>().join("\n  ");
    println!("{rule}: {} (limit {limit})\n  {list}", found.len());
    assert!(
        found.len() <= limit,
        "{rule}: {}, and the limit is {limit}; see the list above",
        found.len()
    );
}
