//! The statuses the server itself answers with, before or instead of a handler, in the shape clients rely on: each
//! carries a `google.rpc.ErrorInfo` with reason, domain and metadata.

use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderMap, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::auth::Denied;
use crate::pb::{ERROR_DOMAIN, ErrorReason};

/// How soon a call refused by a draining process may be tried again: the next process is already there or soon will be.
const RETRY_AFTER_DRAIN: Duration = Duration::from_millis(500);

/// How soon to call again where it could not be found out who may.
const RETRY_CALLERS: Duration = Duration::from_secs(1);

/// How soon a large message may be sent again after many arrived at once.
const RETRY_AFTER_INTAKE: Duration = Duration::from_millis(500);

fn with_reason(
    code: Code,
    message: impl Into<String>,
    reason: ErrorReason,
    metadata: &[(&str, String)],
    mut details: ErrorDetails,
) -> Status {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    details.set_error_info(reason.reason(), ERROR_DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

/// The client's own deadline has passed.
pub(super) fn deadline_passed(asked: Duration) -> Status {
    let message = format!(
        "the call's deadline of {asked:?} has passed; what it asked for may still take effect, so repeat it with the same keys"
    );
    let metadata = [("deadline", format!("{asked:?}"))];
    with_reason(
        Code::DeadlineExceeded,
        message,
        ErrorReason::DeadlineExceeded,
        &metadata,
        ErrorDetails::new(),
    )
}

/// The server's own maximum has passed before the client's deadline.
pub(super) fn server_limit_passed(limit: Duration) -> Status {
    let message = format!(
        "the server's limit of {limit:?} a call has passed; what it asked for may still take effect, so repeat it with the same keys"
    );
    let metadata = [("deadline", format!("{limit:?}"))];
    with_reason(
        Code::DeadlineExceeded,
        message,
        ErrorReason::DeadlineExceeded,
        &metadata,
        ErrorDetails::new(),
    )
}

/// `grpc-timeout` is not what the protocol allows.
pub(super) fn malformed_timeout() -> Status {
    const RULE: &str = "must be 1 to 8 digits and one unit of H, M, S, m, u, n, given once";
    let details = ErrorDetails::with_bad_request_violation("grpc-timeout", RULE);
    let metadata = [("field", "grpc-timeout".to_owned())];
    with_reason(
        Code::InvalidArgument,
        format!("grpc-timeout {RULE}"),
        ErrorReason::InvalidField,
        &metadata,
        details,
    )
}

/// A message is above what the service decodes.
pub(super) fn message_too_large(found_bytes: Option<u64>, limit_bytes: Option<u64>) -> Status {
    let mut metadata = Vec::new();
    let mut message = "the message is larger than the service accepts".to_owned();
    if let (Some(found), Some(limit)) = (found_bytes, limit_bytes) {
        message = format!("the message of {found} bytes is above the limit of {limit} bytes");
        metadata.push(("found_bytes", found.to_string()));
        metadata.push(("limit_bytes", limit.to_string()));
    }
    with_reason(
        Code::ResourceExhausted,
        message,
        ErrorReason::MessageTooLarge,
        &metadata,
        ErrorDetails::new(),
    )
}

/// Too much is arriving at once for all of it to be kept.
pub(super) fn too_much_at_once() -> Status {
    let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER_INTAKE));
    with_reason(
        Code::ResourceExhausted,
        "too many large messages are arriving at once and this one was not taken up; retry after the given time",
        ErrorReason::Overloaded,
        &[],
        details,
    )
}

/// Nobody that is known makes the call; `why` says what is missing or wrong.
pub(super) fn unauthenticated(method: &'static str, why: &'static str) -> Status {
    let metadata = [("method", method.to_owned())];
    with_reason(Code::Unauthenticated, why, ErrorReason::Unauthenticated, &metadata, ErrorDetails::new())
}

impl From<Denied> for Status {
    /// The caller is known, and may not do this.
    fn from(denied: Denied) -> Self {
        let Denied { method, roles, why, name } = denied;
        let role = roles.to_string();
        let has = if role.is_empty() { "none".to_owned() } else { role.clone() };
        let metadata = [("method", method.to_owned()), ("role", role)];
        let message = format!("{name} (role: {has}) {why}");
        with_reason(
            Code::PermissionDenied,
            message,
            ErrorReason::PermissionDenied,
            &metadata,
            ErrorDetails::new(),
        )
    }
}

