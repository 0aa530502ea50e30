//! Jobs as resources, beside those of the wrapped server: `job://<id>` is the job as `job_status` shows it, and
//! `job://<id>/result` is its outcome. `subscriptions` notifies clients of their changes.

mod list;
mod read;

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::ServerCapabilities;
use serde_json::json;

pub(super) use self::list::{append_jobs, append_templates, page, parse_cursor};
pub(super) use self::read::read;
use super::client::access::Access;
use crate::core::job::{JobId, JobRecord};
use crate::core::jobs::Error;
use crate::core::text::quoted;

const SCHEME: &str = "job://";

/// The part of a job that a resource shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResourcePart {
    /// The job's status and progress.
    Status,
    /// The job's outcome. The resource exists once the job has ended.
    Result,
}

/// Declares the resources of jobs. Only the wrapped server sends `notifications/resources/list_changed`, so that its declaration
/// of that stays.
pub(super) fn declare(capabilities: &mut ServerCapabilities) {
    capabilities.resources.get_or_insert_default().subscribe = Some(true);
}

/// Returns whether the resource is a job's, and not one of the wrapped server.
pub(super) fn is_of_job(uri: &str) -> bool {
    uri.starts_with(SCHEME)
}

fn uri_of(id: JobId) -> String {
    format!("{SCHEME}{id}")
}

fn parse(uri: &str) -> Option<(JobId, ResourcePart)> {
    let name = uri.strip_prefix(SCHEME)?;
    let (id, part) = match name.strip_suffix("/result") {
        Some(id) => (id, ResourcePart::Result),
        None => (name, ResourcePart::Status),
    };
    Some((id.parse().ok()?, part))
}

/// The job that a resource shows, and which part of it.
///
/// # Errors
/// "Resource not found" where the client sees no such job.
pub(super) async fn find(
    access: &Access,
    uri: &str,
) -> Result<(Arc<JobRecord>, ResourcePart), ErrorData> {
    let (id, part) = parse(uri).ok_or_else(|| not_found(uri))?;
    let job = access.status(id).await.map_err(|error| failed(uri, error))?;
    Ok((job, part))
}

fn failed(uri: &str, error: Error) -> ErrorData {
    match error {
        Error::NotFound(_) => not_found(uri),
        error => ErrorData::internal_error(error.answer_text(), None),
    }
}

fn not_found(uri: &str) -> ErrorData {
    let message = format!("there is no job {}; it never was, or was pruned", quoted(uri));
    ErrorData::resource_not_found(message, Some(json!({"uri": uri})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_job_and_a_part_of_it() {
        let id = JobId::new();
        assert_eq!(parse(&uri_of(id)), Some((id, ResourcePart::Status)));
        assert_eq!(parse(&format!("job://{id}/result")), Some((id, ResourcePart::Result)));
        for uri in ["", "job:", "job://", "job://42", "job:///result", "file:///42"] {
            assert_eq!(parse(uri), None, "{uri}");
        }
        assert_eq!(parse(&format!("job://{id}/output")), None);
    }
}
