//! Bad input: the typed error, nothing changed, the connection still usable.

use scrip::pb;
use tonic::Code;

use crate::on_both_stores;
use crate::support::client::{Scrip, authorize, charge, credit, refused, refused_fields};

on_both_stores!(
    malformed_charges_name_every_field_at_fault_and_change_nothing,
    amounts_at_the_edges_of_an_i64_never_overflow,
    json_must_be_json_and_not_too_long,
    an_oversized_message_is_refused_and_the_connection_stays_usable,
    users_who_do_not_exist_are_not_found,
);

async fn malformed_charges_name_every_field_at_fault_and_change_nothing(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let before = scrip.balance(7).await;
    let long = "x".repeat(101);
    let request = pb::ChargeRequest {
        user_id: 0,
        task_id: String::new(),
        amount: -1,
        pay_type: -1,
        ..Default::default()
    };
    refused_fields(scrip.billing.charge(request).await, &["user_id", "task_id", "amount", "pay_type"]);
    refused_fields(scrip.billing.charge(charge(7, &long, 1)).await, &["task_id"]);
    refused_fields(scrip.billing.charge(charge(7, "a\u{0}b", 1)).await, &["task_id"]);
    refused_fields(scrip.billing.charge(charge(7, "a\nb", 1)).await, &["task_id"]);
    let mut request = charge(7, "job", 1);
    request.request_id = "r".repeat(256);
    refused_fields(scrip.billing.charge(request).await, &["request_id"]);
    let mut request = charge(7, "job", 1);
    request.funding = 99;
    refused_fields(scrip.billing.charge(request).await, &["funding"]);
    refused_fields(scrip.billing.authorize(authorize(7, "job", 0)).await, &["amount"]);
    for seconds in [0, -1, 31 * 86_400] {
        let mut request = authorize(7, "job", 1);
        request.ttl = Some(prost_types::Duration { seconds, nanos: 0 });
        refused_fields(scrip.billing.authorize(request).await, &["ttl"]);
    }
    refused_fields(scrip.billing.credit(credit(7, 1, pb::Purse::Unspecified, "c")).await, &["purse"]);
    refused_fields(scrip.billing.credit(credit(7, 0, pb::Purse::Points, "c")).await, &["amount"]);
    // A hundred characters fit, also when each takes three bytes.
    scrip.charge(7, &"任".repeat(100), 1).await;
    assert_eq!(scrip.balance(7).await.total, before.total - 1);
}

async fn amounts_at_the_edges_of_an_i64_never_overflow(mut scrip: Scrip) {
    for amount in [i64::MIN, -1, 1_000_000_000_001, i64::MAX] {
        refused_fields(scrip.billing.charge(charge(7, "job", amount)).await, &["amount"]);
    }
    scrip.credit(7, i64::MAX, pb::Purse::Points, "all").await;
    refused_fields(scrip.billing.credit(credit(7, 1, pb::Purse::Points, "one")).await, &["amount"]);
    refused_fields(scrip.billing.credit(credit(7, 1, pb::Purse::Cash, "two")).await, &["amount"]);
    scrip.charge(7, "job", 1_000_000_000_000).await;
    // With room again, but not for the refund after it.
    scrip.credit(7, 1, pb::Purse::Cash, "three").await;
    let balance = scrip.balance(7).await;
    assert_eq!(balance.total, i64::MAX - 1_000_000_000_000 + 1);
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn json_must_be_json_and_not_too_long(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let with_input = |input: String| pb::ChargeRequest { input_params: input, ..charge(7, "job", 1) };
    refused_fields(scrip.billing.charge(with_input("{not json".into())).await, &["input_params"]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused_fields(scrip.billing.charge(with_input(deep)).await, &["input_params"]);
    let long = format!("\"{}\"", "x".repeat(256 << 10));
    refused_fields(scrip.billing.charge(with_input(long)).await, &["input_params"]);
    let fits = format!("\"{}\"", "x".repeat((256 << 10) - 2));
    scrip.billing.charge(with_input(fits.clone())).await.unwrap();
    assert_eq!(scrip.task("job").await.input_params, fits);
    let complete =
        pb::CompleteTaskRequest { task_id: "job".into(), output_params: "nope".into(), ..Default::default() };
    refused_fields(scrip.tasks.complete_task(complete).await, &["output_params"]);
}

async fn an_oversized_message_is_refused_and_the_connection_stays_usable(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let mut request = charge(7, "job", 1);
    request.input_params = "x".repeat(17 << 20);
    let metadata = refused(scrip.billing.charge(request).await, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert_eq!(metadata["limit_bytes"], (16 << 20).to_string());
    assert_eq!(scrip.balance(7).await.total, 100);
}

async fn users_who_do_not_exist_are_not_found(mut scrip: Scrip) {
    let metadata = refused(scrip.billing.charge(charge(7, "job", 1)).await, Code::NotFound, "USER_NOT_FOUND");
    assert_eq!(metadata["id"], "7");
    let get = pb::GetBalanceRequest { user_id: 7, as_of_time: None };
    refused(scrip.billing.get_balance(get).await, Code::NotFound, "USER_NOT_FOUND");
    let debit = pb::DebitRequest { request_id: "d".into(), user_id: 7, amount: 1, ..Default::default() };
    refused(scrip.billing.debit(debit).await, Code::NotFound, "USER_NOT_FOUND");
    assert!(scrip.entries(7).await.is_empty());
}
