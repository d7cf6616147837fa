//! Charges, refunds, credits and debits, as a caller sees them.

use scrip::pb;
use tonic::Code;

use crate::on_both_stores;
use crate::support::client::{Scrip, charge, credit, refused, refused_fields};

on_both_stores!(
    a_charge_draws_points_first_then_cash_and_writes_an_entry_for_each,
    a_refund_goes_back_cash_first_and_never_beyond_the_charge,
    a_debit_takes_what_is_available_and_no_more,
    agent_revenue_goes_to_the_cash_purse_alone,
    a_free_task_moves_nothing,
    a_batch_judges_each_item_alone,
    an_atomic_batch_is_all_or_nothing,
    ten_thousand_charges_in_one_call_keep_their_order,
);

async fn a_charge_draws_points_first_then_cash_and_writes_an_entry_for_each(mut scrip: Scrip) {
    scrip.credit(7, 400, pb::Purse::Points, "a").await;
    scrip.credit(7, 500, pb::Purse::Cash, "b").await;
    let answer = scrip.charge(7, "job", 600).await;

    let moved: Vec<(i32, i64, i64, i64)> = answer
        .entries
        .iter()
        .map(|entry| (entry.purse, entry.amount, entry.balance_before, entry.balance_after))
        .collect();
    assert_eq!(moved, [(pb::Purse::Points.into(), -400, 400, 0), (pb::Purse::Cash.into(), -200, 500, 300)]);
    let seqs: Vec<i64> = answer.entries.iter().map(|entry| entry.user_seq).collect();
    assert_eq!(seqs, [3, 4]);
    let balance = answer.balance.unwrap();
    assert_eq!((balance.points, balance.cash, balance.total, balance.available), (0, 300, 300, Some(300)));
    let task = answer.task.unwrap();
    assert_eq!((task.money, task.status()), (600, pb::TaskStatus::Pending));
    assert!(!answer.replayed);
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn a_refund_goes_back_cash_first_and_never_beyond_the_charge(mut scrip: Scrip) {
    scrip.credit(7, 400, pb::Purse::Points, "a").await;
    scrip.credit(7, 500, pb::Purse::Cash, "b").await;
    scrip.charge(7, "job", 600).await;
    let refund = |amount, request_id: &str| pb::RefundRequest {
        request_id: request_id.into(),
        task_id: "job".into(),
        amount,
        reason: "goodwill".into(),
        user_id: 0,
    };

    let part = scrip.billing.refund(refund(Some(300), "r1")).await.unwrap().into_inner();
    let moved: Vec<(i32, i64)> = part.entries.iter().map(|entry| (entry.purse, entry.amount)).collect();
    assert_eq!(moved, [(pb::Purse::Cash.into(), 200), (pb::Purse::Points.into(), 100)]);
    assert_eq!(part.task.unwrap().refunded, 300);

    let metadata = refused(
        scrip.billing.refund(refund(Some(301), "r2")).await,
        Code::FailedPrecondition,
        "REFUND_EXCEEDS_CHARGE",
    );
    assert_eq!([&metadata["charged"], &metadata["refunded"], &metadata["requested"]], ["600", "300", "301"]);
    refused(scrip.billing.refund(refund(Some(1), "")).await, Code::InvalidArgument, "REQUEST_ID_REQUIRED");
    refused_fields(scrip.billing.refund(refund(Some(0), "r3")).await, &["amount"]);

    let rest = scrip.billing.refund(refund(None, "")).await.unwrap().into_inner();
    assert_eq!(rest.entries.iter().map(|entry| entry.amount).sum::<i64>(), 300);
    let again = scrip.billing.refund(refund(None, "")).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(again.entries, rest.entries);
    assert_eq!(scrip.balance(7).await.total, 900);
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn a_debit_takes_what_is_available_and_no_more(mut scrip: Scrip) {
    scrip.credit(7, 100, pb::Purse::Points, "a").await;
    scrip.credit(7, 50, pb::Purse::Cash, "b").await;
    let debit = |amount, purse: pb::Purse, request_id: &str| pb::DebitRequest {
        request_id: request_id.into(),
        user_id: 7,
        amount,
        purse: purse.into(),
        ..Default::default()
    };
    let metadata = refused(
        scrip.billing.debit(debit(51, pb::Purse::Cash, "d1")).await,
        Code::FailedPrecondition,
        "INSUFFICIENT_BALANCE",
    );
    assert_eq!([&metadata["required"], &metadata["available"], &metadata["held"]], ["51", "50", "0"]);
    let done = scrip.billing.debit(debit(50, pb::Purse::Cash, "d2")).await.unwrap().into_inner();
    assert_eq!(done.entries[0].amount, -50);
    assert_eq!(done.entries[0].operation(), pb::Operation::Debit);
    assert_eq!(scrip.balance(7).await.total, 100);
}

async fn agent_revenue_goes_to_the_cash_purse_alone(mut scrip: Scrip) {
    let mut request = credit(7, 10, pb::Purse::Points, "a");
    request.source_type = pb::SourceType::AgentRevenue.into();
    refused_fields(scrip.billing.credit(request.clone()).await, &["source_type"]);
    request.purse = pb::Purse::Cash.into();
    scrip.billing.credit(request).await.unwrap();
    let request = pb::ListFinancialTransactionsRequest { user_id: 7, ..Default::default() };
    let rows =
        scrip.billing.list_financial_transactions(request).await.unwrap().into_inner().financial_transactions;
    assert_eq!((rows[0].transaction_type, rows[0].is_cash, rows[0].money), (3, true, 10));
}

async fn a_free_task_moves_nothing(mut scrip: Scrip) {
    scrip.with_points(7, 10).await;
    let answer = scrip.charge(7, "free", 0).await;
    assert!(answer.entries.is_empty());
    assert_eq!(scrip.balance(7).await.entry_seq, 1);
    let request = pb::RefundRequest { task_id: "free".into(), ..Default::default() };
    refused(scrip.billing.refund(request).await, Code::FailedPrecondition, "TASK_STATE_CONFLICT");
}

async fn a_batch_judges_each_item_alone(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let requests = vec![
        charge(7, "one", 60),
        charge(7, "too-much", 60),
        charge(7, "", 1),
        charge(8, "nobody", 1),
        charge(7, "two", 40),
        charge(7, "one", 60),
    ];
    let request = pb::BatchChargeRequest { requests, atomic: false, full_results: true };
    let results = scrip.billing.batch_charge(request).await.unwrap().into_inner().results;
    let outcomes: Vec<String> = results.into_iter().map(outcome).collect();
    assert_eq!(
        outcomes,
        [
            "done one 40",
            "INSUFFICIENT_BALANCE",
            "INVALID_FIELD",
            "USER_NOT_FOUND",
            "done two 0",
            "replayed one 0"
        ]
    );
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn an_atomic_batch_is_all_or_nothing(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let batch = |amounts: [i64; 3]| pb::BatchChargeRequest {
        requests: amounts
            .iter()
            .enumerate()
            .map(|(n, amount)| charge(7, &format!("job-{n}"), *amount))
            .collect(),
        atomic: true,
        full_results: true,
    };
    let results = scrip.billing.batch_charge(batch([50, 51, 10])).await.unwrap().into_inner().results;
    let outcomes: Vec<String> = results.into_iter().map(outcome).collect();
    assert_eq!(outcomes, ["BATCH_ABORTED", "INSUFFICIENT_BALANCE", "BATCH_ABORTED"]);
    assert_eq!(scrip.balance(7).await.total, 100);

    let results = scrip.billing.batch_charge(batch([50, 40, 10])).await.unwrap().into_inner().results;
    let outcomes: Vec<String> = results.into_iter().map(outcome).collect();
    assert_eq!(outcomes, ["done job-0 50", "done job-1 10", "done job-2 0"]);
}

async fn ten_thousand_charges_in_one_call_keep_their_order(mut scrip: Scrip) {
    scrip.with_points(7, 5_000).await;
    let requests = (0..10_000).map(|n| charge(7, &format!("job-{n}"), 1)).collect();
    let request = pb::BatchChargeRequest { requests, atomic: false, full_results: false };
    let results = scrip.billing.batch_charge(request).await.unwrap().into_inner().results;
    let done: Vec<bool> = results
        .iter()
        .map(|result| matches!(&result.result, Some(pb::batch_charge_result::Result::Charge(_))))
        .collect();
    assert_eq!(done.len(), 10_000);
    assert!(done[..5_000].iter().all(|done| *done) && !done[5_000..].iter().any(|done| *done));
    let request = pb::BatchChargeRequest {
        requests: (0..10_001).map(|n| charge(7, &format!("more-{n}"), 1)).collect(),
        ..Default::default()
    };
    refused_fields(scrip.billing.batch_charge(request).await, &["requests"]);
    assert_eq!(scrip.balance(7).await.total, 0);
}

/// A result in one word, with the task and the balance that full results carry.
fn outcome(result: pb::BatchChargeResult) -> String {
    use tonic_types::pb::ErrorInfo;
    match result.result.expect("each item has a result") {
        pb::batch_charge_result::Result::Charge(charge) => {
            let verb = if charge.replayed { "replayed" } else { "done" };
            format!("{verb} {} {}", charge.task.unwrap().task_id, charge.balance.unwrap().total)
        }
        pb::batch_charge_result::Result::Error(status) => {
            let info = status.details.iter().find(|detail| detail.type_url.ends_with("ErrorInfo")).unwrap();
            <ErrorInfo as prost::Message>::decode(&*info.value).unwrap().reason
        }
    }
}
