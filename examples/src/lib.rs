//! Code that several example programs share: the tools of the demo server, its start and end, and the parts of the tour.

pub mod conformance;
pub mod demo;
pub mod http;
pub mod server;
pub mod tour;

/// Compiles every Rust block of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Compiles every Rust block of the quick start.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/quick-start.md")]
pub struct QuickStart;

/// Compiles every Rust block of the guide to progress and cancellation.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/progress-and-cancellation.md")]
pub struct ProgressAndCancellation;

/// Compiles every Rust block of the guide to questions.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/questions.md")]
pub struct Questions;

/// Compiles every Rust block of the guide to restarts and state.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/restarts-and-state.md")]
pub struct RestartsAndState;

/// Compiles every Rust block of the guide to tasks, resources and notifications.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/native-mcp.md")]
pub struct NativeMcp;

/// Compiles every Rust block of the guide to HTTP.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/http.md")]
pub struct Http;
