//! Drops the repetitions of a warning, for a program that has set no subscriber: while a disk is full, the retries of each job fail
//! several times a second with the same error.
//!
//! A subscriber of the program's own gets every event, and so does the output of `SMART_ASYNC_DEBUG`.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::core::sync::Mutex;

/// A failure is told again when it has not come up for this long. Retries come every 10 seconds at least.
const QUIET: Duration = Duration::from_secs(60);

/// How many warnings are remembered at most.
const REMEMBERED: usize = 512;

/// Lets a warning through when it is new.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    last_seen: Mutex<HashMap<(Identifier, String), Instant>>,
}

impl Repeats {
    fn is_new(&self, place: Identifier, words: String, now: Instant) -> bool {
        let mut last_seen = self.last_seen.lock();
        let is_recent = |seen: &Instant| now.saturating_duration_since(*seen) < QUIET;
        if last_seen.len() >= REMEMBERED {
            last_seen.retain(|_, seen| is_recent(seen));
            if last_seen.len() >= REMEMBERED {
                last_seen.clear();
            }
        }
        last_seen.insert((place, words), now).is_none_or(|seen| !is_recent(&seen))
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let mut words = Words::default();
        event.record(&mut words);
        self.is_new(event.metadata().callsite(), words.into_key(), Instant::now())
    }
}

/// The fields of an event as text.
#[derive(Default)]
struct Words {
    message: String,
    error: Option<String>,
    others: String,
}

impl Words {
    /// The same failure of several jobs is one: where there is an error, its text counts without ids, and the other fields do not.
    fn into_key(self) -> String {
        match self.error {
            Some(error) => self.message + &without_ids(&error),
            None => self.message + &self.others,
        }
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "error" => self.error = Some(format!("{value:?}")),
            // Writing to a string cannot fail.
            name => drop(write!(self.others, " {name}={value:?}")),
        }
    }
}

/// Removes the UUIDs of a text.
fn without_ids(text: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_hexdigit() || letter == '-';
    text.split(|letter| !is_part(letter))
        .filter(|part| part.len() < 36)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::core::job::JobId;
    use crate::core::observe;

    /// Returns how many lines the events become.
    fn lines(events: impl FnOnce()) -> usize {
        let log = NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(log.reopen().unwrap()).finish();
        with_default(subscriber.with(Repeats::default()), events);
        std::fs::read_to_string(log.path()).unwrap().lines().count()
    }

    #[test]
    fn the_same_failure_of_many_jobs_is_one_line() {
        let told = lines(|| {
            for _ in 0..100 {
                let id = JobId::new();
                let error = format!("failed to write results/{id}.json: no space left");
                observe::warn!(job_id = %id, %error, "failed to store a job");
            }
        });
        assert_eq!(told, 1);
    }

    #[test]
    fn other_errors_other_places_and_other_jobs_are_lines_of_their_own() {
        let told = lines(|| {
            for error in ["no space left", "read-only file system"] {
                observe::warn!(error, "failed to store a job");
                observe::warn!(error, "failed to store a job");
            }
            for _ in 0..3 {
                observe::warn!(job_id = %JobId::new(), "job was interrupted");
            }
        });
        assert_eq!(told, 4 + 3);
    }

    #[test]
    fn a_failure_is_told_again_after_a_quiet_minute_and_not_while_it_lasts() {
        let repeats = Repeats::default();
        let place = Identifier(&CALLSITE);
        let began = Instant::now();
        let told = |seconds: u64| {
            let now = began + Duration::from_secs(seconds);
            repeats.is_new(place.clone(), "the disk is full".to_owned(), now)
        };
        let while_it_lasts: Vec<_> = (0..=600).step_by(10).filter(|second| told(*second)).collect();
        assert_eq!(while_it_lasts, [0]);
        assert!(!told(659) && told(719));
    }

    #[test]
    fn the_memory_of_warnings_is_bounded() {
        let repeats = Repeats::default();
        let place = Identifier(&CALLSITE);
        for number in 0..3 * REMEMBERED {
            assert!(repeats.is_new(place.clone(), number.to_string(), Instant::now()));
            assert!(repeats.last_seen.lock().len() <= REMEMBERED);
        }
    }

    struct Place;

    static CALLSITE: Place = Place;

    impl tracing::Callsite for Place {
        fn set_interest(&self, _interest: tracing::subscriber::Interest) {}

        fn metadata(&self) -> &tracing::Metadata<'_> {
            unreachable!("no event is made of it")
        }
    }
}
