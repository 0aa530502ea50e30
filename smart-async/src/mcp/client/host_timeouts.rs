//! The time-outs of hosts: how long each waits for the answer of a call, by the name under which it introduces itself.
//!
//! Each entry has a source and its date; docs/reference/configuration.md repeats the table for readers. Where users of a host can
//! set the time-out, the table has the default. A client that bears less than the table says is learned (`patience`).

use std::time::Duration;

/// A host, as the table has it.
#[derive(Debug, Clone, Copy)]
struct Host {
    /// The name, or its end.
    name: &'static str,
    /// Whether `name` is the end of longer names, which begin with the program that the host is part of.
    is_end: bool,
    seconds: u64,
    /// The longest waits of `wait_job`, where the host begins its time-out anew with each notification of progress.
    with_progress: Option<WithProgress>,
}

/// The longest waits at a host that begins its time-out anew with each notification of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) struct WithProgress {
    stdio: Duration,
    http: Duration,
}

/// A host by the beginning of its name, and how many seconds it waits for an answer.
const fn host(name: &'static str, seconds: u64) -> Host {
    Host { name, is_end: false, seconds, with_progress: None }
}

/// As [`host`], by the end of its name.
const fn host_ending(name: &'static str, seconds: u64) -> Host {
    Host { is_end: true, ..host(name, seconds) }
}

/// As [`host`], where progress begins the time-out anew: with the longest waits over stdio and over HTTP.
const fn host_with_progress(name: &'static str, seconds: u64, stdio: u64, http: u64) -> Host {
    let (stdio, http) = (Duration::from_secs(stdio), Duration::from_secs(http));
    Host { with_progress: Some(WithProgress { stdio, http }), ..host(name, seconds) }
}

/// The known hosts, with their sources.
const KNOWN: &[Host] = &[
    // 4 min: github.com/anthropics/claude-code/issues/65643 (2026-06); before that 60 s: …/issues/22542.
    host("claude-ai", 240),
    // The desktop application: 60 s, whatever progress comes: github.com/anthropics/claude-code/issues/63379 (2026). The command
    // line: without progress 30 min on stdio and 5 min over HTTP, and hours in all: code.claude.com/docs/en/mcp (2026-08-22).
    // One name for both: the first wait is that of the command line, and `patience` learns where it was the application.
    host_with_progress("claude-code", 60, 1200, 295),
    // docs.cline.bot/mcp/configuring-mcp-servers, "Network Timeout" (2026).
    host("Cline", 60),
    // docs.roocode.com/features/mcp/using-mcp-in-roo, "Network Timeout" (2026).
    host("Roo-Code", 60),
    // kilo.ai/docs/features/mcp/using-mcp-in-kilo-code, "Network Timeout" (2026).
    host("Kilo-Code", 60),
    // 300 s: github.com/openai/codex/pull/28234 (2026-06-15); before that 120 s.
    host("codex-mcp-client", 300),
    host("Codex", 300),
    // github.com/cursor/cursor/issues/3510 (2025-08-19).
    host("cursor-vscode", 300),
    // github.com/google-gemini/gemini-cli, docs/tools/mcp-server.md, `timeout` (2026).
    host("gemini-cli-mcp-client", 600),
    // Issue 780 of Antigravity's command line (2026-08-11): fixed.
    host("antigravity-client", 180),
    // github.com/aaif-goose/goose, crates/goose/src/config/extensions.rs, DEFAULT_EXTENSION_TIMEOUT (2026).
    host("goose", 300),
    // Copilot's command line: github.com/github/copilot-cli/issues/1535 (2026-02-19).
    host("github-copilot-developer", 60),
    // Copilot in the IDEs of JetBrains, such as `JetBrains-IU-copilot-intellij`: fixed,
    // github.com/microsoft/copilot-intellij-feedback/issues/1935 (2026-07-22).
    host_ending("-copilot-intellij", 30),
    // The Inspector: 5 min, but 60 s in all where progress comes (MCP_REQUEST_MAX_TOTAL_TIMEOUT). Before October 2025
    // it was 10 s: github.com/modelcontextprotocol/inspector/pull/875.
    host("inspector-client", 60),
    // github.com/danny-avila/LibreChat/pull/13774 (2026).
    host("@librechat/api-client", 60),
    // 60 s, begun anew by progress: github.com/anomalyco/opencode/pull/32477 (2026-06-15); 5 min in all: …/pull/39584.
    host_with_progress("opencode", 60, 295, 295),
    // github.com/modelcontextprotocol/java-sdk, mcp/src/main/java/…/client/McpClient.java, requestTimeout (2026).
    host("Java SDK MCP Client", 20),
    // Spring AI, McpClientCommonProperties, `spring.ai.mcp.client.request-timeout` (2026).
    host("spring-ai-mcp-client", 20),
    // github.com/microsoft/vscode/issues/261734 (2025-08); later versions wait for ever: …/issues/274094 (2025-10-30).
    host("Visual Studio Code", 300),
    host("Visual-Studio-Code", 300),
    // github.com/zed-industries/zed/pull/45378 (2026).
    host("Zed", 60),
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
        let set = self.set.iter().filter(|(entry, _)| begins(name, entry));
        if let Some((_, timeout)) = set.max_by_key(|(entry, _)| entry.len()) {
            return timeout.map(HostTimeout::new);
        }
        let known = KNOWN.iter().filter(|host| match host.is_end {
            true => ends(name, host.name),
            false => begins(name, host.name),
        });
        let host = known.max_by_key(|host| host.name.len())?;
        let limit = Duration::from_secs(host.seconds);
        Some(HostTimeout { with_progress: host.with_progress, ..HostTimeout::new(limit) })
    }
}

