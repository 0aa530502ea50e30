//! The news thread: it looks at the end of the journal, and at who lives, for as long as a reader wants news. One look serves
//! all readers of the process.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::owners::Owners;
use super::replica::Replica;
use super::writer::panicked;
use crate::core::job::OwnerId;
use crate::core::observe;
use crate::core::shield::shielded;
use crate::core::store::news::{News, NewsStream};
use crate::core::store::table::entry::Entry;
use crate::core::sync::Mutex;

/// The pause between two looks at the journal.
const LOOK: Duration = Duration::from_millis(250);
/// The owners are looked at each time that the journal was looked at this often.
const LOOKS_FOR_OWNERS: u32 = 4;

/// The end of the journal, as other processes write it.
#[derive(Debug)]
pub(super) struct Tail {
    replica: Replica,
    owners: Arc<Owners>,
    looking: Mutex<Looking>,
}

/// Whether the news thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looking {
    Idle,
    Running,
    /// The store is gone.
    Closed,
}

impl Tail {
    pub(super) fn new(replica: Replica, owners: Arc<Owners>) -> Arc<Self> {
        Arc::new(Self { replica, owners, looking: Mutex::new(Looking::Idle) })
    }

    /// The news from now on; `None` where the store is gone, or the system has no thread for it.
    pub(super) fn news(self: &Arc<Self>) -> Option<NewsStream> {
        let mut looking = self.looking.lock();
        let news = self.replica.news().subscribe();
        if *looking == Looking::Idle {
            let tail = Arc::clone(self);
            let spawned = thread::Builder::new()
                .name("smart-async-news".to_owned())
                .spawn(move || tail.look_again_and_again());
            match spawned {
                Ok(_) => *looking = Looking::Running,
                Err(error) => {
                    observe::warn!(%error, "failed to start the thread that sees what other processes write");
                    return None;
                }
            }
        }
        (*looking == Looking::Running).then_some(news)
    }

    /// Has the thread end.
    pub(super) fn close(&self) {
        *self.looking.lock() = Looking::Closed;
    }

    fn look_again_and_again(&self) {
        let mut living = Living::default();
        for look in (0..LOOKS_FOR_OWNERS).cycle() {
            let looked = shielded(|| {
                if look == 0 {
                    let named =
                        self.replica.known().table.live(None).filter_map(Entry::owner).collect();
                    let tell = |owner| self.replica.news().tell(News::OwnerLost(owner));
                    living.look(&self.owners, named, tell);
                }
                if self.replica.is_behind() { self.replica.catch_up() } else { Ok(()) }
            });
            if let Err(error) = looked.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                observe::warn!(%error, "failed to see what other processes wrote");
            }
            thread::sleep(LOOK);
            let mut looking = self.looking.lock();
            if *looking == Looking::Closed {
                return;
            }
            if !self.replica.news().has_readers() {
                *looking = Looking::Idle;
                return;
            }
        }
    }
}

/// The other owners, as the last look found them.
#[derive(Debug, Default)]
struct Living {
    living: HashSet<OwnerId>,
    dead: HashSet<OwnerId>,
}

impl Living {
    /// Looks again, and tells of those that have died since: of an owner that came and went between two looks, the records of
    /// its live jobs tell, or the file that it left.
    fn look(&mut self, owners: &Owners, named: HashSet<OwnerId>, tell: impl Fn(OwnerId)) {
        let known = owners.others().into_iter().chain(named).chain(self.living.iter().copied());
        let known: HashSet<_> = known.filter(|owner| *owner != owners.own()).collect();
        let (living, dead) = known.into_iter().partition(|owner| owners.lives(*owner));
        let before = std::mem::replace(self, Self { living, dead });
        self.dead.difference(&before.dead).copied().for_each(tell);
    }
}
