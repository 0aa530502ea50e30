//! The environment variables of the library and how each is parsed. An invalid value is reported once and ignored.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::core::observe;
use crate::core::sync::Mutex;

/// The budget of calls to all tools: the time in seconds after which a call becomes a job.
pub(crate) const TIMEOUT_SECONDS: &str = "SMART_ASYNC_TIMEOUT_SECONDS";
/// The longest wait of one `wait_job`, in seconds.
pub(crate) const WAIT_SECONDS: &str = "SMART_ASYNC_WAIT_SECONDS";
/// `true` shows spans and events on stderr.
pub(crate) const DEBUG: &str = "SMART_ASYNC_DEBUG";
/// The interval of the sweep that removes ended jobs that are too old or too many, in seconds.
pub(crate) const CLEANUP_INTERVAL: &str = "JOB_CLEANUP_INTERVAL";
/// The folder of the journal store, in place of `~/.job_mcp`.
pub(crate) const HOME: &str = "JOB_MCP_HOME";

/// Returns the value of a variable: from the environment of the process, or from a table in a test.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks up the environment of the process. A value that is not Unicode is invalid, not absent.
pub(crate) fn process(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Reads a duration: a number of seconds (`20`, `0.5`), or text with units (`1m30s`). `None` if the variable is absent or invalid.
pub(crate) fn duration(lookup: Lookup<'_>, name: &str) -> Option<Duration> {
    let value = lookup(name)?;
    let parsed = parse_duration(&value);
    if parsed.is_none() {
        report_once(
            name,
            &value,
            "a positive number of seconds such as 20 or 0.5, or a length of time such as 1m30s",
        );
    }
    parsed
}

fn parse_duration(value: &str) -> Option<Duration> {
    let value = value.trim();
    let parsed = match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(value).ok(),
    };
    parsed.filter(|duration| !duration.is_zero())
}

/// Returns whether the variable is `true`, `1`, `yes` or `on`, in any case.
pub(crate) fn switch(lookup: Lookup<'_>, name: &str) -> bool {
    let Some(value) = lookup(name) else { return false };
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => true,
        "false" | "0" | "no" | "off" | "" => false,
        _ => {
            report_once(name, &value, "true or false");
            false
        }
    }
}

/// Reports an invalid value the first time only: callers read the variables at each call.
fn report_once(name: &str, value: &str, allowed: &str) {
    static REPORTED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
    let new = (name.to_owned(), value.to_owned());
    if REPORTED.lock().insert(new) {
        let value = crate::core::text::quoted(value);
        observe::warn!("environment variable {name}={value:?} is ignored: it must be {allowed}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_seconds_or_with_units() {
        for (text, millis) in
            [("20", 20_000), ("0.5", 500), (" 3 ", 3_000), ("1m30s", 90_000), ("250ms", 250)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn zero_and_nonsense_are_passed_over() {
        for text in ["0", "-1", "nan", "inf", "1e300", "", "soon", "0s", "20 bananas"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn switches_know_the_usual_words() {
        let set = |value: &'static str| switch(&move |_| Some(value.to_owned()), DEBUG);
        assert!(set("true") && set("1") && set("ON"));
        assert!(!set("false") && !set("0") && !set("") && !set("maybe"));
        assert!(!switch(&|_| None, DEBUG));
    }
}
