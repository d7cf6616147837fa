//! A token that is bound to some users touches no others, whatever it names them by.

use scrip::pb;
use tonic::{Code, Response, Status};

use crate::on_both_stores;
use crate::support::client::{Scrip, authorize, charge, credit, reason, refused};
use crate::support::tokens::{self, Bearing};

on_both_stores!(a_bound_token_touches_its_users_and_no_others);

/// Users 7 to 9 are the token's, 20 is not.
const USERS: &str = "bound --role biller --role runner --role cashier --role auditor --users 7-9";

#[track_caller]
fn not_ones_own<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, not_found: &str) {
    let status = answer.expect_err("it is refused");
    let (found, _) = reason(&status);
    assert!(found == "PERMISSION_DENIED" || found == not_found, "{status:?}");
}

async fn a_bound_token_touches_its_users_and_no_others(mut scrip: Scrip) {
    let account = pb::CreateAccountRequest {
        name: "one".into(),
        api_key: "key:secret".into(),
        max_concurrency: Some(9),
        ..Default::default()
    };
    scrip.keys.create_account(account).await.unwrap();
    let mut leases = Vec::new();
    for (user_id, task) in [(7, "ours"), (20, "theirs")] {
        scrip.with_points(user_id, 1_000).await;
        scrip.charge(user_id, task, 10).await;
        scrip.billing.authorize(authorize(user_id, &format!("hold-{task}"), 10)).await.unwrap();
        let select =
            pb::SelectKeyRequest { task_id: task.into(), runner_id: "r".into(), ..Default::default() };
        leases.push(scrip.keys.select_key(select).await.unwrap().into_inner().lease.unwrap().lease_id);
    }
    let before = scrip.entries(20).await;
    let task_before = scrip.task("theirs").await;
    let token = tokens::create(&scrip.database_url, USERS).await;
    let mut bound = Bearing::new(scrip.server.channel().await, &token);

    everything_of_others_is_refused(&mut bound, &leases[1]).await;
    everything_of_its_own_works(&mut bound, &leases[0]).await;

    let mut admin = Bearing::new(
        scrip.server.channel().await,
        &tokens::create(&scrip.database_url, "ops --role admin").await,
    );
    let list = pb::ListEntriesRequest { user_id: 20, page_size: 1000, ..Default::default() };
    assert_eq!(admin.billing.list_entries(list).await.unwrap().into_inner().entries, before);
    let get = pb::GetTaskRequest { task_id: "theirs".into(), user_id: 0 };
    assert_eq!(admin.tasks.get_task(get).await.unwrap().into_inner().task.unwrap(), task_before);
}

