//! The receiver of a method as its body keeps it: the body outlives the call, and so must its receiver.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

/// The receiver of a method, for as long as the body runs: the wrapped server itself, or a clone where the receiver is not that.
/// A clone of the server would cost each call as much as its tools do: a router has them all.
#[derive(Debug)]
pub struct Owned<S: ?Sized>(Arc<S>);

impl<S: Clone + Send + Sync + 'static> Owned<S> {
    /// `server` is the wrapped server of the current request, where there is one.
    pub(super) fn new(receiver: &S, server: Option<Server>) -> Self {
        match server.and_then(|server| server.downcast::<S>().ok()) {
            Some(server) if std::ptr::eq(&*server, receiver) => Self(server),
            _ => Self(Arc::new(receiver.clone())),
        }
    }
}

impl<S: ?Sized> Deref for Owned<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

/// A wrapped server of any type.
pub(crate) type Server = Arc<dyn Any + Send + Sync>;
