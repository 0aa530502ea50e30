//! Tests that install what a process has once: the global manager, and a subscriber that records the whole log.

mod by_hand;
mod redaction;
