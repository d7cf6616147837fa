use std::collections::HashMap;

use tonic_types::RpcStatusExt;

use super::*;
use crate::ledger::{TaskStatus, Text};

/// A status as it reaches a client.
struct Seen {
    code: Code,
    reason: String,
    metadata: HashMap<String, String>,
    fields: Vec<String>,
    retry_after: Option<Duration>,
}

fn seen(status: &Status) -> Seen {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has an ErrorInfo");
    assert_eq!(info.domain, "scrip.v1");
    assert!(!status.message().is_empty());
    Seen {
        code: status.code(),
        reason: info.reason.clone(),
        metadata: info.metadata.clone(),
        fields: details
            .bad_request()
            .map(|bad| bad.field_violations.iter().map(|violation| violation.field.clone()).collect())
            .unwrap_or_default(),
        retry_after: details.retry_info().and_then(|info| info.retry_delay),
    }
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Every refusal with what `error_reason.proto` promises of it.
fn refusals() -> Vec<(Rejection, Code, &'static str, HashMap<String, String>)> {
    let task_id = || Text::from("t-1");
    let two =
        vec![FieldViolation::new("amount", "must be 1 or more"), FieldViolation::new("title", "too long")];
    let already =
        Rejection::TaskAlreadyCharged { task_id: task_id(), field: "amount", status: TaskStatus::Pending };
    let state = Rejection::TaskStateConflict {
        task_id: task_id(),
        status: TaskStatus::Completed,
        why: Text::from("it is completed: use Refund"),
    };
    let failed = Code::FailedPrecondition;
    vec![
        (Rejection::InvalidField(two), Code::InvalidArgument, "INVALID_FIELD", map(&[("field", "amount")])),
        (Rejection::RequestIdRequired, Code::InvalidArgument, "REQUEST_ID_REQUIRED", map(&[])),
        (
            Rejection::RequestIdReused { request_id: Text::from("pay-81"), field: "amount" },
            Code::AlreadyExists,
            "REQUEST_ID_REUSED",
            map(&[("request_id", "pay-81"), ("field", "amount")]),
        ),
        (
            already,
            Code::AlreadyExists,
            "TASK_ALREADY_CHARGED",
            map(&[("task_id", "t-1"), ("field", "amount"), ("status", "pending")]),
        ),
        (
            Rejection::InsufficientBalance { required: 600, available: 400, held: 100 },
            failed,
            "INSUFFICIENT_BALANCE",
            map(&[("required", "600"), ("available", "400"), ("held", "100")]),
        ),
        (Rejection::UserNotFound(42), Code::NotFound, "USER_NOT_FOUND", map(&[("id", "42")])),
        (Rejection::TaskNotFound(task_id()), Code::NotFound, "TASK_NOT_FOUND", map(&[("id", "t-1")])),
        (
            Rejection::RefundExceedsCharge { charged: 100, refunded: 80, requested: 50 },
            failed,
            "REFUND_EXCEEDS_CHARGE",
            map(&[("charged", "100"), ("refunded", "80"), ("requested", "50")]),
        ),
        (state, failed, "TASK_STATE_CONFLICT", map(&[("task_id", "t-1"), ("status", "completed")])),
        (
            Rejection::HoldExpired { held: 100, requested: 80 },
            failed,
            "HOLD_EXPIRED",
            map(&[("held", "100"), ("requested", "80")]),
        ),
        (Rejection::HoldExpired { held: 100, requested: 0 }, failed, "HOLD_EXPIRED", map(&[("held", "100")])),
        (
            Rejection::CaptureExceedsHold { held: 100, requested: 120 },
            failed,
            "CAPTURE_EXCEEDS_HOLD",
            map(&[("held", "100"), ("requested", "120")]),
        ),
        (Rejection::BatchAborted { index: 3 }, Code::Aborted, "BATCH_ABORTED", map(&[("index", "3")])),
    ]
}

#[test]
fn every_refusal_has_its_code_reason_and_metadata() {
    for (rejection, code, reason, metadata) in refusals() {
        let seen = seen(&Status::from(rejection));
        assert_eq!((seen.code, seen.reason.as_str(), seen.metadata), (code, reason, metadata));
        assert_eq!(seen.retry_after, None, "{reason}: a refusal stays one");
        assert_eq!(seen.fields.is_empty(), code != Code::InvalidArgument, "{reason}");
    }
}

#[test]
fn every_wrong_field_is_listed() {
    let (rejection, ..) = refusals().swap_remove(0);
    assert_eq!(seen(&Status::from(rejection)).fields, ["amount", "title"]);
    assert_eq!(seen(&Status::from(Rejection::RequestIdRequired)).fields, ["request_id"]);
}

#[test]
fn every_failure_of_the_engine_has_its_code_and_reason_and_says_when_to_retry() {
    let overloaded = EngineError::Overloaded { retry_after: Duration::from_millis(100) };
    let failures = [
        (overloaded, Code::ResourceExhausted, "OVERLOADED", Some(Duration::from_millis(100))),
        (EngineError::StoreUnavailable, Code::Unavailable, "STORE_UNAVAILABLE", Some(STORE_RETRY)),
        (EngineError::OutcomeUnknown, Code::Unavailable, "OUTCOME_UNKNOWN", Some(STORE_RETRY)),
        (EngineError::ShuttingDown, Code::Unavailable, "SHUTTING_DOWN", Some(DRAIN_RETRY)),
        (EngineError::DeadlineExceeded, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", None),
        (EngineError::Internal, Code::Internal, "INTERNAL", None),
        (EngineError::Rejected(Rejection::UserNotFound(1)), Code::NotFound, "USER_NOT_FOUND", None),
    ];
    for (error, code, reason, retry_after) in failures {
        let seen = seen(&Status::from(error));
        assert_eq!((seen.code, seen.reason.as_str(), seen.retry_after), (code, reason, retry_after));
    }
}

#[test]
fn an_item_of_a_batch_carries_what_the_unary_call_would() {
    for (rejection, ..) in refusals() {
        let item = of_item(&rejection);
        let unary = Status::from(rejection);
        assert_eq!((item.code, item.message.as_str()), (unary.code() as i32, unary.message()));
        let (info, expected) =
            (item.get_details_error_info().unwrap(), unary.get_details_error_info().unwrap());
        assert_eq!(
            (info.reason, info.domain, info.metadata),
            (expected.reason, expected.domain, expected.metadata)
        );
        assert_eq!(item.get_details_bad_request().is_some(), unary.get_details_bad_request().is_some());
    }
}

#[test]
fn what_is_not_protobuf_names_the_field_from_the_outside_in() {
    let words = "failed to decode Protobuf message: ChargeRequest.title: BatchChargeRequest.requests: \
                 invalid string value: data is not UTF-8 encoded";
    let nested = seen(&malformed(words));
    assert_eq!((nested.code, nested.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    assert_eq!(nested.metadata, map(&[("field", "requests.title")]));
    assert_eq!(nested.fields, ["requests.title"]);
    assert_eq!(seen(&malformed("failed to decode Protobuf message: invalid varint")).fields, ["message"]);
}
