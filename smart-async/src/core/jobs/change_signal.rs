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
        let mut live: Vec<BoxFuture<'static, ()>> = Vec::new();
        if interest == Interest::Progress {
            self.begin_news();
        }
        // The news of a store tells of each change that a reader of progress wants, those of this process's jobs too.
        if interest == Interest::State || !matches!(self.news, NewsSource::News(_)) {
            let changes = ids.iter().filter_map(|id| self.local.live.next_change(*id));
            live.extend(changes.map(|change| Box::pin(change) as BoxFuture<'static, ()>));
        }
        // Progress wakes no waiter of its job; but the supervisor writes it to the record.
        let needs_news = interest == Interest::Progress || live.len() < ids.len();
        if needs_news {
            self.begin_news();
        }
        Listening { ids: ids.to_vec(), live, needs_news }
    }

    fn begin_news(&mut self) {
        if matches!(self.news, NewsSource::NotAsked) {
            self.news = self.local.store.news().map_or(NewsSource::None, NewsSource::News);
        }
    }

    /// Waits until one of the jobs may have changed. Returns the one that has, or `None` where it may be any.
    pub(super) async fn changed(
        &mut self,
        Listening { ids, live, needs_news }: Listening,
    ) -> Option<JobId> {
        match (live.is_empty(), needs_news) {
            (true, _) => self.news_of(&ids).await,
            (false, false) => {
                select_all(live).await;
                None
            }
            (false, true) => tokio::select! {
                _ = select_all(live) => None,
                changed = self.news_of(&ids) => changed,
            },
        }
    }

    async fn news_of(&mut self, ids: &[JobId]) -> Option<JobId> {
        if let NewsSource::News(news) = &mut self.news {
            while let Some(news) = news.next().await {
                match news {
                    News::Changed { id, .. } if ids.contains(&id) => return Some(id),
                    News::Changed { .. } | News::Waiting => {}
                    News::OwnerLost(_) | News::Missed => return None,
                }
            }
            self.news = NewsSource::None;
        }
        sleep(LOOK).await;
        None
    }
}
