//! A `tracing` subscriber of a program that is broken.

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Panics at each event, and at whatever happens to a span.
#[derive(Debug)]
pub struct PanickingSubscriber;

impl PanickingSubscriber {
    /// Makes it the subscriber of this process, whose panics say nothing from then on.
    pub fn install() {
        std::panic::set_hook(Box::new(|_| {}));
        tracing::subscriber::set_global_default(Self).expect("the process has no subscriber yet");
    }
}

fn fail() -> ! {
    panic!("the disk of the log is full")
}

impl Subscriber for PanickingSubscriber {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        fail()
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        fail()
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {
        fail()
    }

    fn event(&self, _: &Event<'_>) {
        fail()
    }

    fn enter(&self, _: &Id) {
        fail()
    }

    fn exit(&self, _: &Id) {
        fail()
    }
}
