//! What the examples have in common: the tools of the demo server, its life, and the parts of the tour.

pub mod conformance;
pub mod demo;
pub mod http;
pub mod server;
pub mod tour;

/// Compiles every snippet of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Compiles every snippet of the quick start.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/quick-start.md")]
pub struct QuickStart;

/// Compiles every snippet of the guide to questions.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/questions.md")]
pub struct Questions;

/// Compiles every snippet of the guide to HTTP.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/http.md")]
pub struct Http;

/// Compiles every snippet of the guide to resources.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/resources.md")]
pub struct Resources;
