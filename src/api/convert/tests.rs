use prost_types::{Duration, Timestamp};

use super::*;
use crate::ledger::command::UNRESOLVED;
use crate::ledger::limits::{Checks, MESSAGE_BYTES};
use crate::ledger::{Command, Funding, LeaseOutcome, Limits, Micros, Purse, Rejection, SourceType, User};
use crate::pb;

/// A request's command, and the fields the wire got wrong.
fn asked(request: impl Ask) -> (Command, Vec<&'static str>) {
    let limits = Limits::default();
    let mut checks = Checks::new(&limits);
    request.wait(&mut checks);
    let (command, _) = request.into_command(&mut checks);
    let fields = checks.finish().err().unwrap_or_default();
    (command, fields.into_iter().map(|violation| violation.field).collect())
}

fn fields<T: std::fmt::Debug>(read: Result<T, Rejection>) -> Vec<&'static str> {
    match read {
        Err(Rejection::InvalidField(violations)) => {
            violations.into_iter().map(|violation| violation.field).collect()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn unknown_numbers_are_refused_where_an_enum_is_meant() {
    let charge = pb::ChargeRequest { funding: 9, ..pb::ChargeRequest::default() };
    assert_eq!(asked(charge).1, ["funding"]);
    let credit = pb::CreditRequest { purse: 3, source_type: -1, ..pb::CreditRequest::default() };
    assert_eq!(asked(credit).1, ["purse", "source_type"]);
    let debit = pb::DebitRequest { purse: 3, ..pb::DebitRequest::default() };
    assert_eq!(asked(debit).1, ["purse"]);
    let limits = Limits::default();
    let entries = pb::ListEntriesRequest { user_id: 1, purse: 3, operation: 6, ..Default::default() };
    assert_eq!(fields(query::entries(entries, &limits)), ["purse", "operation"]);
    let points = pb::ListPointsDetailsRequest { user_id: 1, source_type: 8, ..Default::default() };
    assert_eq!(fields(query::points_details(points, &limits)), ["source_type"]);
    let tasks = pb::ListTasksRequest { status: 6, ..Default::default() };
    assert_eq!(fields(query::tasks(tasks, &limits)), ["status"]);
}

#[test]
fn what_is_not_given_has_its_default() {
    let Command::Charge(charge) = asked(pb::ChargeRequest::default()).0 else { panic!() };
    assert_eq!(charge.funding, Funding::PointsThenCash);
    let credit = pb::CreditRequest { purse: pb::Purse::Points.into(), ..Default::default() };
    let (Command::Credit(credit), wrong) = asked(credit) else { panic!() };
    assert_eq!((credit.purse, credit.source_type, wrong.len()), (Purse::Points, SourceType::Recharge, 0));
    let Command::Authorize(authorize) = asked(pb::AuthorizeRequest::default()).0 else { panic!() };
    assert_eq!(authorize.ttl_micros, None);
    let Command::Capture(capture) = asked(pb::CaptureRequest::default()).0 else { panic!() };
    assert_eq!(capture.user_id, UNRESOLVED);
    assert_eq!(asked(pb::CreditRequest::default()).1, ["purse"]);
}

#[test]
fn a_debit_draws_from_the_purse_named() {
    let purses = [
        (0, Funding::PointsThenCash),
        (pb::Purse::Points.into(), Funding::PointsOnly),
        (2, Funding::CashOnly),
    ];
    for (purse, funding) in purses {
        let (Command::Debit(debit), _) = asked(pb::DebitRequest { purse, ..Default::default() }) else {
            panic!()
        };
        assert_eq!(debit.funding, funding);
    }
}

#[test]
fn a_report_keeps_what_it_says_and_a_wait_is_held_to_its_range() {
    let fail = pb::FailTaskRequest {
        lease_id: "l-1".to_owned(),
        outcome: pb::LeaseOutcome::UpstreamError.into(),
        http_status: 503,
        error_message: "é".repeat(MESSAGE_BYTES),
        retry_after: Some(Duration { seconds: 2, nanos: 0 }),
        ..Default::default()
    };
    let (Command::FailTask(failed), wrong) = asked(fail) else { panic!() };
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!((&*failed.lease_id, failed.report.outcome), ("l-1", Some(LeaseOutcome::UpstreamError)));
    assert_eq!((failed.report.http_status, failed.report.retry_after_micros), (Some(503), Some(2_000_000)));
    assert_eq!(failed.report.error_message.len(), MESSAGE_BYTES);
    for (seconds, wrong) in [(0, &[][..]), (60, &[]), (61, &["max_wait"]), (-1, &["max_wait"])] {
        let max_wait = Some(Duration { seconds, nanos: 0 });
        assert_eq!(asked(pb::SelectKeyRequest { max_wait, ..Default::default() }).1, wrong, "{seconds}");
    }
}

#[test]
fn a_start_names_its_key() {
    assert_eq!(asked(pb::StartTaskRequest::default()).1, ["key_id"]);
    let start = pb::StartTaskRequest { key_id: "k".to_owned(), ..Default::default() };
    assert!(asked(start).1.is_empty());
}

#[test]
fn a_ttl_must_be_a_duration() {
    let ttl = |nanos| {
        let ttl = Some(Duration { seconds: 60, nanos });
        let (Command::Authorize(authorize), wrong) =
            asked(pb::AuthorizeRequest { ttl, ..Default::default() })
        else {
            panic!()
        };
        (authorize.ttl_micros, wrong)
    };
    assert_eq!(ttl(1_000), (Some(60_000_001), vec![]));
    assert_eq!(ttl(-1), (None, vec!["ttl"]));
}

#[test]
fn queries_keep_the_limits_and_say_all_that_is_wrong() {
    let limits = Limits::default();
    let long = pb::ListEntriesRequest {
        user_id: 0,
        order_id: "o".repeat(256),
        page_size: -1,
        page_token: "?".to_owned(),
        start_time: Some(Timestamp { seconds: 2, nanos: 0 }),
        end_time: Some(Timestamp { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    let wrong = fields(query::entries(long, &limits));
    assert_eq!(wrong, ["user_id", "page_size", "page_token", "order_id", "start_time"]);
    let tasks = pb::ListTasksRequest {
        user_id: -1,
        app_name: "a\0".to_owned(),
        key_id: "id:hush".to_owned(),
        ..Default::default()
    };
    let refused = query::tasks(tasks, &limits);
    assert!(!format!("{refused:?}").contains("hush"), "a key is never echoed");
    assert_eq!(fields(refused), ["user_id", "key_id", "app_name"]);
    let unnamed = pb::GetTaskRequest { task_id: String::new(), user_id: -5 };
    assert_eq!(fields(query::task(unnamed, &limits)), ["user_id", "task_id"]);
    assert_eq!(fields(query::balance(&pb::GetBalanceRequest::default(), &limits)), ["user_id"]);
}

#[test]
fn conditions_not_given_are_none() {
    let limits = Limits::default();
    let request = pb::ListTasksRequest::default();
    let (query, _) = query::tasks(request, &limits).unwrap();
    assert_eq!(query, crate::engine::rows::TaskQuery::default());
    let request = pb::ListTasksRequest {
        user_id: 7,
        status: pb::TaskStatus::Failed.into(),
        key_id: "k".to_owned(),
        start_time: Some(Timestamp { seconds: 1, nanos: 500 }),
        ..Default::default()
    };
    let (query, _) = query::tasks(request, &limits).unwrap();
    assert_eq!((query.user_id, query.status), (Some(7), Some(crate::ledger::TaskStatus::Failed)));
    assert_eq!((query.key_id.as_deref(), query.app_name), (Some("k"), None));
    assert_eq!(query.range.start, Some(Micros(1_000_001)));
}

#[test]
fn enums_keep_their_names_across_the_wire() {
    for purse in Purse::ALL {
        let wire = pb::Purse::from(*purse);
        assert_eq!(wire.as_str_name().to_lowercase(), format!("purse_{purse}"));
    }
    for source in SourceType::ALL {
        let wire = pb::SourceType::from(*source);
        assert_eq!(wire.as_str_name().to_lowercase(), format!("source_type_{source}"));
    }
    for operation in crate::ledger::Operation::ALL {
        let wire = pb::Operation::from(*operation);
        assert_eq!(wire.as_str_name().to_lowercase(), format!("operation_{operation}"));
    }
    for status in crate::ledger::TaskStatus::ALL {
        let wire = pb::TaskStatus::from(*status);
        assert_eq!(wire.as_str_name().to_lowercase(), format!("task_status_{status}"));
    }
}

#[test]
fn what_was_held_is_answered_now_and_not_invented_for_the_past() {
    let mut user = User::new(7, Micros(5));
    user.balance = crate::ledger::Money { points: 400, cash: 200 };
    user.held = crate::ledger::Money { points: 100, cash: 0 };
    let now = balance(&user);
    assert_eq!((now.total, now.held, now.available), (600, Some(100), Some(500)));
    assert_eq!((now.points_held, now.cash_held), (Some(100), Some(0)));
    let past = crate::engine::rows::PastBalance { points: 400, cash: 200, entry_seq: 3, time: None };
    let past = past_balance(7, &past);
    assert_eq!((past.total, past.entry_seq, past.update_time), (600, 3, None));
    assert_eq!((past.held, past.available, past.points_held, past.cash_held), (None, None, None, None));
}