async fn everything_of_others_is_refused(bound: &mut Bearing, lease: &str) {
    for user_id in [20, 6, 10] {
        let denied = |code| assert_eq!(code, Code::PermissionDenied, "{user_id}");
        denied(bound.billing.charge(charge(user_id, "x", 1)).await.unwrap_err().code());
        denied(bound.billing.authorize(authorize(user_id, "x", 1)).await.unwrap_err().code());
        denied(bound.billing.credit(credit(user_id, 1, pb::Purse::Points, "x")).await.unwrap_err().code());
        let debit = pb::DebitRequest { request_id: "x".into(), user_id, amount: 1, ..Default::default() };
        denied(bound.billing.debit(debit).await.unwrap_err().code());
        let get = pb::GetBalanceRequest { user_id, as_of_time: None };
        denied(bound.billing.get_balance(get).await.unwrap_err().code());
        let list = pb::ListEntriesRequest { user_id, ..Default::default() };
        denied(bound.billing.list_entries(list).await.unwrap_err().code());
        let list = pb::ListPointsDetailsRequest { user_id, ..Default::default() };
        denied(bound.billing.list_points_details(list).await.unwrap_err().code());
        let list = pb::ListFinancialTransactionsRequest { user_id, ..Default::default() };
        denied(bound.billing.list_financial_transactions(list).await.unwrap_err().code());
        let list = pb::ListTasksRequest { user_id, ..Default::default() };
        denied(bound.tasks.list_tasks(list).await.unwrap_err().code());
        // One of another's among one's own: nothing of the batch is done.
        let requests = vec![charge(7, "batched", 1), charge(user_id, "x", 1)];
        let batch = pb::BatchChargeRequest { requests, ..Default::default() };
        denied(bound.billing.batch_charge(batch).await.unwrap_err().code());
    }
    // Everybody's at once.
    let all = pb::ListTasksRequest::default();
    refused(bound.tasks.list_tasks(all).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let all = pb::ListUsersRequest::default();
    refused(bound.billing.list_users(all).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let all = pb::ListAccountsRequest::default();
    refused(bound.keys.list_accounts(all).await, Code::PermissionDenied, "PERMISSION_DENIED");

    // By their tasks, with the owner's name, without one, and with one's own.
    for user_id in [20, 0, 7] {
        let (task_id, hold) = ("theirs".to_owned(), "hold-theirs".to_owned());
        let get = pb::GetTaskRequest { task_id: task_id.clone(), user_id };
        not_ones_own(bound.tasks.get_task(get).await, "TASK_NOT_FOUND");
        let refund = pb::RefundRequest { task_id: task_id.clone(), user_id, ..Default::default() };
        not_ones_own(bound.billing.refund(refund).await, "TASK_NOT_FOUND");
        let capture = pb::CaptureRequest { task_id: hold.clone(), user_id, amount: 1, ..Default::default() };
        not_ones_own(bound.billing.capture(capture).await, "TASK_NOT_FOUND");
        let void = pb::VoidRequest { task_id: hold.clone(), user_id, ..Default::default() };
        not_ones_own(bound.billing.void(void).await, "TASK_NOT_FOUND");
        let start = pb::StartTaskRequest {
            task_id: task_id.clone(),
            key_id: "key".into(),
            user_id,
            ..Default::default()
        };
        not_ones_own(bound.tasks.start_task(start).await, "TASK_NOT_FOUND");
        let complete = pb::CompleteTaskRequest { task_id: task_id.clone(), user_id, ..Default::default() };
        not_ones_own(bound.tasks.complete_task(complete).await, "TASK_NOT_FOUND");
        let fail = pb::FailTaskRequest { task_id: task_id.clone(), user_id, ..Default::default() };
        not_ones_own(bound.tasks.fail_task(fail).await, "TASK_NOT_FOUND");
        let select = pb::SelectKeyRequest { task_id, user_id, runner_id: "r".into(), ..Default::default() };
        not_ones_own(bound.keys.select_key(select).await, "TASK_NOT_FOUND");
    }
    // By their lease.
    let renew = pb::RenewLeaseRequest { lease_id: lease.to_owned(), ttl: None };
    not_ones_own(bound.keys.renew_lease(renew).await, "LEASE_NOT_FOUND");
    let release =
        pb::ReleaseKeyRequest { lease_id: lease.to_owned(), http_status: 200, ..Default::default() };
    not_ones_own(bound.keys.release_key(release).await, "LEASE_NOT_FOUND");
    // With their lease on one's own task.
    let fail =
        pb::FailTaskRequest { task_id: "ours".into(), lease_id: lease.to_owned(), ..Default::default() };
    bound.tasks.fail_task(fail).await.expect_err("the lease is another task's");
}

async fn everything_of_its_own_works(bound: &mut Bearing, lease: &str) {
    bound.billing.charge(charge(9, "nine", 0)).await.expect_err("user 9 does not exist yet");
    bound.billing.credit(credit(9, 50, pb::Purse::Points, "open-9")).await.unwrap();
    bound.billing.charge(charge(9, "nine", 1)).await.unwrap();
    let get = pb::GetTaskRequest { task_id: "ours".into(), user_id: 0 };
    bound.tasks.get_task(get).await.unwrap();
    let list = pb::ListTasksRequest { user_id: 7, ..Default::default() };
    assert_eq!(bound.tasks.list_tasks(list).await.unwrap().into_inner().tasks.len(), 2);
    let batch = pb::BatchChargeRequest {
        requests: vec![charge(7, "batched", 1), charge(9, "batched-9", 1)],
        ..Default::default()
    };
    assert_eq!(bound.billing.batch_charge(batch).await.unwrap().into_inner().results.len(), 2);
    let void = pb::VoidRequest { task_id: "hold-ours".into(), ..Default::default() };
    bound.billing.void(void).await.unwrap();
    let renew = pb::RenewLeaseRequest { lease_id: lease.to_owned(), ttl: None };
    bound.keys.renew_lease(renew).await.unwrap();
    let complete =
        pb::CompleteTaskRequest { task_id: "ours".into(), lease_id: lease.to_owned(), ..Default::default() };
    bound.tasks.complete_task(complete).await.unwrap();
    let refund = pb::RefundRequest { task_id: "nine".into(), ..Default::default() };
    bound.billing.refund(refund).await.unwrap();
}