/// Returns whether the name is that of the entry, in any case, alone or with more behind it: hosts and bridges add a version, a
/// connection or their own name, after a character that is no letter and no digit. A hyphen is part of a name.
fn begins(name: &str, entry: &str) -> bool {
    let Some((begin, rest)) = name.split_at_checked(entry.len()) else { return false };
    begin.eq_ignore_ascii_case(entry)
        && rest.chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '-')
}

/// Returns whether the first word of the name, in any case, ends as the entry does.
fn ends(name: &str, entry: &str) -> bool {
    let word = name.split([' ', '/']).next().unwrap_or(name);
    let begin = word.len().checked_sub(entry.len());
    begin.and_then(|begin| word.get(begin..)).is_some_and(|end| end.eq_ignore_ascii_case(entry))
}

/// How long a host waits for the answer of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) struct HostTimeout {
    /// The time-out of a call in which no progress is notified.
    limit: Duration,
    with_progress: Option<WithProgress>,
}

impl HostTimeout {
    pub(in crate::mcp) const fn new(limit: Duration) -> Self {
        Self { limit, with_progress: None }
    }

    /// The longest budget of a call: two thirds, since the ticket has to be written and to travel as well, on a machine that
    /// may be busy.
    pub(in crate::mcp) fn budget(self) -> Duration {
        self.limit / 3 * 2
    }

    /// The longest wait of `wait_job`, after which only the answer has to travel: five seconds less, or half where that would
    /// leave nothing; longer where the host begins its time-out anew with each notification, and the call has a token for those.
    pub(in crate::mcp) fn wait(self, has_token: bool, over_http: bool) -> Duration {
        match self.with_progress.filter(|_| has_token) {
            Some(waits) if over_http => waits.http,
            Some(waits) => waits.stdio,
            None => self.limit.saturating_sub(Duration::from_secs(5)).max(self.limit / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(hosts: &HostTimeouts, name: &str) -> Option<u64> {
        hosts.of(name).map(|timeout| timeout.limit.as_secs())
    }

    #[test]
    fn a_host_is_known_in_any_case_and_with_more_behind_its_name() {
        let hosts = HostTimeouts::default();
        for name in ["claude-ai", "Claude-AI", "claude-ai (via mcp-remote 0.1.37)", "claude-ai/1.2"]
        {
            assert_eq!(seconds(&hosts, name), Some(240), "{name}");
        }
        assert_eq!(seconds(&hosts, "spring-ai-mcp-client - reactor"), Some(20));
        for name in ["Visual Studio Code - Insiders", "Visual-Studio-Code", "codex", "Codex/1.2"] {
            assert_eq!(seconds(&hosts, name), Some(300), "{name}");
        }
    }

    #[test]
    fn a_host_inside_of_many_programs_is_known_by_the_end_of_its_name() {
        let hosts = HostTimeouts::default();
        for name in ["JetBrains-IU-copilot-intellij", "jetbrains-jbc-Copilot-IntelliJ 1.5 (2026.2)"]
        {
            assert_eq!(seconds(&hosts, name), Some(30), "{name}");
        }
        for name in ["copilot-intellij-lookalike", "my-copilot-intellij-bridge", "intellij"] {
            assert_eq!(seconds(&hosts, name), None, "{name}");
        }
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
            let timeout = HostTimeout::new(Duration::from_secs(seconds));
            (timeout.budget().as_secs(), timeout.wait(true, false).as_secs())
        };
        assert_eq!(times(60), (40, 55));
        assert_eq!(times(20), (13, 15));
        assert_eq!(times(6), (4, 3));
    }

    #[test]
    fn a_wait_is_longer_where_progress_begins_the_time_out_anew() {
        let timeout = HostTimeouts::default().of("claude-code").unwrap();
        let wait = |has_token, over_http| timeout.wait(has_token, over_http).as_secs();
        assert_eq!((wait(true, false), wait(true, true)), (1200, 295));
        assert_eq!(
            (wait(false, false), wait(false, true)),
            (55, 55),
            "no progress can be notified"
        );
        assert_eq!(
            timeout.budget().as_secs(),
            40,
            "a budget is the same for both programs of that name"
        );
    }
}
