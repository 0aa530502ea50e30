//! The list of jobs as resources: newest first, after the wrapped server's own resources.

use rmcp::ErrorData;
use rmcp::model::{
    Annotations, CacheScope, ListResourceTemplatesResult, ListResourcesResult, Resource,
    ResourceTemplate,
};

use super::uri_of;
use crate::core::job::{JobCursor, JobQuery, JobRecord, Timestamp};
use crate::mcp::client::access::Access;

/// The number of jobs on a page.
const PAGE: usize = 50;

/// The beginning of a cursor of this list, which no cursor of the wrapped server has.
const PREFIX: &str = "smart-async:jobs-before:";

/// Reads a cursor of this list; `None` for a cursor of the wrapped server.
///
/// # Errors
/// The text begins as a cursor of this list, and is none.
pub(in crate::mcp) fn parse_cursor(text: &str) -> Result<Option<JobCursor>, ErrorData> {
    let Some(place) = text.strip_prefix(PREFIX) else { return Ok(None) };
    let refusal = "this cursor is not one that resources/list gave; list from the beginning";
    parse_place(place).map(Some).ok_or_else(|| ErrorData::invalid_params(refusal, None))
}

fn parse_place(text: &str) -> Option<JobCursor> {
    let parts: Vec<_> = text.split(':').collect();
    let (sequence, millis, id) = match parts[..] {
        [sequence, millis, id] => (sequence.parse().ok()?, millis, id),
        // Of a version whose jobs had no numbers.
        [millis, id] => (0, millis, id),
        _ => return None,
    };
    let created_at = Timestamp::from_timestamp_millis(millis.parse().ok()?)?;
    Some(JobCursor { sequence, created_at, id: id.parse().ok()? })
}

/// The cursor of the page that begins behind this job.
fn cursor_behind(job: &JobRecord) -> String {
    let JobCursor { sequence, created_at, id } = JobCursor::behind(job);
    format!("{PREFIX}{sequence}:{}:{id}", created_at.timestamp_millis())
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
    after: Option<JobCursor>,
) -> Result<ListResourcesResult, ErrorData> {
    let query = JobQuery {
        // One job more than the page shows whether there is another page.
        limit: Some(PAGE + 1),
        after,
        ..JobQuery::default()
    };
    let found = access
        .list(query)
        .await
        .map_err(|error| ErrorData::internal_error(error.answer_text(), None))?;
    let mut shown = found.jobs.iter().take(PAGE);
    let mut list =
        ListResourcesResult::with_all_items(shown.clone().map(|job| resource(job)).collect());
    let is_last = found.jobs.len() <= PAGE;
    list.next_cursor = shown.next_back().filter(|_| !is_last).map(|last| cursor_behind(last));
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
    use crate::core::job::{JobId, JobSpec};

    #[test]
    fn a_cursor_reads_back_from_its_text_and_other_texts_are_none_or_refused() {
        let mut job = JobRecord::new(JobId::new(), JobSpec::new("tool", "server", clock::now()));
        let of_earlier_version =
            format!("{PREFIX}{}:{}", job.spec.created_at.timestamp_millis(), job.id);
        assert_eq!(parse_cursor(&of_earlier_version), Ok(Some(JobCursor::behind(&job))));
        for sequence in [0, 1, u64::MAX] {
            job.sequence = sequence;
            assert_eq!(parse_cursor(&cursor_behind(&job)), Ok(Some(JobCursor::behind(&job))));
        }
        for other in ["", "2", "jobs-before:1:2"] {
            assert_eq!(parse_cursor(other), Ok(None), "{other}");
        }
        let (id, one_more) = (job.id, "1:2:3:4");
        for damaged in ["", "1:2", "1:2:3", one_more, &format!("-1:2:{id}"), &format!("1:{id}:2")] {
            let refused = parse_cursor(&format!("{PREFIX}{damaged}")).unwrap_err();
            assert_eq!(refused.code.0, -32602, "{damaged}");
        }
    }
}
