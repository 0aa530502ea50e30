//! Answers requests that the SDK cannot decode, with the id of the request.
//!
//! **Gap.** The SDK passes over a line that is not JSON (`async_rw.rs` of rmcp 3.11): a lone surrogate, a byte that is not UTF-8 or a
//! nesting beyond 127 levels is enough, and the client waits for ever. To a message that is JSON of another form it answers
//! "Invalid request" without the id, to a body over HTTP a status 415 without a JSON-RPC error.
//!
//! **Work-around.** The transports of `task_subscriptions` read each message first. A line that the SDK cannot decode is replaced by a
//! request that carries the error, under the id of the original (`REFUSED`); over HTTP the SDK's answer is replaced.
//!
//! **Ends when** the SDK answers such requests with their id.

mod scan;
mod sound;

use rmcp::ErrorData;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ConstString, CustomRequest, ErrorCode,
    InitializeRequestParams, InitializeResultMethod, RequestId,
};
use serde_json::error::Category;
use serde_json::{Value, json};

pub(super) use self::scan::Scan;
use self::sound::{Envelope, PARAMS};
use crate::mcp::tools::response::shown_error;

/// The method that stands in place of a request that cannot be decoded. Only the transports here write it; no client sends it.
pub(in crate::mcp) const REFUSED: &str = "smart-async/refused";

/// A message that the SDK cannot decode.
#[derive(Debug)]
pub(super) struct Undecodable {
    pub(super) error: ErrorData,
    /// The messages that were found in it: several in a batch, or where a line holds more than one.
    pub(super) parts: Vec<Part>,
}

/// A part of the bytes that is meant as one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A request, whose client waits for an answer.
    Request(RequestId),
    /// An answer to a request of the server.
    Answer(RequestId),
    /// A message without an id that can be read.
    Anonymous,
    /// A notification, which is never answered.
    Notification,
}

impl Undecodable {
    /// A message that is longer than the transport takes.
    pub(super) fn too_long(scan: Scan, longest: usize) -> Self {
        let message = format!(
            "the message is longer than {} MiB; pass large data as a file or a URI",
            longest >> 20
        );
        Self { error: ErrorData::invalid_request(message, None), parts: scan.finish() }
    }

    /// Returns whether a part of it has no id for an answer, or nothing of it is a message.
    pub(super) fn is_anonymous(&self) -> bool {
        self.parts.is_empty() || self.parts.contains(&Part::Anonymous)
    }

    /// The id for the answer to the whole message; `None` where the answer has none.
    #[cfg(feature = "http")]
    pub(super) fn id(&self) -> Option<RequestId> {
        match self.parts.as_slice() {
            [Part::Request(id)] => Some(id.clone()),
            _ => None,
        }
    }

    /// The lines that the SDK reads in place of the original one; `None` where no part of it is a message.
    pub(super) fn lines(&self) -> Option<Vec<u8>> {
        let (code, message) = (self.error.code, &self.error.message);
        let mut lines = Vec::new();
        for part in &self.parts {
            let line = match part {
                Part::Request(id) => json!({
                    "jsonrpc": "2.0",
                    "id": id,
                    "method": REFUSED,
                    "params": {"code": code, "message": message}
                }),
                // The server stops waiting.
                Part::Answer(id) => {
                    let message = format!("the client's answer cannot be decoded: {message}");
                    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
                }
                // The SDK answers it with an error that has no id.
                Part::Anonymous => json!({}),
                Part::Notification => continue,
            };
            lines.extend(line.to_string().into_bytes());
            lines.push(b'\n');
        }
        (!self.parts.is_empty()).then_some(lines)
    }
}

/// The fault of a message that the SDK cannot decode; `None` for any other message.
pub(super) fn undecodable(message: &[u8]) -> Option<Undecodable> {
    // The SDK ignores a byte order mark too.
    let message = message.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(message);
    // Nearly all messages return here, much earlier than they could be decoded.
    let fault = match serde_json::from_slice::<Envelope>(message) {
        Ok(Envelope::Message) => return None,
        Ok(Envelope::Initialize) => return misfit_initialize(message),
        Ok(Envelope::Answer) => None,
        Err(fault) => Some(fault),
    };
    // The SDK has the last word.
    let fault = match serde_json::from_slice::<ClientJsonRpcMessage>(message) {
        Ok(_) => return None,
        Err(error) => fault.unwrap_or(error),
    };
    Some(Undecodable { error: error_of(&fault), parts: Scan::whole(message) })
}

/// An `initialize` whose parameters do not fit: the SDK hands it on as a custom request, for which it is too early.
fn misfit_initialize(message: &[u8]) -> Option<Undecodable> {
    let ClientJsonRpcMessage::Request(request) = serde_json::from_slice(message).ok()? else {
        return None;
    };
    let ClientRequest::CustomRequest(custom) = request.request else { return None };
    let params = custom.params.unwrap_or_default();
    let fault = serde_json::from_value::<InitializeRequestParams>(params).err()?;
    let message = shown_error(&format!("{}: {fault}", InitializeResultMethod::VALUE));
    let error = ErrorData::invalid_params(message, None);
    Some(Undecodable { error, parts: vec![Part::Request(request.id)] })
}

fn error_of(fault: &serde_json::Error) -> ErrorData {
    let text = shown_error(&fault.to_string());
    match fault.classify() {
        Category::Data if text.starts_with(PARAMS) => ErrorData::invalid_params(text, None),
        Category::Data => ErrorData::invalid_request(
            format!("invalid request: {text}; send one JSON-RPC 2.0 message"),
            None,
        ),
        Category::Syntax | Category::Eof | Category::Io => ErrorData::parse_error(
            format!(
                "parse error: {text}; send JSON in UTF-8, without lone surrogates, at most 127 levels deep"
            ),
            None,
        ),
    }
}

/// The error that a transport wrote in place of a request; `None` for any other request.
pub(in crate::mcp) fn refusal_of(request: &CustomRequest) -> Option<ErrorData> {
    if request.method != REFUSED {
        return None;
    }
    let part = |name| request.params.as_ref().and_then(|params| params.get(name));
    let code = part("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
    let message = part("message").and_then(Value::as_str).unwrap_or("invalid request");
    let code = code.map_or(ErrorCode::INVALID_REQUEST, ErrorCode);
    Some(ErrorData::new(code, message.to_owned(), None))
}
