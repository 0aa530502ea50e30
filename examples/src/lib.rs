//! Code that several example programs share: the tools of the demo server, its start and end, and the parts of the tour.

pub mod conformance;
pub mod demo;
pub mod http;
pub mod server;
pub mod tour;

/// Compiles the Rust blocks of the README and of the pages, and runs them where they say nothing else.
#[cfg(doctest)]
mod pages {
    macro_rules! page {
        ($name:ident, $page:literal) => {
            #[doc = include_str!($page)]
            pub struct $name;
        };
    }
    page!(Readme, "../../README.md");
    page!(Http, "../../docs/guide/http.md");
    page!(JobsFromRust, "../../docs/guide/jobs-from-rust.md");
    page!(Migrating, "../../docs/guide/migrating.md");
    page!(ProgressAndCancellation, "../../docs/guide/progress-and-cancellation.md");
    page!(Limits, "../../docs/guide/limits.md");
    page!(Idempotency, "../../docs/guide/idempotency.md");
    page!(Questions, "../../docs/guide/questions.md");
    page!(QuickStart, "../../docs/guide/quick-start.md");
    page!(RestartsAndState, "../../docs/guide/restarts-and-state.md");
    page!(Testing, "../../docs/guide/testing.md");
}