/// The database has not told for a while who may call: nobody is let in by what it told before.
pub(super) fn callers_unknown() -> Status {
    let details = ErrorDetails::with_retry_info(Some(RETRY_CALLERS));
    with_reason(
        Code::Unavailable,
        "the database does not answer, so it is not known who may call; nothing was done: retry with the same keys",
        ErrorReason::StoreUnavailable,
        &[],
        details,
    )
}

/// There is no such method here, in the words that tonic has for it.
pub(super) fn not_served(path: &str) -> Status {
    let shown = path.floor_char_boundary(255);
    Status::unimplemented(format!("{} is not served here", &path[..shown]))
}

/// A bug of ours. What went wrong is in the log, never in the answer.
pub(super) fn internal() -> Status {
    let message = "internal error; the server's log has the cause";
    with_reason(Code::Internal, message, ErrorReason::Internal, &[], ErrorDetails::new())
}

/// An open stream ends because the process does.
pub(super) fn shutting_down() -> Status {
    let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER_DRAIN));
    with_reason(
        Code::Unavailable,
        "the server is shutting down; try again",
        ErrorReason::ShuttingDown,
        &[],
        details,
    )
}

/// A whole answer that is a status and nothing else ("trailers-only": all of it in the response's head).
pub(super) fn only<B>(status: &Status, body: B) -> Response<B> {
    let mut response = Response::new(body);
    let content_type = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    put(status, response.headers_mut());
    response
}

/// The trailers that end a response whose head is already sent.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    put(status, &mut trailers);
    trailers
}

/// Writes `status` over whatever status `headers` held.
pub(super) fn put(status: &Status, headers: &mut HeaderMap) {
    headers.remove("grpc-message");
    headers.remove("grpc-status-details-bin");
    // tonic escapes what a header cannot hold. Should it fail all the same, a bare code beats a broken answer.
    if status.add_header(headers).is_err() {
        headers.insert("grpc-status", http::HeaderValue::from(status.code() as i32));
    }
}

/// The `grpc-status` in a head or in trailers.
pub(super) fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()))
}

/// A code's name in the protocol, such as `NOT_FOUND`.
pub(super) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The reason of the `ErrorInfo` in a head or in trailers; one that the contract does not know is `OTHER`.
pub(super) fn reason(headers: &HeaderMap) -> Option<&'static str> {
    let info = Status::from_header_map(headers)?.get_details_error_info()?;
    let mut known = (1..).map_while(|number| ErrorReason::try_from(number).ok()).map(ErrorReason::reason);
    Some(known.find(|reason| *reason == info.reason).unwrap_or("OTHER"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_names_its_reason_and_domain() {
        let all = [
            (deadline_passed(Duration::from_millis(5)), "DEADLINE_EXCEEDED"),
            (server_limit_passed(Duration::from_secs(60)), "DEADLINE_EXCEEDED"),
            (malformed_timeout(), "INVALID_FIELD"),
            (message_too_large(Some(9), Some(8)), "MESSAGE_TOO_LARGE"),
            (unauthenticated("/a.B/C", "no"), "UNAUTHENTICATED"),
            (callers_unknown(), "STORE_UNAVAILABLE"),
            (internal(), "INTERNAL"),
            (shutting_down(), "SHUTTING_DOWN"),
        ];
        for (status, reason) in all {
            let read = Status::from_header_map(&trailers(&status)).unwrap();
            assert_eq!((read.code(), read.message()), (status.code(), status.message()));
            assert_eq!(super::reason(&trailers(&status)), Some(reason));
            let info = read.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "scrip.v1"));
        }
    }

    #[test]
    fn invalid_argument_lists_the_field_and_unavailable_says_when_to_retry() {
        let violations = malformed_timeout().get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "grpc-timeout");
        assert!(shutting_down().get_details_retry_info().unwrap().retry_delay.is_some());
    }
}
