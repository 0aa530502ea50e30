//! The turn of a body: what it needs to begin, and what it gets when it may.

use futures_util::future::BoxFuture;

use crate::core::blocking::BodySlot;
use crate::core::queue::ToolPermit;
use crate::core::queue::load::HeavyRun;

/// The condition under which a body can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// It needs a thread of the manager's share of blocking bodies.
    Thread,
}

/// The turn of a body: the right to begin.
#[derive(Default)]
pub(crate) struct Turn {
    /// The thread, where the body needs one.
    pub(crate) thread: Option<BodySlot>,
    /// Counts the body among the heavy work of this process, where it is that.
    pub(crate) heavy: Option<HeavyRun>,
    /// The permit of the body's tool in this process, where the tool has a limit.
    pub(crate) permit: Option<ToolPermit>,
}

/// The line in which a body waits for its turn. Dropped when the body has ended.
pub(crate) trait TurnLine: Send {
    /// Waits for the turn.
    fn place(&self) -> BoxFuture<'static, Turn>;

    fn needs(&self) -> Needs;
}
