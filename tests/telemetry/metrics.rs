//! Metrics after real traffic: names, types and values.

use crate::certificates::Authority;
use crate::scrape::{admin_of, scrape};
use crate::support::client::authorize;
use crate::support::cut_proxy::{Cut, CutProxy};
use crate::support::{eventually, postgres};
use crate::world::{SECRET, TASK, USER, World, over_tls};

const CALLS: &str = "rpc_server_call_duration_seconds_count";
const CHARGE: (&str, &str) = ("rpc_method", "scrip.v1.BillingService/Charge");

/// What both stores tell alike.
async fn told(mut world: World, system: &str) {
    world.traffic().await;
    let at_first = world.scrape().await;
    assert_eq!(at_first.types["rpc_server_call_duration_seconds"], "histogram");
    // Five tasks and one with a key, as the client heard; two were refused, by their reason.
    assert_eq!(at_first.sum(CALLS, &[CHARGE, ("rpc_response_status_code", "OK")]), 6.0);
    let refused =
        [CHARGE, ("rpc_response_status_code", "FAILED_PRECONDITION"), ("error_type", "INSUFFICIENT_BALANCE")];
    assert_eq!(at_first.sum(CALLS, &refused), 2.0);
    assert_eq!(at_first.sum(CALLS, &[CHARGE]), 8.0);
    // The credit, eight charges, the hold and the account, each its own batch or several in one.
    assert_eq!(at_first.types["scrip_batch_commands"], "histogram");
    assert_eq!(at_first.sum("scrip_batch_commands_sum", &[]), 11.0);
    assert_eq!(at_first.sum("scrip_queue_wait_seconds_count", &[]), 11.0);
    let batches = at_first.sum("scrip_batch_duration_seconds_count", &[("outcome", "done")]);
    assert!((1.0..=11.0).contains(&batches), "{batches}");
    assert_eq!(at_first.types["scrip_ledger_points_total"], "counter");
    let points = |operation| {
        at_first.sum("scrip_ledger_points_total", &[("operation", operation), ("purse", "points")])
    };
    assert_eq!((points("credit"), points("charge"), points("refund")), (1_000.0, 160.0, 0.0));
    assert_eq!(at_first.sum("scrip_ledger_entries_total", &[("operation", "charge")]), 6.0);
    let commits = [("db_operation_name", "COMMIT"), ("db_system_name", system)];
    assert!(at_first.sum("db_client_operation_duration_seconds_count", &commits) >= 1.0);
    assert!(at_first.sum("db_client_connection_max", &[]) >= 1.0);
    assert_eq!(at_first.sum("scrip_database_up", &[]), 1.0);
    assert_eq!(at_first.sum("scrip_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!(at_first.sum("scrip_batch_unknown_total", &[]), 0.0);
    assert!(
        at_first.has("scrip_batch_unknown_total", &[("outcome", "given_up")]),
        "it is there before it happens"
    );

    let sampled = world
        .until("the sampler has seen it all", |scrape| scrape.sum("scrip_workspace_leases", &[]) == 1.0)
        .await;
    assert_eq!(sampled.types["scrip_holds_open"], "gauge");
    assert_eq!((sampled.sum("scrip_holds_open", &[]), sampled.sum("scrip_holds_points", &[])), (1.0, 200.0));
    assert_eq!((sampled.sum("scrip_holds_overdue", &[]), sampled.sum("scrip_leases_open", &[])), (0.0, 1.0));
    assert_eq!(sampled.sum("scrip_workspace_slots", &[("workspace", "acme")]), 3.0);
    assert_eq!(sampled.sum("scrip_account_health", &[("name", "main"), ("health", "healthy")]), 1.0);
    assert_eq!(sampled.sum("scrip_account_health", &[("health", "locked")]), 0.0);
    assert_eq!(sampled.sum("scrip_accounts", &[("status", "enabled"), ("health", "healthy")]), 1.0);
    assert!(sampled.sum("scrip_database_size_bytes", &[]) > 10_000.0);
    assert!(!sampled.has("scrip_reconciliation_age_seconds", &[]), "nothing is made up before the first run");

    world.reconcile().await;
    let judged =
        world.until("the run is seen", |scrape| scrape.has("scrip_reconciliation_age_seconds", &[])).await;
    assert_eq!(judged.sum("scrip_reconciliation_outcome", &[("state", "completed")]), 1.0);
    assert!(judged.has("scrip_reconciliation_findings", &[("severity", "high")]));
    let asked = [("url_template", "models/billing-events"), ("http_response_status_code", "200")];
    assert!(judged.sum("http_client_request_duration_seconds_count", &asked) >= 1.0, "{}", judged.text);
    for private in [SECRET, TASK, &USER.to_string(), "key-a"] {
        assert!(!judged.text.contains(private), "{private} is in the metrics:\n{}", judged.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_what_happened_is_counted_and_names_nobody() {
    told(World::on_sqlite(|launch| launch).await, "sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_what_happened_is_counted_and_names_nobody() {
    let Some(world) = World::on_postgres(|launch| launch).await else { return };
    told(world, "postgresql").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_expires_is_counted() {
    let mut world = World::on_sqlite(|launch| launch).await;
    world.scrip.with_points(USER, 100).await;
    let mut held = authorize(USER, "held", 100);
    held.ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    world.scrip.billing.authorize(held).await.unwrap();
    let swept = world.until("the sweep", |scrape| scrape.sum("scrip_holds_expired_total", &[]) == 1.0).await;
    assert_eq!(swept.sum("scrip_ledger_entries_total", &[("operation", "capture")]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_told_and_a_scrape_needs_none() {
    // Of its own: it is stopped.
    let Some(cluster) = postgres::Cluster::start() else { return };
    let world = World::on(cluster.fresh_database().await, None, |launch| launch).await;
    cluster.stop_immediate().await;
    let away = world.until("the probe", |scrape| scrape.sum("scrip_database_up", &[]) == 0.0).await;
    assert!(away.has("scrip_database_up", &[]));
    eventually("readiness follows", || async { crate::scrape::get(world.admin, "/readyz").await.0 == 503 })
        .await;
    assert_eq!(crate::scrape::get(world.admin, "/healthz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_counted_and_so_is_what_became_of_it() {
    let Some(cluster) = postgres::shared() else { return };
    let proxy = CutProxy::start(cluster.addr()).await;
    let url = postgres::through(&cluster.fresh_database().await, proxy.addr());
    let mut world = World::on(url, None, |launch| launch).await;
    world.scrip.with_points(USER, 100).await;
    proxy.arm(Cut::AfterCommit, 1);
    world.scrip.charge(USER, "job", 1).await;
    assert_eq!(proxy.cuts(), 1);
    let told = world.scrape().await;
    let unknown = |outcome| told.sum("scrip_batch_unknown_total", &[("outcome", outcome)]);
    assert_eq!((unknown("pursued"), unknown("resolved"), unknown("given_up")), (1.0, 1.0, 0.0));
    assert!(told.sum("scrip_batch_retries_total", &[("reason", "unknown")]) >= 1.0);
    assert_eq!(told.sum("scrip_ledger_points_total", &[("operation", "charge")]), 1.0, "counted once");
}

/// Prometheus reads when the certificates expire, and hears of new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_expiry_of_certificates_is_told_and_follows_their_files() {
    const EXPIRY: &str = "scrip_server_certificate_expiry_seconds";
    // The first of January.
    const OF_2050: f64 = 2_524_608_000.0;
    const OF_2055: f64 = 2_682_374_400.0;
    const OF_2060: f64 = 2_840_140_800.0;
    let (server, folder) = over_tls().await;
    let admin = admin_of(&server).await;
    let expires = async |which: &str| scrape(admin).await.sum(EXPIRY, &[("certificate", which)]);
    assert_eq!((expires("server").await, expires("client_ca").await), (OF_2050, OF_2060));
    Authority::new("servers").server(2055).write(folder.path(), "server");
    eventually("the new certificate is told", async || expires("server").await == OF_2055).await;
    assert_eq!(expires("client_ca").await, OF_2060);
}
