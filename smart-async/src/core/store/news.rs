//! The news of a store: which jobs have changed, whichever process made the change. A reader that waits for jobs looks at them
//! when there is news, in place of asking again and again.

use std::fmt;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::table::entry::Put;
use super::table::{Changes, Table};
use crate::core::job::{JobId, JobRecord, OwnerId};

/// News of a store; see [`JobStore::news`](super::JobStore::news). It ends when the store is gone. A store that is closed tells no
/// more of other processes.
pub type NewsStream = BoxStream<'static, News>;

/// A piece of news that a store tells its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// A job was added, changed or removed.
    Changed {
        /// The job.
        id: JobId,
        /// Its version now, or the last one where it was removed.
        version: u64,
    },
    /// A job waits to be claimed.
    Waiting,
    /// An owner counts as dead from now on.
    OwnerLost(OwnerId),
    /// There was more news than the stream holds: everything may have changed.
    Missed,
}

/// How much news a slow reader may fall behind before it misses some.
const CAPACITY: usize = 1024;

/// Gives the news of a store to the streams that are there.
#[derive(Clone)]
pub(super) struct NewsFeed(broadcast::Sender<News>);

impl Default for NewsFeed {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl fmt::Debug for NewsFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NewsFeed").field(&self.0.receiver_count()).finish()
    }
}

impl NewsFeed {
    /// A stream of the news from now on.
    pub(super) fn subscribe(&self) -> NewsStream {
        let news = stream::unfold(self.0.subscribe(), |mut receiver| async {
            match receiver.recv().await {
                Ok(news) => Some((news, receiver)),
                Err(RecvError::Lagged(_)) => Some((News::Missed, receiver)),
                Err(RecvError::Closed) => None,
            }
        });
        news.boxed()
    }

    /// Returns whether a stream is there.
    pub(super) fn has_readers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(super) fn tell(&self, news: News) {
        // An error only means that there is no reader.
        let _ = self.0.send(news);
    }

    /// Tells of changes that are about to be committed to `table`.
    pub(super) fn tell_changes(&self, changes: &Changes, table: &Table) {
        if self.has_readers() {
            for (id, put) in &changes.jobs {
                self.tell_change(*id, put.as_ref().map(|Put { record, .. }| &**record), table);
            }
        }
    }

    /// Tells of one change: the new record, or none where the job is about to be removed from `table`.
    pub(super) fn tell_change(&self, id: JobId, record: Option<&JobRecord>, table: &Table) {
        let version = record.or_else(|| table.find(id).map(|job| &**job.record()));
        let Some(version) = version.map(|job| job.version) else { return };
        self.tell(News::Changed { id, version });
        if record.is_some_and(JobRecord::is_claimable) {
            self.tell(News::Waiting);
        }
    }
}
