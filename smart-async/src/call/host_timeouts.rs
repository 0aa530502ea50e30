//! How long hosts bear a call that is not answered, by the name under which they introduce themselves.
//!
//! Only what has a source stands here; docs/reference/configuration.md repeats the table for readers. A host that lets its users
//! set the limit stands here with what holds unless they do.

use std::time::Duration;

/// What the hosts bear, with where that is said.
const KNOWN: [(&str, Duration); 12] = [
    // Claude Desktop. 60 s: github.com/anthropics/claude-code/issues/22542; newer ones 4 min: …/issues/65643.
    ("claude-ai", Duration::from_secs(60)),
    // The command line bears hours, but the desktop application 60 s: github.com/anthropics/claude-code/issues/63379.
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

/// What is known of hosts: the table, and what the author of the server says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    /// By the author, who goes before the table; `None` where nothing shall be known.
    said: Vec<(String, Option<Duration>)>,
}

impl Hosts {
    /// Takes the author's word for a host.
    pub(crate) fn say(&mut self, name: String, limit: Option<Duration>) {
        self.said.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.said.push((name, limit));
    }

    /// What the host of this name bears, where that is known. Of entries that fit, the longest is the one that is meant.
    pub(crate) fn patience(&self, name: &str) -> Option<Patience> {
        fn longest<'a, T>(
            entries: impl Iterator<Item = (&'a str, T)>,
            name: &str,
        ) -> Option<(&'a str, T)> {
            entries
                .filter(|(entry, _)| introduces_itself_as(name, entry))
                .max_by_key(|(entry, _)| entry.len())
        }
        let said = self.said.iter().map(|(entry, limit)| (entry.as_str(), *limit));
        let limit = match longest(said, name) {
            Some((_, limit)) => limit,
            None => longest(KNOWN.into_iter(), name).map(|(_, limit)| limit),
        };
        limit.map(Patience)
    }
}

/// Whether the name is that of the entry, in any case, alone or with more behind it: hosts and bridges add a version, a
/// connection or their own name, after something that is no letter and no digit. A hyphen is part of a name.
fn introduces_itself_as(name: &str, entry: &str) -> bool {
    let Some((begin, rest)) = name.split_at_checked(entry.len()) else { return false };
    begin.eq_ignore_ascii_case(entry)
        && rest.chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '-')
}

/// How long a host bears a call that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience(Duration);

impl Patience {
    /// The longest budget that fits: the ticket has to be written and to travel as well, on a machine that may be busy.
    pub(crate) fn budget(self) -> Duration {
        self.0 / 3 * 2
    }

    /// The longest wait that fits, of which only the answer is left to travel: five seconds less, or half where that
    /// would leave nothing.
    pub(crate) fn wait(self) -> Duration {
        self.0.saturating_sub(Duration::from_secs(5)).max(self.0 / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(hosts: &Hosts, name: &str) -> Option<u64> {
        hosts.patience(name).map(|patience| patience.0.as_secs())
    }

    #[test]
    fn a_host_is_known_in_any_case_and_with_more_behind_its_name() {
        let hosts = Hosts::default();
        for name in ["claude-ai", "Claude-AI", "claude-ai (via mcp-remote 0.1.37)", "claude-ai/1.2"]
        {
            assert_eq!(seconds(&hosts, name), Some(60), "{name}");
        }
        assert_eq!(seconds(&hosts, "spring-ai-mcp-client - reactor"), Some(20));
        assert_eq!(seconds(&hosts, "Visual Studio Code - Insiders"), Some(300));
    }

    #[test]
    fn a_host_of_another_name_is_not_known() {
        let hosts = Hosts::default();
        for name in
            ["", "mcp", "claude-aid", "claude-ai-lookalike", "Zedd", "my claude-ai", "ärger"]
        {
            assert_eq!(seconds(&hosts, name), None, "{name}");
        }
    }

    #[test]
    fn the_author_goes_before_the_table_and_can_take_a_host_off_it() {
        let mut hosts = Hosts::default();
        hosts.say("ZED".to_owned(), Some(Duration::from_secs(10)));
        hosts.say("Cline".to_owned(), None);
        hosts.say("mine".to_owned(), Some(Duration::from_secs(3)));
        assert_eq!(seconds(&hosts, "Zed"), Some(10));
        assert_eq!(seconds(&hosts, "Cline"), None);
        assert_eq!(seconds(&hosts, "mine"), Some(3));
        hosts.say("zed".to_owned(), Some(Duration::from_secs(90)));
        assert_eq!(seconds(&hosts, "Zed"), Some(90));
    }

    #[test]
    fn the_longest_name_that_fits_is_the_one_that_is_meant() {
        let mut hosts = Hosts::default();
        hosts.say("editor".to_owned(), Some(Duration::from_secs(10)));
        hosts.say("editor nightly".to_owned(), Some(Duration::from_secs(20)));
        assert_eq!(seconds(&hosts, "Editor Nightly 7"), Some(20));
        assert_eq!(seconds(&hosts, "Editor 7"), Some(10));
    }

    #[test]
    fn a_budget_and_a_wait_leave_time_for_the_way() {
        let times = |seconds| {
            let patience = Patience(Duration::from_secs(seconds));
            (patience.budget().as_secs(), patience.wait().as_secs())
        };
        assert_eq!(times(60), (40, 55));
        assert_eq!(times(20), (13, 15));
        assert_eq!(times(6), (4, 3));
    }
}
