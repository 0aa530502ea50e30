//! Keys in error messages: the list of all, and the suggestion for one that is misspelled or is called otherwise elsewhere.

use super::KEYS;

/// Names that other libraries have for the same thing, each with its spelling here.
const SYNONYMS: [(&[&str], &str); 19] = [
    (
        &[
            "timeout",
            "budget",
            "inline",
            "inline_timeout",
            "inline_budget",
            "time_budget",
            "timeout_secs",
            "timeout_seconds",
            "timeout_ms",
            "seconds",
            "secs",
            "wait",
        ],
        "default = 20",
    ),
    (&["env", "env_var", "timeout_var", "variable", "default_env"], "timeout_env = \"NAME\""),
    (
        &[
            "max_time",
            "max_duration",
            "max_runtime",
            "hard_timeout",
            "job_timeout",
            "time_limit",
            "limit",
        ],
        "deadline = \"10m\"",
    ),
    (&["background", "always", "always_async", "job", "detach", "detached"], "always_job"),
    (&["spawn_blocking", "sync", "block", "thread"], "blocking"),
    (
        &[
            "concurrency",
            "max_concurrency",
            "concurrent",
            "parallel",
            "max_parallel",
            "slots",
            "semaphore",
        ],
        "max_concurrent = 2",
    ),
    (&["urgency", "prio", "importance"], "priority = 8"),
    (&["heartbeat", "idle", "idle_timeout", "stalled", "inactivity"], "stall = \"2m\""),
    (&["task", "tasks", "require_task", "task_support"], "task_required"),
    (
        &["dedup", "dedupe", "deduplicate", "shared", "join", "single_flight", "singleflight"],
        "coalesce",
    ),
    (&["repeat", "independent"], "repeatable"),
    (
        &["retry", "retries", "rerun", "reruns", "resume", "on_restart", "durable"],
        "restart = \"rerun\"",
    ),
    (&["max_retries", "max_attempts", "attempts", "max_restarts"], "max_reruns = 3"),
    (
        &["idempotency", "idempotent_for", "idempotency_window", "exactly_once"],
        "idempotent = \"24h\"",
    ),
    (&["disconnect", "keep_alive"], "on_disconnect = \"keep\""),
    (&["cancel", "cancellable", "cancelable"], "on_cancel = \"cancel\""),
    (&["secret", "sensitive", "private", "confidential"], "redact"),
    (&["store", "persist", "keep_result", "save_result"], "store_result = false"),
    (&["slot", "state_name"], "state = \"latest_report\""),
];

/// The arguments of a call, which its caller gives and not the author.
const OF_THE_CALL: [&str; 7] = [
    "async_mode",
    "job_label",
    "job_tags",
    "job_session",
    "idempotency_key",
    "label",
    "progress_token",
];

/// The arguments of `#[tool(…)]`.
const OF_TOOL: [&str; 9] = [
    "name",
    "title",
    "description",
    "input_schema",
    "output_schema",
    "annotations",
    "meta",
    "icons",
    "execution",
];

/// The part of an error that says what is probably meant by an unknown key, with the words before the list of all keys.
pub(super) fn hint(spelled: &str) -> String {
    let plain = spelled.trim_start_matches("r#").to_lowercase().replace('-', "_");
    let synonym = SYNONYMS.iter().find(|(others, _)| others.contains(&plain.as_str()));
    if let Some((_, usual)) = synonym {
        format!("; did you mean `{usual}`? The")
    } else if OF_THE_CALL.contains(&plain.as_str()) {
        "; a caller says that as an argument of the call. The".to_owned()
    } else if OF_TOOL.contains(&plain.as_str()) {
        format!("; say it in `#[tool({plain} = …)]`. The")
    } else if let Some(near) = nearest_key(&plain) {
        format!("; did you mean `{near}`? The")
    } else {
        "; the".to_owned()
    }
}

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
fn nearest_key(plain: &str) -> Option<&'static str> {
    let allowed_distance = (plain.chars().count() / 3).clamp(1, 3);
    KEYS.iter()
        .map(|(name, ..)| (edit_distance(plain, name), *name))
        .filter(|(distance, _)| *distance <= allowed_distance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The Levenshtein distance, in which two neighbours in the wrong order are one mistake.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut row_above: Vec<usize> = Vec::new();
    let mut left_before = None;
    for (line, left_letter) in left.chars().enumerate() {
        let mut next = vec![line + 1];
        let mut right_before = None;
        for (column, right_letter) in right.iter().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&row, column) + usize::from(left_letter != *right_letter);
            let mut best = replaced.min(at(&next, column) + 1).min(at(&row, column + 1) + 1);
            if left_before == Some(*right_letter) && right_before == Some(left_letter) {
                best = best.min(at(&row_above, column - 1) + 1);
            }
            next.push(best);
            right_before = Some(*right_letter);
        }
        left_before = Some(left_letter);
        row_above = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_from_elsewhere_is_no_key_and_leads_to_one() {
        let is_key = |name: &str| KEYS.iter().any(|(key, ..)| *key == name);
        for (others, usual) in SYNONYMS {
            assert!(is_key(usual.split(' ').next().unwrap()), "{usual}");
            for other in others {
                assert!(!is_key(other), "{other}");
            }
        }
        for name in OF_THE_CALL.iter().chain(&OF_TOOL) {
            assert!(!is_key(name), "{name}");
        }
    }

    /// Each key with a letter left out, doubled, replaced, or swapped with the next.
    #[test]
    fn each_key_is_found_from_each_of_its_typing_errors() {
        for (name, ..) in KEYS {
            let letters: Vec<char> = name.chars().collect();
            for place in 0..letters.len() {
                let mut left_out = letters.clone();
                left_out.remove(place);
                let mut doubled = letters.clone();
                doubled.insert(place, letters[place]);
                let mut replaced = letters.clone();
                replaced[place] = 'x';
                let mut swapped = letters.clone();
                swapped.swap(place, (place + 1).min(letters.len() - 1));
                for typed in [left_out, doubled, replaced, swapped] {
                    let typed: String = typed.into_iter().collect();
                    if typed != name {
                        assert_eq!(nearest_key(&typed), Some(name), "{typed}");
                    }
                }
            }
        }
    }
}
