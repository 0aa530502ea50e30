//! The list of jobs as resources: newest first, after the wrapped server's own resources.

use rmcp::ErrorData;
use rmcp::model::{
    Annotations, CacheScope, ListResourceTemplatesResult, ListResourcesResult, Resource,
    ResourceTemplate,
};

use super::uri_of;
use crate::core::job::{JobId, JobQuery, JobRecord, Timestamp};
use crate::mcp::client::access::Access;

/// The number of jobs on a page.
const PAGE: usize = 50;

/// The beginning of a cursor of this list, which no cursor of the wrapped server has.
const PREFIX: &str = "smart-async:jobs-before:";

/// The last job of a page. The next page begins after it, also where the job was pruned since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) struct ResourceCursor {
    created_at: Timestamp,
    id: JobId,
}

impl ResourceCursor {
    /// `None` for a cursor of the wrapped server.
    pub(in crate::mcp) fn parse(text: &str) -> Option<Self> {
        let (millis, id) = text.strip_prefix(PREFIX)?.split_once(':')?;
        let created_at = Timestamp::from_timestamp_millis(millis.parse().ok()?)?;
        Some(Self { created_at, id: id.parse().ok()? })
    }

    fn after(job: &JobRecord) -> String {
        format!("{PREFIX}{}:{}", job.spec.created_at.timestamp_millis(), job.id)
    }

    /// Returns whether the job belongs to the pages after this cursor.
    fn is_before(self, job: &JobRecord) -> bool {
        (job.spec.created_at.timestamp_millis(), job.id)
            < (self.created_at.timestamp_millis(), self.id)
    }
}

/// Adds the first page of jobs to the last page of the wrapped server's own resources.
pub(in crate::mcp) async fn append_jobs(
    access: &Access,
    list: &mut ListResourcesResult,
) -> Result<(), ErrorData> {
    let jobs = page(access, None).await?;
    list.resources.extend(jobs.resources);
    list.next_cursor = jobs.next_cursor;
    // Jobs change at any time and belong to one client, whatever the wrapped server declares for its own resources.
    list.ttl_ms = list.ttl_ms.map(|_| 0);
    list.cache_scope = list.cache_scope.as_ref().map(|_| CacheScope::Private);
    Ok(())
}

/// A page of this server's jobs that the client may list.
pub(in crate::mcp) async fn page(
    access: &Access,
    after: Option<ResourceCursor>,
) -> Result<ListResourcesResult, ErrorData> {
    let query = JobQuery {
        // One job more than the page shows whether there is another page.
        limit: after.is_none().then_some(PAGE + 1),
        ..JobQuery::default()
    };
    let found = access
        .list(query)
        .await
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let mut jobs =
        found.jobs.iter().filter(|job| after.is_none_or(|after| after.is_before(job))).peekable();
    let shown: Vec<_> = jobs.by_ref().take(PAGE).collect();
    let next_cursor = jobs.peek().and(shown.last()).map(|last| ResourceCursor::after(last));
    let mut list =
        ListResourcesResult::with_all_items(shown.iter().map(|job| resource(job)).collect());
    list.next_cursor = next_cursor;
    Ok(list)
}

fn resource(job: &JobRecord) -> Resource {
    let percentage = job.progress.as_ref().and_then(|progress| progress.percentage);
    let description = match percentage.filter(|_| !job.status().is_terminal()) {
        Some(percentage) => format!("{}: {}, {percentage}%", job.spec.tool, job.status()),
        None => format!("{}: {}", job.spec.tool, job.status()),
    };
    Resource::new(uri_of(job.id), job.spec.label.as_str())
        .with_description(description)
        .with_mime_type("application/json")
        .with_annotations(Annotations::default().with_timestamp(job.updated_at))
}

/// Adds the templates of jobs to the wrapped server's own.
pub(in crate::mcp) fn append_templates(list: &mut ListResourceTemplatesResult) {
    list.resource_templates.extend([
        ResourceTemplate::new("job://{job_id}", "job")
            .with_title("Job")
            .with_description("Status, progress and (if small) result of a background job.")
            .with_mime_type("application/json"),
        // Without a MIME type, because a result that is text is shown as plain text, and any other as JSON.
        ResourceTemplate::new("job://{job_id}/result", "job_result")
            .with_title("Job result")
            .with_description("What a background job ended with, whole; not there before that."),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock;
    use crate::core::job::JobSpec;

    #[test]
    fn a_cursor_reads_back_from_its_text_and_other_texts_are_none() {
        let job = JobRecord::new(JobId::new(), JobSpec::new("tool", "server", clock::now()));
        let cursor = ResourceCursor::parse(&ResourceCursor::after(&job)).unwrap();
        assert_eq!(cursor, ResourceCursor { created_at: job.spec.created_at, id: job.id });
        assert!(!cursor.is_before(&job));
        for other in ["", "2", "smart-async:jobs-before:", "smart-async:jobs-before:1:2"] {
            assert_eq!(ResourceCursor::parse(other), None, "{other}");
        }
    }
}
