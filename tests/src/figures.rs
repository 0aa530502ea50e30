//! How much the tests try that could go on for hours.

use std::env;

/// A figure of a test: that of `variable` where it is set, `long` where `SMART_ASYNC_TESTS` is `long`, else `usual`.
///
/// # Panics
/// If a variable has a value that it may not have, so that a typing error does not shorten a run.
pub fn figure(variable: &str, usual: u64, long: u64) -> u64 {
    if let Ok(value) = env::var(variable) {
        return value.parse().unwrap_or_else(|_| panic!("{variable} must be a number"));
    }
    match env::var("SMART_ASYNC_TESTS").as_deref() {
        Err(_) => usual,
        Ok("long") => long,
        Ok(other) => panic!("SMART_ASYNC_TESTS must be unset or `long`, and is `{other}`"),
    }
}
