//! When the database is away, slow or silent: what callers hear, and that nothing is lost or doubled by it.

use scrip::pb;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::client::{Scrip, charge, refused};
use crate::support::cut_proxy::{Cut, CutProxy};
use crate::support::server::Launch;
use crate::support::{eventually, postgres};

async fn health(scrip: &Scrip) -> ServingStatus {
    let mut health = HealthClient::new(scrip.server.channel().await);
    let request = HealthCheckRequest { service: String::new() };
    health.check(request).await.unwrap().into_inner().status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_callers_are_told_to_retry_and_health_says_so() {
    let Some(cluster) = postgres::Cluster::start() else { return };
    let url = cluster.fresh_database().await;
    let mut scrip = Scrip::on(Launch::new(&url), url.clone(), None).await;
    scrip.with_points(7, 100).await;
    cluster.stop_immediate().await;

    let mut asked = tonic::Request::new(charge(7, "job", 10));
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace_id}-b7ad6b7169203331-01");
    asked.metadata_mut().insert("traceparent", parent.parse().unwrap());
    let answer = scrip.billing.charge(asked).await;
    let told = |words: &str| {
        let logs = scrip.server.logs();
        logs.lines().any(|line| line.contains(words) && line.contains(trace_id))
    };
    assert!(told("the store failed"), "{}", scrip.server.logs());
    eventually("the call's line names its trace too", async || told("STORE_UNAVAILABLE")).await;
    let status = answer.as_ref().expect_err("nothing can be written");
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    refused(answer, Code::Unavailable, "STORE_UNAVAILABLE");
    let read = pb::GetBalanceRequest { user_id: 7, as_of_time: None };
    refused(scrip.billing.get_balance(read).await, Code::Unavailable, "STORE_UNAVAILABLE");
    eventually("health is not serving", || async { health(&scrip).await == ServingStatus::NotServing }).await;

    cluster.restart().await;
    eventually("health is serving", || async { health(&scrip).await == ServingStatus::Serving }).await;
    assert!(!scrip.charge(7, "job", 10).await.replayed);
    assert_eq!(scrip.balance(7).await.total, 90);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_stays_unanswered_is_unknown_and_a_retry_tells() {
    let Some(cluster) = postgres::Cluster::start() else { return };
    let url = cluster.fresh_database().await;
    let proxy = CutProxy::start(cluster.addr()).await;
    let launch = Launch::new(&postgres::through(&url, proxy.addr())).arg("--resolve-for").arg("1s");
    let mut scrip = Scrip::on(launch, url.clone(), None).await;
    scrip.with_points(7, 100).await;

    // The commit is done, its answer never comes, and then the database is gone.
    proxy.arm(Cut::SilentAfter, 1);
    let mut billing = scrip.billing.clone();
    let call = tokio::spawn(async move { billing.charge(charge(7, "job", 10)).await });
    proxy.wait_for_cuts(1).await;
    cluster.stop_immediate().await;
    refused(call.await.unwrap(), Code::Unavailable, "OUTCOME_UNKNOWN");

    cluster.restart().await;
    eventually("health is serving", || async { health(&scrip).await == ServingStatus::Serving }).await;
    assert!(scrip.charge(7, "job", 10).await.replayed, "it had been done");
    assert_eq!(scrip.balance(7).await.total, 90);
}

/// Returns once a session of that database waits for the lock of another.
async fn waits_for_a_lock(url: &str) {
    const ASK: &str = "SELECT count(*) > 0 FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let watcher = tokio::sync::Mutex::new(postgres::connect(url).await);
    eventually("a session waits for a lock", || async {
        sqlx::query_scalar(ASK).fetch_one(&mut *watcher.lock().await).await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_told_at_once_and_what_was_accepted_is_done() {
    let Some(cluster) = postgres::shared() else { return };
    let url = cluster.fresh_database().await;
    let launch = Launch::new(&url).arg("--queue-items").arg("1");
    let mut scrip = Scrip::on(launch, url.clone(), None).await;
    scrip.with_points(7, 100).await;
    // Another session holds the user: the first batch waits for it, one command waits for that batch.
    let mut other = postgres::connect(&url).await;
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query("SELECT id FROM ts_users FOR UPDATE").execute(&mut other).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut billing = scrip.billing.clone();
        calls.spawn(async move { billing.charge(charge(7, &format!("job-{n}"), 1)).await });
        if n == 0 {
            waits_for_a_lock(&url).await;
        }
    }
    for _ in 0..18 {
        let status =
            calls.join_next().await.expect("a call").unwrap().expect_err("only refusals are answered yet");
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
        refused(Err::<(), _>(status), Code::ResourceExhausted, "OVERLOADED");
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!(scrip.balance(7).await.total, 98);
}
