//! A reconciliation on a real server that is killed in the middle of its pages: whoever starts the server again, or has
//! another one beside it, has nothing else to do, nothing that was kept is fetched again, and what comes of the run is
//! what would have come of it.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::Duration;

use prost_types::Timestamp;
use scrip::clock::{Clock, System};
use scrip::fal::fake::{Event, FakeFal, Fault, Route, Workspace};
use scrip::pb;
use scrip::pb::reconciliation_service_client::ReconciliationServiceClient;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use support::client::{KEK, Scrip, charge, verify};
use support::server::Launch;
use support::{eventually, postgres};
use tonic::transport::Channel;

const MODEL: &str = "fal-ai/flux/dev";
/// Tasks of the period, all billed; and one event that nobody asked for. Two events are a page.
const TASKS: usize = 8;
const PAGES: usize = 5;

type Runs = ReconciliationServiceClient<Channel>;

fn url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

async fn serve(url: &str, fal: &FakeFal) -> (Scrip, Runs) {
    let launch = Launch::new(url)
        .env("SCRIP_KEK", KEK)
        .env("SCRIP_FAL_BASE_URL", fal.base_url())
        .env("SCRIP_FAL_ALLOW_LOOPBACK", "true")
        .env("SCRIP_BILLING_LAG", "0s");
    let scrip = Scrip::on(launch, url.to_owned(), None).await;
    let runs = ReconciliationServiceClient::new(scrip.server.channel().await);
    (scrip, runs)
}

/// A completed task that the runner reported at 0.02 USD, and that fal billed.
async fn task(scrip: &mut Scrip, fal: &FakeFal, id: &str, billed: &str) {
    let request = pb::ChargeRequest { app_name: MODEL.into(), ..charge(7, id, 20) };
    scrip.billing.charge(request).await.unwrap();
    let start = pb::StartTaskRequest {
        task_id: id.into(),
        online_task_id: format!("req-{id}"),
        key_id: "key-a".into(),
        ..Default::default()
    };
    scrip.tasks.start_task(start).await.unwrap();
    let complete =
        pb::CompleteTaskRequest { task_id: id.into(), cost_nano_usd: Some(20_000_000), ..Default::default() };
    scrip.tasks.complete_task(complete).await.unwrap();
    let event = Event::new(&format!("req-{id}"), MODEL, System.now().0).price(billed);
    fal.world().workspace("acme").unwrap().bill(event);
}

/// Books with something to find, left by a server that was stopped as it should be; the period that holds all of it.
async fn books(url: &str, fal: &FakeFal) -> pb::StartReconciliationRequest {
    fal.world().add(Workspace::new("acme", "0.5").key("key-a:s3cret"));
    let (mut scrip, _) = serve(url, fal).await;
    let account = pb::CreateAccountRequest {
        name: "main".into(),
        api_key: "key-a:s3cret".into(),
        workspace: "acme".into(),
        ..Default::default()
    };
    scrip.keys.create_account(account).await.unwrap();
    scrip.with_points(7, 10_000).await;
    let start = System.now().0 - 3_600_000_000;
    for number in 0..TASKS {
        let billed = if number % 3 == 0 { "0.05" } else { "0.02" };
        task(&mut scrip, fal, &format!("t{number}"), billed).await;
    }
    let nobodys = Event::new("req-nobodys", MODEL, System.now().0).price("0.3");
    fal.world().workspace("acme").unwrap().bill(nobodys);
    let end = System.now().0 + 1;
    scrip.server.sigterm().await;
    assert!(scrip.server.wait().await.success(), "{}", scrip.server.logs());
    let moment = |micros: i64| Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap(),
    };
    pb::StartReconciliationRequest {
        start_time: Some(moment(start)),
        end_time: Some(moment(end)),
        apply_costs: true,
        ..Default::default()
    }
}

async fn begin(runs: &mut Runs, request: &pb::StartReconciliationRequest) -> i64 {
    let begun = runs.start_reconciliation(request.clone()).await.unwrap().into_inner();
    begun.reconciliation.unwrap().reconciliation_id
}

/// Watches a run to its end; the report and the findings, without what names the run and its moments.
async fn over(runs: &mut Runs, id: i64) -> (pb::Reconciliation, Vec<pb::Finding>) {
    let request = pb::WatchReconciliationRequest { reconciliation_id: id };
    let watching = async {
        let mut progress = runs.watch_reconciliation(request).await.unwrap().into_inner();
        while progress.message().await.unwrap().is_some() {}
    };
    tokio::time::timeout(support::STUCK_AFTER, watching).await.expect("the run comes to its end");
    let request = pb::GetReconciliationRequest { reconciliation_id: id, ..Default::default() };
    let run = runs.get_reconciliation(request).await.unwrap().into_inner().reconciliation.unwrap();
    assert!(run.create_time.is_some() && run.evidence_time.is_some() && run.complete_time.is_some());
    let request = pb::ListFindingsRequest { reconciliation_id: id, page_size: 1_000, ..Default::default() };
    let mut findings = runs.list_findings(request).await.unwrap().into_inner().findings;
    for finding in &mut findings {
        assert_eq!(std::mem::take(&mut finding.reconciliation_id), id);
        let mut evidence: serde_json::Value = serde_json::from_str(&finding.evidence).unwrap();
        // The moment of the evidence is each run's own.
        if let Some(time) = evidence.as_object_mut().unwrap().remove("balance_time") {
            assert_eq!(time.as_i64(), run.evidence_time.as_ref().map(micros));
        }
        finding.evidence = evidence.to_string();
    }
    let report = pb::Reconciliation {
        reconciliation_id: 0,
        create_time: None,
        evidence_time: None,
        complete_time: None,
        ..run
    };
    (report, findings)
}

