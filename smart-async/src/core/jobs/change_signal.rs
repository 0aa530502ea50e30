//! The signal that jobs may have changed, for readers that wait for that. A job of this process signals by itself; of the others
//! the store has news. Where the store has none, the reader looks again after a moment.

use std::sync::Arc;

use futures_util::future::{BoxFuture, select_all};
use futures_util::{FutureExt, StreamExt};
use tokio::time::sleep;

use crate::core::job::JobId;
use crate::core::local::{Local, TICK};
use crate::core::store::{News, NewsStream};

/// The jobs that may have changed, as a reader is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signalled {
    /// These jobs have changed, to these versions or later ones.
    Of(Vec<(JobId, u64)>),
    /// Each job may have changed.
    Any,
    /// The store tells of no changes, and it is time to look.
    Tick,
}

/// How much news is taken at once.
const NEWS: usize = 1024;

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

    /// Waits until one of the jobs may have changed.
    pub(super) async fn changed(
        &mut self,
        Listening { ids, live, needs_news }: Listening,
    ) -> Signalled {
        match (live.is_empty(), needs_news) {
            (true, _) => self.news_of(&ids).await,
            (false, false) => {
                select_all(live).await;
                Signalled::Any
            }
            (false, true) => tokio::select! {
                _ = select_all(live) => Signalled::Any,
                changed = self.news_of(&ids) => changed,
            },
        }
    }

    async fn news_of(&mut self, ids: &[JobId]) -> Signalled {
        if let NewsSource::News(news) = &mut self.news {
            let mut changed = Vec::new();
            while let Some(first) = news.next().await {
                // The news that has come together is answered by one look.
                let more = std::iter::from_fn(|| news.next().now_or_never().flatten());
                for news in std::iter::once(first).chain(more.take(NEWS)) {
                    match news {
                        News::Changed { id, version } if ids.contains(&id) => {
                            changed.push((id, version));
                        }
                        News::Changed { .. } | News::Waiting => {}
                        News::OwnerLost(_) | News::Missed => return Signalled::Any,
                    }
                }
                if !changed.is_empty() {
                    return Signalled::Of(changed);
                }
            }
            self.news = NewsSource::None;
        }
        sleep(TICK).await;
        Signalled::Tick
    }
}
