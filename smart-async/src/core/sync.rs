//! A mutex that ignores poisoning.
//!
//! No tool body and no code of the program runs while one of these is locked, and every critical section of the library leaves its
//! value valid between any two statements. Poisoning would therefore only turn one panic into a panic of every later caller.

pub(crate) use std::sync::MutexGuard;

/// [`std::sync::Mutex`] whose lock cannot fail.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Blocks the thread until no other thread holds the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
