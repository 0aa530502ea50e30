//! The signal that jobs may have changed, for readers that wait for that. A job of this process signals by itself; of the others
//! the store has news. Where the store has none, the reader looks again after a moment.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, select_all};
use tokio::time::sleep;

use crate::core::job::JobId;
use crate::core::local::Local;
use crate::core::store::{News, NewsStream};

/// How often a reader looks at the jobs of a store without news.
const LOOK: Duration = Duration::from_millis(250);

/// The changes that a reader is interested in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Changes of the state, requests to stop, questions and their answers.
    State,
    /// The same, and progress.
    Progress,
}

/// The signal. It begins to read the store's news when a reader listens for progress, or for a job that is not of this process.
pub(super) struct ChangeSignal {
    local: Arc<Local>,
    news: NewsSource,
}

/// Where the news of the store comes from.
enum NewsSource {
    NotAsked,
    News(NewsStream),
    /// The store has no news.
    None,
}

/// The jobs that a reader listens for.
#[must_use = "a reader listens before it reads, and then waits for a change"]
pub(super) struct Listening {
    ids: Vec<JobId>,
    /// The changes of the jobs of this process.
    live: Vec<BoxFuture<'static, ()>>,
    /// Whether the store tells of changes that these do not.
    needs_news: bool,
}

impl ChangeSignal {
    pub(super) const fn new(local: Arc<Local>) -> Self {
        Self { local, news: NewsSource::NotAsked }
    }

    /// Listens for the next change of one of these jobs. A change from this call on is not missed, so a reader calls this, reads
    /// the records, and then waits for [`changed`](Self::changed).
    pub(super) fn listen(&mut self, ids: &[JobId], interest: Interest) -> Listening {
        let mut live: Vec<BoxFuture<'static, ()>> = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(change) = self.local.live.next_change(*id) {
                live.push(Box::pin(change));
            }
        }
        // Progress wakes no waiter of its job; but the supervisor writes it to the record.
        let needs_news = interest == Interest::Progress || live.len() < ids.len();
        if needs_news && matches!(self.news, NewsSource::NotAsked) {
            self.news = self.local.store.news().map_or(NewsSource::None, NewsSource::News);
        }
        Listening { ids: ids.to_vec(), live, needs_news }
    }

    /// Waits until one of the jobs may have changed.
    pub(super) async fn changed(&mut self, Listening { ids, live, needs_news }: Listening) {
        match (live.is_empty(), needs_news) {
            (true, _) => self.news_of(&ids).await,
            (false, false) => drop(select_all(live).await),
            (false, true) => tokio::select! {
                _ = select_all(live) => {}
                () = self.news_of(&ids) => {}
            },
        }
    }

    async fn news_of(&mut self, ids: &[JobId]) {
        if let NewsSource::News(news) = &mut self.news {
            while let Some(news) = news.next().await {
                match news {
                    News::Changed { id, .. } if ids.contains(&id) => return,
                    News::Changed { .. } | News::Waiting => {}
                    News::OwnerLost(_) | News::Missed => return,
                }
            }
            self.news = NewsSource::None;
        }
        sleep(LOOK).await;
    }
}
