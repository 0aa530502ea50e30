//! How long the jobs of each tool took, so that callers can be told when to ask again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many runs of a tool are remembered.
const RUNS: usize = 20;

#[derive(Debug, Default)]
pub(in crate::core) struct History(Mutex<HashMap<String, VecDeque<Duration>>>);

impl History {
    pub(in crate::core) fn remember(&self, tool: &str, ran: Duration) {
        let mut tools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = tools.entry(tool.to_owned()).or_default();
        if runs.len() == RUNS {
            runs.pop_front();
        }
        runs.push_back(ran);
    }

    /// The median of the runs remembered.
    pub(in crate::core) fn usual(&self, tool: &str) -> Option<Duration> {
        let tools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut runs: Vec<_> = tools.get(tool)?.iter().copied().collect();
        let middle = runs.len() / 2;
        runs.sort_unstable();
        runs.get(middle).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_run_is_the_median_of_the_last_twenty() {
        let history = History::default();
        assert_eq!(history.usual("simulate"), None);
        for seconds in 1..=100 {
            history.remember("simulate", Duration::from_secs(seconds));
        }
        assert_eq!(history.usual("simulate"), Some(Duration::from_secs(91)));
        assert_eq!(history.usual("other"), None);
    }
}
