//! The names of the job tools on one server, and which of them the server shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use rmcp::model::Tool;

use super::JobTool;
use crate::call::reply::FollowUp;
use crate::core::text::quoted;
use crate::mcp::schema::{LONGEST_NAME, is_name};

/// The arguments about their jobs that callers may give beside `async_mode` and `job_label`, because the author says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::mcp) struct CallerMay {
    /// Tags and a session.
    pub(in crate::mcp) group: bool,
    /// A priority.
    pub(in crate::mcp) prioritize: bool,
}

/// The names of one server's job tools.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct JobToolNames {
    prefix: String,
    hidden: BTreeSet<JobTool>,
    caller_may: CallerMay,
    /// Derived from the two fields above.
    follow_up: Arc<FollowUp>,
}

impl JobToolNames {
    pub(in crate::mcp) fn set_prefix(&mut self, prefix: String) {
        self.prefix = prefix;
        self.derive();
    }

    pub(in crate::mcp) fn hide(&mut self, name: &str) {
        self.hidden.extend(JobTool::ALL.into_iter().filter(|tool| tool.name() == name));
        self.derive();
    }

    fn derive(&mut self) {
        let named = |tool| (!self.hidden.contains(&tool)).then(|| self.full(tool));
        self.follow_up = Arc::new(FollowUp {
            wait: named(JobTool::Wait),
            status: named(JobTool::Status),
            result: named(JobTool::Result),
            answer: named(JobTool::Answer),
            list: named(JobTool::List),
        });
    }

    pub(in crate::mcp) const fn group_jobs(&mut self) {
        self.caller_may.group = true;
    }

    pub(in crate::mcp) const fn prioritize_jobs(&mut self) {
        self.caller_may.prioritize = true;
    }

    pub(in crate::mcp) const fn caller_may(&self) -> CallerMay {
        self.caller_may
    }

    /// The reason why the prefix cannot be used; `None` for one that can.
    pub(in crate::mcp) fn prefix_fault(&self) -> Option<String> {
        let longest = JobTool::ALL.into_iter().map(|tool| tool.name().len()).max().unwrap_or(0);
        let most = LONGEST_NAME - longest;
        let fits = self.prefix.is_empty() || is_name(&self.prefix) && self.prefix.len() <= most;
        (!fits).then(|| {
            format!(
                "the tool prefix `{}` cannot be used, because model APIs refuse such names of tools; give at most {most} \
                 letters, digits, `_` and `-`, with a letter or `_` first",
                quoted(&self.prefix)
            )
        })
    }

    /// The calls that a caller of this server makes next.
    pub(in crate::mcp) fn follow_up(&self) -> Arc<FollowUp> {
        Arc::clone(&self.follow_up)
    }

    /// The tools that this server shows.
    pub(in crate::mcp) fn tools(&self) -> impl Iterator<Item = JobTool> {
        JobTool::ALL.into_iter().filter(|tool| !self.hidden.contains(tool))
    }

    /// The shown tool with this name, prefix included.
    pub(in crate::mcp) fn find(&self, name: &str) -> Option<JobTool> {
        let name = name.strip_prefix(&self.prefix)?;
        self.tools().find(|tool| tool.name() == name)
    }

    /// The tool's name with the prefix.
    pub(in crate::mcp) fn full(&self, tool: JobTool) -> String {
        format!("{}{}", self.prefix, tool.name())
    }

    /// The tool as this server shows it.
    pub(in crate::mcp) fn define(&self, tool: JobTool) -> Tool {
        tool.definition(&self.prefix, self.caller_may.group)
    }
}
