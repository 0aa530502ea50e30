//! How long the jobs of each tool ran, by which an answer tells its caller when to ask again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::core::store::UsualRun;
use crate::core::sync::Mutex;

#[derive(Debug, Default)]
pub(in crate::core) struct RunTimes(Mutex<HashMap<String, Runs>>);

/// The newest runs of a tool, and their median: a ticket asks for it more often than a run ends.
#[derive(Debug, Default)]
struct Runs {
    newest: VecDeque<Duration>,
    median: Option<Duration>,
}

impl RunTimes {
    pub(in crate::core) fn remember(&self, tool: &str, ran: Duration) {
        let mut tools = self.0.lock();
        let runs = tools.entry(tool.to_owned()).or_default();
        if runs.newest.len() == UsualRun::RUNS {
            runs.newest.pop_front();
        }
        runs.newest.push_back(ran);
        let newest = runs.newest.iter().copied().collect();
        runs.median = UsualRun::new(tool, newest).map(|usual| usual.median);
    }

    /// Remembers the earlier runs of a tool, of which the store knows the median.
    pub(in crate::core) fn seed(&self, usual: &UsualRun) {
        for _ in 0..usual.runs {
            self.remember(&usual.tool, usual.median);
        }
    }

    /// The median of the remembered runs of a tool.
    pub(in crate::core) fn usual(&self, tool: &str) -> Option<Duration> {
        self.0.lock().get(tool)?.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_run_is_the_median_of_the_last_twenty() {
        let times = RunTimes::default();
        assert_eq!(times.usual("simulate"), None);
        for seconds in 1..=100 {
            times.remember("simulate", Duration::from_secs(seconds));
        }
        assert_eq!(times.usual("simulate"), Some(Duration::from_secs(91)));
        assert_eq!(times.usual("other"), None);
    }
}
