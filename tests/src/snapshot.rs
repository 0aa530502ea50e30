//! What a client reads, as a snapshot shows it.

/// Compares an answer with its snapshot, but for what differs from run to run: ids, times and lengths of time. For tests
/// that have `insta` at hand.
#[macro_export]
macro_rules! assert_answer {
    ($answer:expr) => {
        let answer = &$answer;
        insta::with_settings!({filters => vec![
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[id]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|\+00:00)", "[time]"),
            (r#""(elapsed|usual|waited)_seconds": [0-9.]+"#, "\"${1}_seconds\": \"[seconds]\""),
            (r#""ttlMs": [1-9]\d*"#, "\"ttlMs\": \"[ms]\""),
        ]}, { insta::assert_json_snapshot!(answer) });
    };
}
