//! All that a service does, once: each of its statements is sent at least one time.

#![allow(clippy::unwrap_used)]

use scrip::clock::{Clock, System};
use scrip::fal::fake::{Event, FakeFal, Workspace};
use scrip::pb;
use scrip::pb::reconciliation_service_client::ReconciliationServiceClient;
use tokio::process::Command;

use crate::support::client::{KEK, Scrip, authorize, charge, credit};
use crate::support::server::Launch;

const USER: i64 = 7;

/// Starts a server on the database of this URL, has it do everything, beside it the commands that change tokens and
/// accounts, and answers it.
pub async fn done(launch: Launch, url: &str) -> Scrip {
    let fal = FakeFal::start().await.unwrap();
    fal.world().add(Workspace::new("acme", "5").key("key-a:s3cret"));
    let launch = launch
        .env("SCRIP_KEK", KEK)
        .env("SCRIP_FAL_BASE_URL", fal.base_url())
        .env("SCRIP_FAL_ALLOW_LOOPBACK", "true")
        .env("SCRIP_BILLING_LAG", "0s");
    let mut scrip = Scrip::on(launch, url.to_owned(), None).await;

    // Ledgers, holds, requests.
    scrip.billing.credit(credit(USER, 10_000, pb::Purse::Points, "start")).await.unwrap();
    scrip.billing.charge(charge(USER, "charged", 100)).await.unwrap();
    let refund = pb::RefundRequest { task_id: "charged".into(), ..Default::default() };
    scrip.billing.refund(refund).await.unwrap();
    scrip.billing.authorize(authorize(USER, "held", 100)).await.unwrap();
    let void = pb::VoidRequest { task_id: "held".into(), ..Default::default() };
    scrip.billing.void(void).await.unwrap();
    let batch = pb::BatchChargeRequest {
        requests: vec![charge(USER, "b1", 1), charge(USER, "b2", 1)],
        ..Default::default()
    };
    scrip.billing.batch_charge(batch).await.unwrap();

    // Accounts and keys.
    let account = pb::CreateAccountRequest {
        name: "main".into(),
        api_key: "key-a:s3cret".into(),
        workspace: "acme".into(),
        ..Default::default()
    };
    let account = scrip.keys.create_account(account).await.unwrap().into_inner().account.unwrap();
    let selection = pb::KeySelection { runner_id: "runner".into(), ..Default::default() };
    let keyed = pb::ChargeRequest { select_key: Some(selection), ..charge(USER, "keyed", 50) };
    let lease = scrip.billing.charge(keyed).await.unwrap().into_inner().lease.unwrap();
    let renew = pb::RenewLeaseRequest { lease_id: lease.lease_id.clone(), ..Default::default() };
    scrip.keys.renew_lease(renew).await.unwrap();
    let start = pb::StartTaskRequest {
        task_id: "keyed".into(),
        online_task_id: "req-keyed".into(),
        lease_id: lease.lease_id.clone(),
        ..Default::default()
    };
    scrip.tasks.start_task(start).await.unwrap();
    let complete = pb::CompleteTaskRequest {
        task_id: "keyed".into(),
        lease_id: lease.lease_id,
        cost_nano_usd: Some(20_000_000),
        ..Default::default()
    };
    scrip.tasks.complete_task(complete).await.unwrap();

    // A run that fetches, judges and applies.
    let now = System.now().0;
    let event = Event::new("req-keyed", "fal-ai/flux/dev", now).price("0.03");
    fal.world().workspace("acme").unwrap().bill(event);
    let mut runs = ReconciliationServiceClient::new(scrip.server.channel().await);
    let request = pb::StartReconciliationRequest {
        start_time: Some(prost_types::Timestamp { seconds: now / 1_000_000 - 3_600, nanos: 0 }),
        apply_costs: true,
        ..Default::default()
    };
    let begun = runs.start_reconciliation(request).await.unwrap().into_inner().reconciliation.unwrap();
    let watch = pb::WatchReconciliationRequest { reconciliation_id: begun.reconciliation_id };
    let mut progress = runs.watch_reconciliation(watch).await.unwrap().into_inner();
    let mut last = pb::ReconciliationState::Running;
    while let Some(seen) = progress.message().await.unwrap() {
        last = seen.state();
    }
    assert_eq!(last, pb::ReconciliationState::Completed, "{}", scrip.server.logs());
    assert_eq!(scrip.task("keyed").await.billed_cost_nano_usd, Some(30_000_000));

    // Tokens, and an account's end.
    let token = Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["tokens", "create", "shop", "--role", "biller", "--database-url", url])
        .output()
        .await
        .unwrap();
    assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
    let revoke = Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["tokens", "revoke", "--name", "shop", "--database-url", url])
        .output()
        .await
        .unwrap();
    assert!(revoke.status.success(), "{}", String::from_utf8_lossy(&revoke.stderr));
    let rotated = Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["keys", "drain", &account.account_id.to_string(), "--database-url", url])
        .env("SCRIP_KEK", KEK)
        .output()
        .await
        .unwrap();
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    scrip
}
