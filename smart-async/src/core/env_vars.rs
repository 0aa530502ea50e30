//! The environment variables of the library and how each is parsed. An invalid value is reported once and ignored.

mod faults;

use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) use self::faults::report_faults;
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
/// For how long ended jobs are kept, in hours.
pub(crate) const RETENTION_HOURS: &str = "JOB_RETENTION_HOURS";
/// How many ended jobs are kept.
pub(crate) const RETENTION_JOBS: &str = "JOB_RETENTION_JOBS";
/// How many bytes of ended jobs are kept.
pub(crate) const RETENTION_BYTES: &str = "JOB_RETENTION_BYTES";
/// The size of the largest result that is kept, in bytes.
pub(crate) const MAX_RESULT_BYTES: &str = "JOB_MAX_RESULT_BYTES";
/// How many jobs one process may run or have waiting at a time.
pub(crate) const MAX_LIVE: &str = "JOB_MAX_LIVE";
/// How many explicit jobs may run at a time in all processes that share the store.
pub(crate) const MAX_JOBS: &str = "MAX_CONCURRENT_JOBS";
/// How many of these of one session.
pub(crate) const MAX_JOBS_PER_SESSION: &str = "MAX_CONCURRENT_JOBS_PER_SESSION";
/// The load of the memory, in percent, from which on heavy work is held back.
pub(crate) const MAX_MEMORY_PERCENT: &str = "JOB_MAX_MEMORY_PERCENT";
/// The load of the processors, in percent, from which on heavy work is held back.
pub(crate) const MAX_CPU_PERCENT: &str = "JOB_MAX_CPU_PERCENT";
/// The free share of the disk, in percent, below which heavy work is held back.
pub(crate) const MIN_DISK_PERCENT: &str = "JOB_MIN_DISK_PERCENT";
/// The free bytes of the disk below which heavy work is held back.
pub(crate) const MIN_DISK_BYTES: &str = "JOB_MIN_DISK_BYTES";
/// How many idempotency keys are kept.
pub(crate) const MAX_KEYS: &str = "JOB_MAX_KEYS";
/// How many bytes of answers are kept for them.
pub(crate) const MAX_KEY_BYTES: &str = "JOB_MAX_KEY_BYTES";
/// The folder of the journal store, in place of `~/.job_mcp`.
pub(crate) const HOME: &str = "JOB_MCP_HOME";
/// `true` takes a job folder that other users own or may write to.
pub(crate) const TRUST_FOLDER: &str = "JOB_MCP_TRUST_FOLDER";

/// All of them.
const KNOWN: [&str; 19] = [
    TIMEOUT_SECONDS,
    WAIT_SECONDS,
    DEBUG,
    CLEANUP_INTERVAL,
    RETENTION_HOURS,
    RETENTION_JOBS,
    RETENTION_BYTES,
    MAX_RESULT_BYTES,
    MAX_LIVE,
    MAX_JOBS,
    MAX_JOBS_PER_SESSION,
    MAX_MEMORY_PERCENT,
    MAX_CPU_PERCENT,
    MIN_DISK_PERCENT,
    MIN_DISK_BYTES,
    MAX_KEYS,
    MAX_KEY_BYTES,
    HOME,
    TRUST_FOLDER,
];

/// Returns the value of a variable: from the environment of the process, or from a table in a test.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks up the environment of the process. A value that is not Unicode is invalid, not absent.
pub(crate) fn process(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Reads a duration: a number of seconds (`20`, `0.5`), or text with units (`1m30s`). `None` if the variable is absent or invalid.
pub(crate) fn duration(lookup: Lookup<'_>, name: &str) -> Option<Duration> {
    const ALLOWED: &str =
        "a positive number of seconds such as 20 or 0.5, or a length of time such as 1m30s";
    parsed(lookup, name, parse_duration, ALLOWED)
}

/// Reads a duration: a number of hours (`24`, `0.5`), or text with units (`7d`). `None` if the variable is absent or invalid.
pub(crate) fn hours(lookup: Lookup<'_>, name: &str) -> Option<Duration> {
    let parse = |value: &str| parse_time(value, 3600.0);
    parsed(lookup, name, parse, "a positive number of hours, or a length of time such as 7d")
}

/// Reads a positive whole number. `None` if the variable is absent or invalid.
pub(crate) fn count(lookup: Lookup<'_>, name: &str) -> Option<usize> {
    let parse = |value: &str| value.trim().parse().ok().filter(|count| *count > 0);
    parsed(lookup, name, parse, "a positive whole number")
}

/// Reads a number from 1 to 100. `None` if the variable is absent or invalid.
pub(crate) fn percent(lookup: Lookup<'_>, name: &str) -> Option<f64> {
    let parse = |value: &str| {
        let number = value.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
        number.filter(|percent| (1.0..=100.0).contains(percent))
    };
    parsed(lookup, name, parse, "a number from 1 to 100")
}

/// Reads a number of bytes: `1000000`, or with a unit, `64MiB`. `None` if the variable is absent or invalid.
pub(crate) fn bytes(lookup: Lookup<'_>, name: &str) -> Option<u64> {
    parsed(lookup, name, parse_bytes, "a positive number of bytes such as 1000000 or 64MiB")
}

/// Reads a value, and reports it once where it is invalid.
fn parsed<T>(
    lookup: Lookup<'_>,
    name: &str,
    parse: impl FnOnce(&str) -> Option<T>,
    allowed: &str,
) -> Option<T> {
    let value = lookup(name)?;
    let parsed = parse(&value);
    if parsed.is_none() {
        report_once(name, &value, allowed);
    }
    parsed
}

fn parse_duration(value: &str) -> Option<Duration> {
    parse_time(value, 1.0)
}

/// Reads a number of units, of so many seconds each, or text with units of its own.
fn parse_time(value: &str, unit_seconds: f64) -> Option<Duration> {
    let value = value.trim();
    let parsed = match value.parse::<f64>() {
        Ok(units) => Duration::try_from_secs_f64(units * unit_seconds).ok(),
        Err(_) => humantime::parse_duration(value).ok(),
    };
    parsed.filter(|duration| !duration.is_zero())
}

fn parse_bytes(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(digits)?;
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "kib" => 1 << 10,
        "mb" => 1_000_000,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
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
    fn each_name_is_in_the_list_of_all() {
        let lines = include_str!("env_vars.rs").lines();
        let constants = lines.filter(|line| line.starts_with("pub(crate) const "));
        let names: Vec<_> = constants.filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(names, KNOWN);
    }

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
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("7", Some(7)),
            ("2 KiB", Some(2048)),
            ("1gb", Some(1_000_000_000)),
            ("3MB", Some(3_000_000)),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
        for text in
            ["", "0", "-1", "1.5MiB", "MiB", "1 XB", "99999999999999999999", "99999999999GiB"]
        {
            assert_eq!(parse_bytes(text), None, "{text}");
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
