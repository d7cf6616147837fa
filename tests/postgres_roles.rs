//! deploy/postgres/roles.sql: the service does all that it does as a role that owns nothing, and which can take back no
//! entry, no outcome and no line of the audit log.

#![allow(clippy::unwrap_used)]

mod support;

use scrip::clock::{Clock, System};
use scrip::fal::fake::{Event, FakeFal, Workspace};
use scrip::pb;
use scrip::pb::reconciliation_service_client::ReconciliationServiceClient;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::client::{KEK, Scrip, authorize, charge, credit, verify};
use support::postgres::{self, Cluster};
use support::server::Launch;
use tokio::process::Command;

const ROLES: &str = include_str!("../deploy/postgres/roles.sql");
const APPEND_ONLY: [&str; 5] = [
    "ts_financial_transactions",
    "ts_points_detail",
    "scrip_requests",
    "scrip_task_attempts",
    "scrip_audit_log",
];
const USER: i64 = 7;

/// A cluster whose database was set up as roles.sql says, word for word.
async fn set_up() -> Option<(Cluster, String, String)> {
    let cluster = Cluster::start()?;
    cluster.create_database("scrip").await;
    let mut administrator = postgres::connect(&cluster.url("scrip")).await;
    sqlx::raw_sql(ROLES).execute(&mut administrator).await.unwrap();
    let [owner, service] = ["scrip_owner", "scrip_service"]
        .map(|role| cluster.url("scrip").replace("postgres@", &format!("{role}@")));
    let migrate =
        Command::new(env!("CARGO_BIN_EXE_scrip")).args(["migrate", "--database-url", &owner]).output();
    let migrated = migrate.await.unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    sqlx::raw_sql(ROLES).execute(&mut administrator).await.unwrap();
    administrator.close().await.unwrap();
    Some((cluster, owner, service))
}

async fn code(connection: &mut PgConnection, sql: &str) -> Option<String> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    Some(done.err()?.as_database_error()?.code()?.into_owned())
}

#[tokio::test]
async fn the_service_can_take_back_nothing_that_it_wrote_and_reads_every_table() {
    let Some((_cluster, _owner, service)) = set_up().await else { return };
    let mut connection = postgres::connect(&service).await;
    const DENIED: Option<&str> = Some("42501");
    for table in APPEND_ONLY {
        let column: String = sqlx::query_scalar(
            "SELECT column_name::text FROM information_schema.columns WHERE table_name = $1 AND ordinal_position = 2",
        )
        .bind(table)
        .fetch_one(&mut connection)
        .await
        .unwrap();
        for sql in [
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
        ] {
            assert_eq!(code(&mut connection, &sql).await.as_deref(), DENIED, "{sql}");
        }
    }
    for sql in
        ["DROP TABLE ts_users", "CREATE TABLE mine ()", "INSERT INTO scrip_schema VALUES (99, '9.9.9')"]
    {
        assert!(matches!(code(&mut connection, sql).await.as_deref(), Some("42501")), "{sql}");
    }
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    for table in tables {
        assert_eq!(code(&mut connection, &format!("SELECT FROM {table} LIMIT 1")).await, None, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_does_all_that_it_does_with_no_more_than_its_grants() {
    let Some((_cluster, _owner, service)) = set_up().await else { return };
    let fal = FakeFal::start().await.unwrap();
    fal.world().add(Workspace::new("acme", "5").key("key-a:s3cret"));
    let launch = Launch::new(&service)
        .arg("--no-migrate")
        .env("SCRIP_KEK", KEK)
        .env("SCRIP_FAL_BASE_URL", fal.base_url())
        .env("SCRIP_FAL_ALLOW_LOOPBACK", "true")
        .env("SCRIP_BILLING_LAG", "0s");
    let mut scrip = Scrip::on(launch, service.clone(), None).await;

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
        .args(["tokens", "create", "shop", "--role", "biller", "--database-url", &service])
        .output()
        .await
        .unwrap();
    assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
    let revoke = Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["tokens", "revoke", "--name", "shop", "--database-url", &service])
        .output()
        .await
        .unwrap();
    assert!(revoke.status.success(), "{}", String::from_utf8_lossy(&revoke.stderr));
    let rotated = Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["keys", "drain", &account.account_id.to_string(), "--database-url", &service])
        .env("SCRIP_KEK", KEK)
        .output()
        .await
        .unwrap();
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));

    assert_eq!(verify(&service).await.0, Some(0));
    let denied = scrip.server.logs();
    assert!(!denied.contains("permission denied") && !denied.contains("42501"), "{denied}");
}
