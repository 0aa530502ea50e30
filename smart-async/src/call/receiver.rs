//! What a method's work takes along of its receiver: the work outlives the call, and so must that.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use crate::call::CallRequest;

/// The receiver of a method, for as long as its work runs.
#[derive(Debug)]
pub enum Owned<S> {
    /// The very server that is wrapped. A clone of it would cost each call what its tools do: a router has them all.
    Shared(Arc<S>),
    /// A clone, where nobody shares the receiver.
    Cloned(S),
}

impl<S: Clone + Send + Sync + 'static> Owned<S> {
    pub(crate) fn of(receiver: &S) -> Self {
        match CallRequest::server().and_then(|server| server.downcast::<S>().ok()) {
            Some(server) if std::ptr::eq(&*server, receiver) => Self::Shared(server),
            _ => Self::Cloned(receiver.clone()),
        }
    }
}

impl<S> Deref for Owned<S> {
    type Target = S;

    fn deref(&self) -> &S {
        match self {
            Self::Shared(server) => server,
            Self::Cloned(server) => server,
        }
    }
}

/// A wrapped server, of whatever type.
pub(crate) type Server = Arc<dyn Any + Send + Sync>;
