//! The time-outs of hosts: how long each waits for the answer of a call, by the name under which it introduces itself.
//!
//! Each entry has a source; docs/reference/configuration.md repeats the table for readers. Where users of a host can set the
//! time-out, the table has the default.

use std::time::Duration;

/// The known time-outs, with their sources.
const KNOWN: [(&str, Duration); 12] = [
    // Claude Desktop. 60 s: github.com/anthropics/claude-code/issues/22542; newer ones 4 min: …/issues/65643.
    ("claude-ai", Duration::from_secs(60)),
    // The command line waits for hours, but the desktop application 60 s: github.com/anthropics/claude-code/issues/63379.
    ("claude-code", Duration::from_secs(60)),
    // docs.cline.bot/mcp/configuring-mcp-servers, "Network Timeout".
    ("Cline", Duration::from_secs(60)),
    // github.com/kky42/codex-as-mcp/issues/5; from June 2026 on 300 s: github.com/openai/codex/pull/28234.
    ("codex-mcp-client", Duration::from_secs(60)),
    // github.com/google-gemini/gemini-cli, docs/tools/mcp-server.md, `timeout`.
    ("gemini-cli-mcp-client", Duration::from_secs(600)),
    // github.com/block/goose, crates/goose/src/config/extensions.rs, DEFAULT_EXTENSION_TIMEOUT.
    ("goose", Duration::from_secs(300)),
    // The Inspector: 5 min, but 60 s in all where progress comes (MCP_REQUEST_MAX_TOTAL_TIMEOUT). Before October 2025
    // it was 10 s: github.com/modelcontextprotocol/inspector/pull/875.
    ("inspector-client", Duration::from_secs(60)),
    // github.com/danny-avila/LibreChat/pull/13774.
    ("@librechat/api-client", Duration::from_secs(60)),
    // github.com/modelcontextprotocol/java-sdk, mcp/src/main/java/…/client/McpClient.java, requestTimeout.
    ("Java SDK MCP Client", Duration::from_secs(20)),
    // Spring AI, McpClientCommonProperties, `spring.ai.mcp.client.request-timeout`.
    ("spring-ai-mcp-client", Duration::from_secs(20)),
    // github.com/microsoft/vscode/issues/261734.
    ("Visual Studio Code", Duration::from_secs(300)),
    // github.com/zed-industries/zed/pull/45378.
    ("Zed", Duration::from_secs(60)),
];

/// The time-outs of hosts: the table, and the settings of the server's author.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct HostTimeouts {
    /// The author's settings, which go before the table; `None` makes a host unknown.
    set: Vec<(String, Option<Duration>)>,
}

impl HostTimeouts {
    /// Sets the time-out of a host.
    pub(in crate::mcp) fn set(&mut self, name: String, timeout: Option<Duration>) {
        self.set.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.set.push((name, timeout));
    }

    /// The time-out of the host of this name, where it is known. Of entries that match, the longest name counts.
    pub(in crate::mcp) fn of(&self, name: &str) -> Option<HostTimeout> {
        fn longest<'a, T>(
            entries: impl Iterator<Item = (&'a str, T)>,
            name: &str,
        ) -> Option<(&'a str, T)> {
            entries.filter(|(entry, _)| matches(name, entry)).max_by_key(|(entry, _)| entry.len())
        }
        let set = self.set.iter().map(|(entry, timeout)| (entry.as_str(), *timeout));
        let timeout = match longest(set, name) {
            Some((_, timeout)) => timeout,
            None => longest(KNOWN.into_iter(), name).map(|(_, timeout)| timeout),
        };
        timeout.map(HostTimeout)
    }
}

/// Returns whether the name is that of the entry, in any case, alone or with more behind it: hosts and bridges add a version, a
/// connection or their own name, after a character that is no letter and no digit. A hyphen is part of a name.
fn matches(name: &str, entry: &str) -> bool {
    let Some((begin, rest)) = name.split_at_checked(entry.len()) else { return false };
    begin.eq_ignore_ascii_case(entry)
        && rest.chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '-')
}

/// How long a host waits for the answer of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) struct HostTimeout(Duration);

impl HostTimeout {
    /// The longest budget of a call: two thirds, since the ticket has to be written and to travel as well, on a machine that
    /// may be busy.
    pub(in crate::mcp) fn budget(self) -> Duration {
        self.0 / 3 * 2
    }

    /// The longest wait of `wait_job`, after which only the answer has to travel: five seconds less, or half where that would
    /// leave nothing.
    pub(in crate::mcp) fn wait(self) -> Duration {
        self.0.saturating_sub(Duration::from_secs(5)).max(self.0 / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(hosts: &HostTimeouts, name: &str) -> Option<u64> {
        hosts.of(name).map(|timeout| timeout.0.as_secs())
    }

    #[test]
    fn a_host_is_known_in_any_case_and_with_more_behind_its_name() {
        let hosts = HostTimeouts::default();
        for name in ["claude-ai", "Claude-AI", "claude-ai (via mcp-remote 0.1.37)", "claude-ai/1.2"]
        {
            assert_eq!(seconds(&hosts, name), Some(60), "{name}");
        }
        assert_eq!(seconds(&hosts, "spring-ai-mcp-client - reactor"), Some(20));
        assert_eq!(seconds(&hosts, "Visual Studio Code - Insiders"), Some(300));
    }

    #[test]
    fn a_host_of_another_name_is_not_known() {
        let hosts = HostTimeouts::default();
        for name in
            ["", "mcp", "claude-aid", "claude-ai-lookalike", "Zedd", "my claude-ai", "ärger"]
        {
            assert_eq!(seconds(&hosts, name), None, "{name}");
        }
    }

    #[test]
    fn the_author_goes_before_the_table_and_can_take_a_host_off_it() {
        let mut hosts = HostTimeouts::default();
        hosts.set("ZED".to_owned(), Some(Duration::from_secs(10)));
        hosts.set("Cline".to_owned(), None);
        hosts.set("mine".to_owned(), Some(Duration::from_secs(3)));
        assert_eq!(seconds(&hosts, "Zed"), Some(10));
        assert_eq!(seconds(&hosts, "Cline"), None);
        assert_eq!(seconds(&hosts, "mine"), Some(3));
        hosts.set("zed".to_owned(), Some(Duration::from_secs(90)));
        assert_eq!(seconds(&hosts, "Zed"), Some(90));
    }

    #[test]
    fn the_longest_name_that_fits_is_the_one_that_is_meant() {
        let mut hosts = HostTimeouts::default();
        hosts.set("editor".to_owned(), Some(Duration::from_secs(10)));
        hosts.set("editor nightly".to_owned(), Some(Duration::from_secs(20)));
        assert_eq!(seconds(&hosts, "Editor Nightly 7"), Some(20));
        assert_eq!(seconds(&hosts, "Editor 7"), Some(10));
    }

    #[test]
    fn a_budget_and_a_wait_leave_time_for_the_way() {
        let times = |seconds| {
            let timeout = HostTimeout(Duration::from_secs(seconds));
            (timeout.budget().as_secs(), timeout.wait().as_secs())
        };
        assert_eq!(times(60), (40, 55));
        assert_eq!(times(20), (13, 15));
        assert_eq!(times(6), (4, 3));
    }
}
