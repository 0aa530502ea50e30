//! The tests that can share one process, in one binary: linking a binary takes seconds, and running a module of it is
//! `cargo test -p smart-async-tests --test suite -- MODULE::`.
//!
//! A test has a binary of its own only if it needs one: `crash` kills processes in real time, `power` keeps every core
//! busy, `process_globals` installs values that a process has once, and `ui` runs the compiler.

mod answer_schemas;
mod answer_sizes;
mod answer_tokens;
mod architecture;
mod blocking;
mod calls;
mod cancel_outcomes;
#[cfg(unix)]
mod client_errors;
mod clocks;
mod coalesce;
mod coverage;
mod departures;
mod docs;
mod failing_disk;
#[cfg(unix)]
mod file_size_limit;
mod foreign_panics;
mod formats;
mod hostile_inputs;
mod hosts;
mod http_scopes;
mod http_subscriptions;
mod hydration;
mod idempotency;
mod index;
mod jobs;
mod language;
mod large_results;
mod limits;
mod load;
mod long_open;
mod manager;
mod missed_news;
mod misspelt_arguments;
mod model;
mod news;
mod own_output;
mod own_rounds;
mod peer_requests;
mod portable_schemas;
mod probes;
mod progress;
mod questions;
mod queue;
mod races;
mod readers;
mod receiver;
mod reruns;
mod resources;
mod results;
mod rules;
mod server;
mod shapes;
mod snippets;
#[cfg(unix)]
mod spoiled_process;
mod stall;
mod starts;
mod stores;
mod subscriptions;
mod tasks;
mod tool_errors;
mod undecodable;
mod unwrapped;
