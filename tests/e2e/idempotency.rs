//! Repeats and races: one effect, one answer.

use scrip::pb;
use tokio::task::JoinSet;
use tonic::Code;

use crate::on_both_stores;
use crate::support::client::{Scrip, charge, credit, refused};

on_both_stores!(
    the_same_charge_sent_a_thousand_times_at_once_is_charged_once,
    a_repeat_with_other_content_names_the_field,
    a_request_id_freezes_a_refusal,
    a_request_id_belongs_to_one_method_and_one_content,
    sixty_four_callers_on_one_user_spend_no_point_twice,
);

async fn the_same_charge_sent_a_thousand_times_at_once_is_charged_once(mut scrip: Scrip) {
    scrip.with_points(7, 1_000).await;
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let mut billing = scrip.billing.clone();
        calls.spawn(async move { billing.charge(charge(7, "job", 10)).await.unwrap().into_inner() });
    }
    let answers = calls.join_all().await;
    let first = answers.iter().filter(|answer| !answer.replayed).count();
    assert_eq!((answers.len(), first), (1_000, 1));
    assert!(answers.iter().all(|answer| answer.entries == answers[0].entries && answer.entries.len() == 1));
    assert_eq!(scrip.balance(7).await.total, 990);
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn a_repeat_with_other_content_names_the_field(mut scrip: Scrip) {
    scrip.with_points(7, 1_000).await;
    let mut request = charge(7, "job", 10);
    request.input_params = r#"{"a": 1, "b": 2}"#.into();
    scrip.billing.charge(request.clone()).await.unwrap();
    // The same document, spelt another way, and another title: the same charge.
    request.input_params = r#"{"b":2,"a":1}"#.into();
    request.title = "a title".into();
    assert!(scrip.billing.charge(request.clone()).await.unwrap().into_inner().replayed);
    request.amount = 11;
    let metadata =
        refused(scrip.billing.charge(request.clone()).await, Code::AlreadyExists, "TASK_ALREADY_CHARGED");
    assert_eq!([&metadata["task_id"], &metadata["field"], &metadata["status"]], ["job", "amount", "pending"]);
    request.user_id = 8;
    scrip.with_points(8, 1_000).await;
    let metadata = refused(scrip.billing.charge(request).await, Code::AlreadyExists, "TASK_ALREADY_CHARGED");
    assert_eq!(metadata["field"], "user_id");
    assert_eq!(scrip.balance(8).await.total, 1_000);
}

async fn a_request_id_freezes_a_refusal(mut scrip: Scrip) {
    scrip.with_points(7, 10).await;
    let mut request = charge(7, "job", 11);
    request.request_id = "r".into();
    refused(scrip.billing.charge(request.clone()).await, Code::FailedPrecondition, "INSUFFICIENT_BALANCE");
    scrip.credit(7, 100, pb::Purse::Points, "more").await;
    let metadata = refused(
        scrip.billing.charge(request.clone()).await,
        Code::FailedPrecondition,
        "INSUFFICIENT_BALANCE",
    );
    assert_eq!([&metadata["required"], &metadata["available"]], ["11", "10"]);
    // Under another key it is another request.
    request.request_id = "s".into();
    assert!(!scrip.billing.charge(request).await.unwrap().into_inner().replayed);
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn a_request_id_belongs_to_one_method_and_one_content(mut scrip: Scrip) {
    let first = scrip.credit(7, 500, pb::Purse::Points, "pay-81").await;
    let again = scrip.credit(7, 500, pb::Purse::Points, "pay-81").await;
    assert!(again.replayed);
    assert_eq!(again.entries, first.entries);
    let metadata = refused(
        scrip.billing.credit(credit(7, 600, pb::Purse::Points, "pay-81")).await,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
    );
    assert_eq!([&metadata["request_id"], &metadata["field"]], ["pay-81", "amount"]);
    let mut request = charge(7, "job", 1);
    request.request_id = "pay-81".into();
    refused(scrip.billing.charge(request).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    // Ids of different users do not meet.
    assert!(!scrip.credit(8, 600, pb::Purse::Points, "pay-81").await.replayed);
    refused(
        scrip.billing.credit(credit(7, 1, pb::Purse::Points, "")).await,
        Code::InvalidArgument,
        "REQUEST_ID_REQUIRED",
    );
    assert_eq!(scrip.balance(7).await.total, 500);
}

async fn sixty_four_callers_on_one_user_spend_no_point_twice(mut scrip: Scrip) {
    const CALLERS: i64 = 64;
    const EACH: i64 = 40;
    // Enough for half of what they will ask.
    let funds = CALLERS * EACH * 10 / 2;
    scrip.with_points(7, funds).await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut billing = scrip.billing.clone();
        callers.spawn(async move {
            let mut charged = 0;
            for n in 0..EACH {
                match billing.charge(charge(7, &format!("job-{caller}-{n}"), 10)).await {
                    Ok(_) => charged += 10,
                    Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}"),
                }
            }
            charged
        });
    }
    let charged: i64 = callers.join_all().await.into_iter().sum();
    assert_eq!(charged, funds);
    assert_eq!(scrip.balance(7).await.total, 0);
    let (code, output) = scrip.verify().await;
    assert_eq!(code, Some(0), "{output}");
}
