//! The one change that the transports make to a client's message: a `subscriptions/listen` that names tasks gets another
//! method, which the SDK hands to the server undecoded.

use serde_json::Value;

/// The method that clients send.
pub(super) const SUBSCRIPTIONS_LISTEN: &str = "subscriptions/listen";

/// The method that the server gets in its place. Only the transports here write it; no client sends it.
pub(in crate::mcp) const LISTEN: &str = "smart-async/subscriptions/listen";

/// The notification that the reader of a stream of lines sends at the end of its input, behind a call.
pub(in crate::mcp) const INPUT_ENDED: &str = "smart-async/input-ended";

/// The message as the server has to read it, without the line's end; `None` where the server reads it unchanged.
pub(super) fn renamed(message: &[u8]) -> Option<Vec<u8>> {
    // Nearly all messages return here, unparsed.
    if !std::str::from_utf8(message).ok()?.contains("taskIds") {
        return None;
    }
    // The SDK ignores a byte order mark too.
    let message = message.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(message);
    let mut message: Value = serde_json::from_slice(message).ok()?;
    let names_tasks =
        message.pointer("/params/notifications/taskIds").is_some_and(|tasks| !tasks.is_null());
    let method = message.get_mut("method")?;
    if !names_tasks || *method != SUBSCRIPTIONS_LISTEN {
        return None;
    }
    *method = LISTEN.into();
    serde_json::to_vec(&message).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listen(filter: &Value) -> Value {
        json!({"jsonrpc": "2.0", "id": 7, "method": SUBSCRIPTIONS_LISTEN, "params": {"notifications": filter}})
    }

    fn read(message: &Value) -> Option<Value> {
        renamed(message.to_string().as_bytes())
            .map(|renamed| serde_json::from_slice(&renamed).unwrap())
    }

    #[test]
    fn a_subscription_to_tasks_gets_another_method_and_keeps_the_rest() {
        for tasks in [json!(["a"]), json!([]), json!("malformed")] {
            let request = listen(&json!({"taskIds": tasks, "toolsListChanged": true}));
            let mut expected = request.clone();
            expected["method"] = LISTEN.into();
            assert_eq!(read(&request), Some(expected));
        }
        let escaped = listen(&json!({"taskIds": []})).to_string().replace('/', r"\/");
        assert!(renamed(escaped.as_bytes()).is_some());
        assert!(renamed(format!("\u{feff}{escaped}\r\n").as_bytes()).is_some());
    }

    #[test]
    fn every_other_message_passes_unchanged() {
        let call = json!({"method": "tools/call", "params": {"notifications": {"taskIds": []}}});
        for message in [
            listen(&json!({"resourceSubscriptions": ["taskIds"]})),
            listen(&json!({"taskIds": null})),
            json!({"method": SUBSCRIPTIONS_LISTEN, "params": "taskIds"}),
            json!(["taskIds", SUBSCRIPTIONS_LISTEN]),
            call,
        ] {
            assert_eq!(read(&message), None, "{message}");
        }
        for text in ["", "taskIds", r#"{"method": "subscriptions/listen", "taskIds"#] {
            assert_eq!(renamed(text.as_bytes()), None, "{text}");
        }
        assert_eq!(renamed(b"\xff taskIds"), None);
    }
}
