//! The budget of a call: how long it may take before it becomes a job, and which setting decides that.

use std::time::Duration;

use crate::core::call_site::CallSite;
use crate::core::env_vars::{self, Lookup};

/// The budget of tools whose annotation sets none.
const FALLBACK: Duration = Duration::from_secs(20);

/// The budget of a call made now. Read anew at each call, so that a program which changes its own environment need not restart.
/// `limit` is the longest budget that the calling host allows, where that is known.
pub(crate) fn of(site: &CallSite, limit: Option<Duration>) -> Duration {
    resolve(site, limit, &env_vars::process)
}

/// The budget of a call that waits for a job of another process, whose tool's annotation is not known here.
pub(crate) fn of_any(site: Option<&CallSite>, limit: Option<Duration>) -> Duration {
    const UNKNOWN: CallSite = CallSite::new("");
    of(site.unwrap_or(&UNKNOWN), limit)
}

fn resolve(site: &CallSite, limit: Option<Duration>, lookup: Lookup<'_>) -> Duration {
    site.timeout_env
        .and_then(|name| env_vars::duration(lookup, name))
        .or_else(|| env_vars::duration(lookup, env_vars::TIMEOUT_SECONDS))
        .unwrap_or_else(|| {
            // A variable is taken as it is; the annotation only as far as the host allows it.
            let budget = site.default_timeout.unwrap_or(FALLBACK);
            limit.map_or(budget, |limit| budget.min(limit))
        })
}

/// A budget as the ticket shows it: in seconds with one decimal, or in milliseconds where it is shorter than a tenth of a second.
pub(crate) fn display(budget: Duration) -> String {
    if budget >= Duration::from_millis(100) {
        format!("{:.1}s", budget.as_secs_f64())
    } else {
        format!("{}ms", budget.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: CallSite =
        CallSite::new("simulate").timeout_env("SIMULATE_TIMEOUT").default_timeout(7, 0);

    fn seconds(site: &CallSite, environment: &[(&str, &str)]) -> u64 {
        seconds_within(site, None, environment)
    }

    fn seconds_within(site: &CallSite, limit: Option<u64>, environment: &[(&str, &str)]) -> u64 {
        let lookup = |name: &str| {
            environment
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        resolve(site, limit.map(Duration::from_secs), &lookup).as_secs()
    }

    #[test]
    fn the_tools_own_variable_wins() {
        assert_eq!(
            seconds(&SITE, &[("SIMULATE_TIMEOUT", "1"), ("SMART_ASYNC_TIMEOUT_SECONDS", "2")]),
            1
        );
    }

    #[test]
    fn the_global_variable_comes_before_the_annotation() {
        assert_eq!(seconds(&SITE, &[("SMART_ASYNC_TIMEOUT_SECONDS", "2")]), 2);
    }

    #[test]
    fn an_invalid_value_is_ignored() {
        assert_eq!(
            seconds(&SITE, &[("SIMULATE_TIMEOUT", "0"), ("SMART_ASYNC_TIMEOUT_SECONDS", "soon")]),
            7
        );
    }

    #[test]
    fn without_a_setting_it_is_twenty_seconds() {
        assert_eq!(seconds(&CallSite::new("simulate"), &[]), 20);
    }

    #[test]
    fn a_host_lowers_the_budget_and_never_raises_it() {
        let long = CallSite::new("simulate").default_timeout(300, 0);
        assert_eq!(seconds_within(&long, Some(40), &[]), 40);
        assert_eq!(seconds_within(&CallSite::new("simulate"), Some(13), &[]), 13);
        assert_eq!(seconds_within(&CallSite::new("simulate"), Some(400), &[]), 20);
        assert_eq!(seconds_within(&SITE, Some(40), &[]), 7);
    }

    #[test]
    fn the_environment_wins_over_the_limit_of_a_host() {
        let environment = [("SMART_ASYNC_TIMEOUT_SECONDS", "90")];
        assert_eq!(seconds_within(&SITE, Some(13), &environment), 90);
        let environment = [("SIMULATE_TIMEOUT", "80")];
        assert_eq!(seconds_within(&SITE, Some(13), &environment), 80);
    }

    #[test]
    fn a_budget_is_displayed_in_seconds() {
        assert_eq!(display(Duration::from_secs(20)), "20.0s");
        assert_eq!(display(Duration::from_millis(1500)), "1.5s");
        assert_eq!(display(Duration::from_millis(2160)), "2.2s");
        assert_eq!(display(Duration::from_millis(50)), "50ms");
    }
}
