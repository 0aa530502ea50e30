//! Keys in error messages: the list of all, and the suggestion for a misspelled one.

use super::KEYS;

pub(super) fn all_keys() -> String {
    let names: Vec<_> = KEYS.iter().map(|(name, ..)| format!("`{name}`")).collect();
    listed(&names, "and")
}

/// Joins names as in "`a`, `b` and `c`".
pub(super) fn listed(names: &[String], conjunction: &str) -> String {
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {conjunction} {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The key with the smallest edit distance, if that is small enough for a typing error.
pub(super) fn nearest_key(spelled: &str) -> Option<&'static str> {
    let spelled = spelled.trim_start_matches("r#").to_lowercase().replace('-', "_");
    let allowed_distance = (spelled.chars().count() / 3).clamp(1, 3);
    KEYS.iter()
        .map(|(name, ..)| (edit_distance(&spelled, name), *name))
        .filter(|(distance, _)| *distance <= allowed_distance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The Levenshtein distance.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, left_letter) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        let mut next = vec![before];
        for (right_letter, above) in right.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(left_letter != *right_letter);
            before = replaced.min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
