//! Which budget holds for a call: how long it may take before it becomes a job, and where that was said.

use std::time::Duration;

use crate::call::host_timeouts::Patience;
use crate::core::call_site::CallSite;
use crate::core::env_vars::{self, Lookup};

/// The budget of tools whose annotation says nothing: two thirds of what the most impatient hosts bear.
const FALLBACK: Duration = Duration::from_secs(20);

/// The budget of a call made now. Read anew at each call, so that an operator can change it without a restart where
/// the program itself changes its environment. `host` is what the calling host is known to bear.
pub(crate) fn of(site: &CallSite, host: Option<Patience>) -> Duration {
    resolve(site, host, &env_vars::process)
}

/// The budget of a call that goes on with work of another process, whose tool's own wishes are not known here.
pub(crate) fn of_any(site: Option<&CallSite>, host: Option<Patience>) -> Duration {
    const UNKNOWN: CallSite = CallSite::new("");
    of(site.unwrap_or(&UNKNOWN), host)
}

fn resolve(site: &CallSite, host: Option<Patience>, lookup: Lookup<'_>) -> Duration {
    site.timeout_env
        .and_then(|name| env_vars::duration(lookup, name))
        .or_else(|| env_vars::duration(lookup, env_vars::TIMEOUT_SECONDS))
        .unwrap_or_else(|| {
            // The operator's word is taken as it is; the author's, as far as the host bears it.
            let wanted = site.default_timeout.unwrap_or(FALLBACK);
            host.map_or(wanted, |host| wanted.min(host.budget()))
        })
}

/// A budget as the ticket names it: seconds with one decimal, or more where it is shorter than that.
pub(crate) fn spoken(budget: Duration) -> String {
    const TENTH: u32 = 100_000_000;
    if budget >= Duration::from_millis(100) {
        match (budget.as_secs(), budget.subsec_nanos()) {
            // The same, in a tenth of the time.
            (seconds, nanos) if nanos % TENTH == 0 => format!("{seconds}.{}s", nanos / TENTH),
            _ => format!("{:.1}s", budget.as_secs_f64()),
        }
    } else {
        format!("{}ms", budget.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::host_timeouts::Hosts;

    const SITE: CallSite =
        CallSite::new("simulate").timeout_env("SIMULATE_TIMEOUT").default_timeout(7, 0);

    fn seconds(site: &CallSite, environment: &[(&str, &str)]) -> u64 {
        seconds_for(site, "somebody", environment)
    }

    fn seconds_for(site: &CallSite, host: &str, environment: &[(&str, &str)]) -> u64 {
        let lookup = |name: &str| {
            environment
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        resolve(site, Hosts::default().patience(host), &lookup).as_secs()
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
    fn a_bad_value_is_passed_over() {
        assert_eq!(
            seconds(&SITE, &[("SIMULATE_TIMEOUT", "0"), ("SMART_ASYNC_TIMEOUT_SECONDS", "soon")]),
            7
        );
    }

    #[test]
    fn without_a_word_it_is_twenty_seconds() {
        assert_eq!(seconds(&CallSite::new("simulate"), &[]), 20);
    }

    #[test]
    fn a_host_that_bears_less_lowers_the_budget_and_never_raises_it() {
        let long = CallSite::new("simulate").default_timeout(300, 0);
        assert_eq!(seconds_for(&long, "claude-ai", &[]), 40);
        assert_eq!(seconds_for(&CallSite::new("simulate"), "spring-ai-mcp-client", &[]), 13);
        assert_eq!(seconds_for(&CallSite::new("simulate"), "gemini-cli-mcp-client", &[]), 20);
        assert_eq!(seconds_for(&SITE, "claude-ai", &[]), 7);
    }

    #[test]
    fn the_environment_wins_over_what_a_host_bears() {
        let environment = [("SMART_ASYNC_TIMEOUT_SECONDS", "90")];
        assert_eq!(seconds_for(&SITE, "spring-ai-mcp-client", &environment), 90);
        let environment = [("SIMULATE_TIMEOUT", "80")];
        assert_eq!(seconds_for(&SITE, "spring-ai-mcp-client", &environment), 80);
    }

    #[test]
    fn a_budget_is_spoken_in_seconds() {
        assert_eq!(spoken(Duration::from_secs(20)), "20.0s");
        assert_eq!(spoken(Duration::from_millis(1500)), "1.5s");
        assert_eq!(spoken(Duration::from_millis(2160)), "2.2s");
        for tenths in 1..1000 {
            let budget = Duration::from_millis(tenths * 100);
            assert_eq!(spoken(budget), format!("{:.1}s", budget.as_secs_f64()));
        }
        assert_eq!(spoken(Duration::from_millis(50)), "50ms");
    }
}
