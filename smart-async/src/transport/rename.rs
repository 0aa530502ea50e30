//! The one change that is made to what clients send: a `subscriptions/listen` that names tasks gets another method.

use serde_json::Value;

use crate::mcp::LISTEN;

/// The method as clients say it.
pub(super) const SAID: &str = "subscriptions/listen";

/// The method as the server reads it.
#[cfg(feature = "http")]
pub(super) const READ: &str = LISTEN;

/// The message as the server has to read it, without a line's end; `None` where it is read as it stands.
pub(super) fn renamed(message: &[u8]) -> Option<Vec<u8>> {
    // Nearly all messages end here, unparsed.
    if !std::str::from_utf8(message).ok()?.contains("taskIds") {
        return None;
    }
    // The SDK passes over a byte order mark as well.
    let message = message.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(message);
    let mut message: Value = serde_json::from_slice(message).ok()?;
    let names_tasks =
        message.pointer("/params/notifications/taskIds").is_some_and(|tasks| !tasks.is_null());
    let method = message.get_mut("method")?;
    if !names_tasks || *method != SAID {
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
        json!({"jsonrpc": "2.0", "id": 7, "method": SAID, "params": {"notifications": filter}})
    }

    fn read(message: &Value) -> Option<Value> {
        renamed(message.to_string().as_bytes())
            .map(|renamed| serde_json::from_slice(&renamed).unwrap())
    }

    #[test]
    fn a_subscription_to_tasks_gets_another_method_and_keeps_the_rest() {
        for tasks in [json!(["a"]), json!([]), json!("malformed")] {
            let said = listen(&json!({"taskIds": tasks, "toolsListChanged": true}));
            let mut expected = said.clone();
            expected["method"] = LISTEN.into();
            assert_eq!(read(&said), Some(expected));
        }
        let escaped = listen(&json!({"taskIds": []})).to_string().replace('/', r"\/");
        assert!(renamed(escaped.as_bytes()).is_some());
        assert!(renamed(format!("\u{feff}{escaped}\r\n").as_bytes()).is_some());
    }

    #[test]
    fn everything_else_is_left_as_it_stands() {
        let call = json!({"method": "tools/call", "params": {"notifications": {"taskIds": []}}});
        for message in [
            listen(&json!({"resourceSubscriptions": ["taskIds"]})),
            listen(&json!({"taskIds": null})),
            json!({"method": SAID, "params": "taskIds"}),
            json!(["taskIds", SAID]),
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
