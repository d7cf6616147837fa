//! Holds, as a caller sees them.

use scrip::pb;
use tonic::Code;

use crate::on_both_stores;
use crate::support::client::{Scrip, authorize, charge, refused, refused_fields};
use crate::support::eventually;

on_both_stores!(
    a_hold_sets_money_aside_and_a_capture_takes_part_of_it,
    a_void_releases_the_hold_and_cancels_the_task,
    a_hold_expires_by_itself,
    a_failed_task_lets_its_hold_go,
    completing_with_a_capture_settles_task_and_money_in_one,
);

fn capture(task_id: &str, amount: i64, request_id: &str) -> pb::CaptureRequest {
    pb::CaptureRequest { request_id: request_id.into(), task_id: task_id.into(), amount, user_id: 0 }
}

async fn a_hold_sets_money_aside_and_a_capture_takes_part_of_it(mut scrip: Scrip) {
    scrip.with_points(7, 1_000).await;
    let held = scrip.billing.authorize(authorize(7, "job", 500)).await.unwrap().into_inner();
    let balance = held.balance.unwrap();
    assert_eq!((balance.total, balance.held, balance.available), (1_000, Some(500), Some(500)));
    assert_eq!(held.task.unwrap().held, 500);
    // What is held cannot be spent.
    let metadata = refused(
        scrip.billing.charge(charge(7, "other", 501)).await,
        Code::FailedPrecondition,
        "INSUFFICIENT_BALANCE",
    );
    assert_eq!([&metadata["available"], &metadata["held"]], ["500", "500"]);

    let metadata = refused(
        scrip.billing.capture(capture("job", 501, "c0")).await,
        Code::FailedPrecondition,
        "CAPTURE_EXCEEDS_HOLD",
    );
    assert_eq!([&metadata["held"], &metadata["requested"]], ["500", "501"]);
    refused_fields(scrip.billing.capture(capture("job", 0, "c1")).await, &["amount"]);

    let taken = scrip.billing.capture(capture("job", 360, "c2")).await.unwrap().into_inner();
    let balance = taken.balance.unwrap();
    assert_eq!((balance.total, balance.held), (640, Some(0)));
    assert_eq!(taken.entries[0].operation(), pb::Operation::Capture);
    let task = taken.task.unwrap();
    assert_eq!((task.money, task.held), (360, 0));

    let again = scrip.billing.capture(capture("job", 360, "")).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(again.entries, taken.entries);
    refused(
        scrip.billing.capture(capture("job", 1, "")).await,
        Code::FailedPrecondition,
        "TASK_STATE_CONFLICT",
    );
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn a_void_releases_the_hold_and_cancels_the_task(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.billing.authorize(authorize(7, "job", 100)).await.unwrap();
    let void =
        pb::VoidRequest { task_id: "job".into(), reason: "changed my mind".into(), ..Default::default() };
    let answer = scrip.billing.void(void.clone()).await.unwrap().into_inner();
    assert_eq!(answer.task.unwrap().status(), pb::TaskStatus::Canceled);
    assert_eq!(answer.balance.unwrap().available, Some(100));
    assert!(scrip.billing.void(void).await.unwrap().into_inner().replayed);
    refused(
        scrip.billing.capture(capture("job", 1, "")).await,
        Code::FailedPrecondition,
        "TASK_STATE_CONFLICT",
    );
    // A job that ran all the same is recorded, and changes nothing.
    let complete =
        pb::CompleteTaskRequest { task_id: "job".into(), cost_nano_usd: Some(5), ..Default::default() };
    let late = scrip.tasks.complete_task(complete).await.unwrap().into_inner();
    assert!(late.late && !late.replayed);
    assert_eq!(late.task.unwrap().status(), pb::TaskStatus::Canceled);
    assert_eq!(scrip.task("job").await.reported_cost_nano_usd, Some(5));
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn a_hold_expires_by_itself(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let mut request = authorize(7, "job", 100);
    request.ttl = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    scrip.billing.authorize(request).await.unwrap();
    // Refused from the moment it is due, whether it has been swept or not.
    let tasks = scrip.tasks.clone();
    eventually("the hold expires", || {
        let mut tasks = tasks.clone();
        async move {
            let request = pb::GetTaskRequest { task_id: "job".into(), user_id: 7 };
            tasks.get_task(request).await.unwrap().into_inner().task.unwrap().held == 0
        }
    })
    .await;
    let metadata = refused(
        scrip.billing.capture(capture("job", 60, "c")).await,
        Code::FailedPrecondition,
        "HOLD_EXPIRED",
    );
    assert_eq!([&metadata["held"], &metadata["requested"]], ["100", "60"]);
    assert_eq!(scrip.task("job").await.status(), pb::TaskStatus::Canceled);
    assert_eq!(scrip.balance(7).await.available, Some(100));
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn a_failed_task_lets_its_hold_go(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.billing.authorize(authorize(7, "job", 100)).await.unwrap();
    let mut fail = pb::FailTaskRequest { task_id: "job".into(), no_refund: true, ..Default::default() };
    refused_fields(scrip.tasks.fail_task(fail.clone()).await, &["no_refund"]);
    fail.no_refund = false;
    let answer = scrip.tasks.fail_task(fail).await.unwrap().into_inner();
    assert!(answer.entries.is_empty());
    assert_eq!(answer.balance.unwrap().held, Some(0));
    assert_eq!(answer.task.unwrap().status(), pb::TaskStatus::Failed);
}

async fn completing_with_a_capture_settles_task_and_money_in_one(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.billing.authorize(authorize(7, "job", 100)).await.unwrap();
    let complete = |amount| pb::CompleteTaskRequest {
        request_id: "done".into(),
        task_id: "job".into(),
        online_task_id: "fal-1".into(),
        output_params: r#"{"video":"https://example.com/v.mp4"}"#.into(),
        cost_nano_usd: Some(90_240_000),
        billable_units: "3.008".into(),
        capture_amount: Some(amount),
        ..Default::default()
    };
    let first = scrip.tasks.complete_task(complete(70)).await.unwrap().into_inner();
    assert_eq!(first.entries[0].amount, -70);
    assert_eq!(first.balance.unwrap().available, Some(30));
    let again = scrip.tasks.complete_task(complete(70)).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(again.entries, first.entries);
    let metadata =
        refused(scrip.tasks.complete_task(complete(71)).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(metadata["field"], "capture_amount");
    let task = scrip.task("job").await;
    assert_eq!(
        (task.status(), task.money, task.cost_nano_usd),
        (pb::TaskStatus::Completed, 70, Some(90_240_000))
    );
    assert_eq!((task.billable_units.as_str(), task.online_task_id.as_str()), ("3.008", "fal-1"));
    assert_eq!(task.output_params, r#"{"video":"https://example.com/v.mp4"}"#);
    assert_eq!(scrip.verify().await.0, Some(0));
}
