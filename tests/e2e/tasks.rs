//! A runner's reports, as a runner sees them.

use scrip::pb;
use tonic::Code;

use crate::on_both_stores;
use crate::support::client::{Scrip, refused, refused_fields};

on_both_stores!(
    a_task_starts_completes_and_keeps_what_was_reported,
    a_failed_task_is_refunded_in_the_same_commit,
    a_failure_may_keep_the_charge,
    a_terminal_report_is_never_rewritten,
    a_task_of_another_user_is_not_found,
    a_key_id_with_a_secret_in_it_is_refused_and_not_repeated,
);

fn start(task_id: &str, online_task_id: &str) -> pb::StartTaskRequest {
    pb::StartTaskRequest {
        task_id: task_id.into(),
        online_task_id: online_task_id.into(),
        key_id: "key-1".into(),
        ..Default::default()
    }
}

async fn a_task_starts_completes_and_keeps_what_was_reported(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.charge(7, "job", 10).await;
    for attempt in ["fal-1", "fal-2", "fal-2"] {
        let task = scrip.tasks.start_task(start("job", attempt)).await.unwrap().into_inner().task.unwrap();
        assert_eq!((task.status(), task.online_task_id.as_str()), (pb::TaskStatus::Processing, attempt));
    }
    let complete = pb::CompleteTaskRequest {
        task_id: "job".into(),
        output_params: "{}".into(),
        cost_nano_usd: Some(25_000_000),
        ..Default::default()
    };
    let done = scrip.tasks.complete_task(complete).await.unwrap().into_inner();
    assert!(!done.late && !done.replayed && done.entries.is_empty());
    let task = scrip.task("job").await;
    assert_eq!(
        (task.status(), task.key_id.as_str(), task.online_task_id.as_str()),
        (pb::TaskStatus::Completed, "key-1", "fal-2")
    );
    assert!(task.complete_time.is_some());
    refused(
        scrip.tasks.start_task(start("job", "fal-3")).await,
        Code::FailedPrecondition,
        "TASK_STATE_CONFLICT",
    );
}

async fn a_failed_task_is_refunded_in_the_same_commit(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.charge(7, "job", 70).await;
    let fail =
        pb::FailTaskRequest { task_id: "job".into(), error: "upstream 503".into(), ..Default::default() };
    let failed = scrip.tasks.fail_task(fail.clone()).await.unwrap().into_inner();
    assert_eq!(failed.entries[0].amount, 70);
    assert_eq!(failed.balance.unwrap().total, 100);
    let task = failed.task.unwrap();
    assert_eq!(
        (task.status(), task.refunded, task.is_refund, task.error.as_str()),
        (pb::TaskStatus::Failed, 70, true, "upstream 503")
    );
    let again = scrip.tasks.fail_task(fail).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(again.entries, failed.entries);
    assert_eq!(scrip.balance(7).await.total, 100);
}

async fn a_failure_may_keep_the_charge(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.charge(7, "job", 70).await;
    let fail = pb::FailTaskRequest { task_id: "job".into(), no_refund: true, ..Default::default() };
    assert!(scrip.tasks.fail_task(fail).await.unwrap().into_inner().entries.is_empty());
    assert_eq!(scrip.balance(7).await.total, 30);
    // It can still be refunded, in any status.
    let refund = pb::RefundRequest { task_id: "job".into(), ..Default::default() };
    assert_eq!(scrip.billing.refund(refund).await.unwrap().into_inner().balance.unwrap().total, 100);
}

async fn a_terminal_report_is_never_rewritten(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.charge(7, "job", 10).await;
    let complete = |cost| pb::CompleteTaskRequest {
        task_id: "job".into(),
        cost_nano_usd: Some(cost),
        ..Default::default()
    };
    scrip.tasks.complete_task(complete(5)).await.unwrap();
    assert!(scrip.tasks.complete_task(complete(5)).await.unwrap().into_inner().replayed);
    let metadata = refused(
        scrip.tasks.complete_task(complete(6)).await,
        Code::FailedPrecondition,
        "TASK_STATE_CONFLICT",
    );
    assert_eq!([&metadata["task_id"], &metadata["status"]], ["job", "completed"]);
    let fail = pb::FailTaskRequest { task_id: "job".into(), ..Default::default() };
    refused(scrip.tasks.fail_task(fail).await, Code::FailedPrecondition, "TASK_STATE_CONFLICT");
    assert_eq!(scrip.task("job").await.cost_nano_usd, Some(5));
}

async fn a_task_of_another_user_is_not_found(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.charge(7, "job", 10).await;
    let get = |task_id: &str, user_id| pb::GetTaskRequest { task_id: task_id.into(), user_id };
    assert!(scrip.tasks.get_task(get("job", 7)).await.is_ok());
    let metadata = refused(scrip.tasks.get_task(get("job", 8)).await, Code::NotFound, "TASK_NOT_FOUND");
    assert_eq!(metadata["id"], "job");
    refused(scrip.tasks.get_task(get("other", 0)).await, Code::NotFound, "TASK_NOT_FOUND");
    let mut request = start("job", "fal-1");
    request.user_id = 8;
    refused(scrip.tasks.start_task(request).await, Code::NotFound, "TASK_NOT_FOUND");
    let refund = pb::RefundRequest { task_id: "other".into(), ..Default::default() };
    refused(scrip.billing.refund(refund).await, Code::NotFound, "TASK_NOT_FOUND");
}

async fn a_key_id_with_a_secret_in_it_is_refused_and_not_repeated(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.charge(7, "job", 10).await;
    let mut request = start("job", "fal-1");
    request.key_id = "id:canary-secret".into();
    let answer = scrip.tasks.start_task(request).await;
    assert!(!format!("{answer:?}").contains("canary-secret"));
    refused_fields(answer, &["key_id"]);
    assert!(!scrip.server.logs().contains("canary-secret"));
}