fn micros(time: &Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000
}

/// The pages of events that were asked for, each by the cursor that led to it.
fn pages_asked(fal: &FakeFal) -> Vec<Option<String>> {
    let seen = fal.seen();
    let events = seen.iter().filter(|seen| seen.path.ends_with("billing-events"));
    events
        .map(|seen| seen.params.iter().find(|(name, _)| name == "cursor").map(|(_, at)| at.clone()))
        .collect()
}

fn balances_asked(fal: &FakeFal) -> usize {
    fal.seen().iter().filter(|seen| seen.path.ends_with("account/billing")).count()
}

/// Ends the lease of a server that was killed: nobody need wait for the half minute.
const EXPIRE: &str =
    "UPDATE scrip_leader_leases SET expires_at = '1970-01-01 00:00:00.000000' WHERE name = 'reconcile'";

/// A server in the middle of a run: two pages came, the third is asked for, and its answer never comes.
async fn in_the_middle(url: &str, fal: &FakeFal, request: &pb::StartReconciliationRequest) -> (Scrip, i64) {
    fal.world().page = Some(2);
    fal.world().plan(Route::Events, 2, Fault::Delay(Duration::ZERO));
    fal.world().plan(Route::Events, 1, Fault::Delay(Duration::from_secs(600)));
    let (scrip, mut runs) = serve(url, fal).await;
    let id = begin(&mut runs, request).await;
    eventually("the third page is asked for", || async { pages_asked(fal).len() == 3 }).await;
    (scrip, id)
}

/// What was asked for until the server was killed.
async fn killed(mut scrip: Scrip, fal: &FakeFal) -> Vec<Option<String>> {
    scrip.server.kill9().await;
    let before = pages_asked(fal);
    assert_eq!((before.len(), balances_asked(fal)), (3, 1));
    before
}

/// The run of the killed server goes on where it was left, and ends as the one on the copy of the books does.
async fn ends_as_if_nothing_had_been(
    (id, before): (i64, Vec<Option<String>>),
    runs: &mut Runs,
    fal: &FakeFal,
    (copy, request): (&str, &pb::StartReconciliationRequest),
) {
    let disturbed = over(runs, id).await;
    let after = &pages_asked(fal)[before.len()..];
    assert_eq!(after.first(), before.last(), "it goes on at the page whose answer did not come");
    assert_eq!(after.len(), PAGES - 2, "what was kept is not asked for again: {after:?}");
    assert_eq!(balances_asked(fal), 1);

    let (_undisturbed, mut runs) = serve(copy, fal).await;
    let id = begin(&mut runs, request).await;
    let undisturbed = over(&mut runs, id).await;
    assert_eq!(undisturbed.0.state(), pb::ReconciliationState::Completed);
    assert_eq!((undisturbed.0.cost_changes, undisturbed.0.costs_applied), (8, 8));
    let rules: Vec<&str> = undisturbed.1.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["A1", "A3", "B1", "B1", "B1", "A8"]);
    assert_eq!(disturbed, undisturbed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_server_is_killed_between_pages_is_taken_up_by_itself_and_ends_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("scrip.db"), folder.path().join("copy.db"));
    let fal = FakeFal::start().await.unwrap();
    let request = books(&url(&file), &fal).await;
    std::fs::copy(&file, &copy).unwrap();

    let (scrip, id) = in_the_middle(&url(&file), &fal, &request).await;
    let before = killed(scrip, &fal).await;
    let mut raw = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    sqlx::query(EXPIRE).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let (_restarted, mut runs) = serve(&url(&file), &fal).await;
    ends_as_if_nothing_had_been((id, before), &mut runs, &fal, (&url(&copy), &request)).await;
    let (code, output) = verify(&url(&file)).await;
    assert_eq!(code, Some(0), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_replica_is_killed_between_pages_is_taken_up_by_another_one_on_postgres() {
    let Some(cluster) = postgres::shared() else { return };
    let (database, copy) = (cluster.fresh_database().await, cluster.fresh_database().await);
    let elsewhere = cluster.fresh_database().await;
    let fal = FakeFal::start().await.unwrap();
    let request = books(&database, &fal).await;
    let name = |url: &str| url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let mut raw = postgres::connect(&elsewhere).await;
    for sql in [
        format!("DROP DATABASE {}", name(&copy)),
        format!("CREATE DATABASE {} TEMPLATE {}", name(&copy), name(&database)),
    ] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
    }

    let (scrip, id) = in_the_middle(&database, &fal, &request).await;
    let (_other, mut runs) = serve(&database, &fal).await;
    let before = killed(scrip, &fal).await;
    let mut raw = postgres::connect(&database).await;
    sqlx::query(EXPIRE).execute(&mut raw).await.unwrap();
    ends_as_if_nothing_had_been((id, before), &mut runs, &fal, (&copy, &request)).await;
    let (code, output) = verify(&database).await;
    assert_eq!(code, Some(0), "{output}");
}
