//! Code of the program that runs in a thread or task of the library: its `tracing` subscriber, its clock, its store. Here its panic
//! ends, and the library's thread or task goes on.

use std::any::Any;
#[cfg(feature = "conformance")]
use std::panic::resume_unwind;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `foreign`; an error is the payload of its panic.
///
/// The caller sees to it that no value stays half changed: the code that `foreign` interrupts is the caller's.
pub(crate) fn shielded<T>(foreign: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    let ran = catch_unwind(AssertUnwindSafe(foreign));
    #[cfg(feature = "conformance")]
    let ran =
        ran.map_err(|panic| if panic.is::<ThreadEnd>() { resume_unwind(panic) } else { panic });
    ran
}

/// The payload of a panic that ends a thread of the library, as the end of its process would. A [`Watcher`] raises it.
///
/// [`Watcher`]: crate::store::faults::Watcher
#[cfg(feature = "conformance")]
#[derive(Debug, Clone, Copy)]
pub struct ThreadEnd;

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(without a message)")
}
