//! ReconciliationService through the real server: runs begun, watched and read, and what is refused.

use prost_types::Timestamp;
use scrip::clock::{Clock, System};
use scrip::fal::fake::{Event, FakeFal, Fault, Route, Workspace};
use scrip::pb;
use scrip::pb::reconciliation_service_client::ReconciliationServiceClient;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::client::{KEK, Scrip, charge, refused, refused_fields};
use crate::support::server::Launch;

const MODEL: &str = "fal-ai/flux/dev";

/// A server whose fal is a fake of this test's.
struct Billed {
    scrip: Scrip,
    runs: ReconciliationServiceClient<Channel>,
    fal: FakeFal,
}

macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
                super::$name(super::Billed::on(url, Some(folder)).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(server) = crate::support::postgres::shared() else { return };
                super::$name(super::Billed::on(server.fresh_database().await, None).await).await;
            })+
        }
    };
}

on_both_stores!(
    a_run_is_begun_watched_to_its_end_and_read_row_by_row,
    usage_is_answered_live_and_a_denied_account_is_named,
    what_cannot_be_a_run_is_refused_by_name,
    the_service_is_healthy_and_a_call_repeated_begins_no_second_run,
);

impl Billed {
    async fn on(url: String, folder: Option<TempDir>) -> Self {
        let fal = FakeFal::start().await.unwrap();
        fal.world().add(Workspace::new("acme", "0.5").key("key-a:s3cret"));
        let launch = Launch::new(&url)
            .env("SCRIP_KEK", KEK)
            .env("SCRIP_FAL_BASE_URL", fal.base_url())
            .env("SCRIP_FAL_ALLOW_LOOPBACK", "true")
            .env("SCRIP_BILLING_LAG", "0s");
        let mut scrip = Scrip::on(launch, url, folder).await;
        let account = pb::CreateAccountRequest {
            name: "main".into(),
            api_key: "key-a:s3cret".into(),
            workspace: "acme".into(),
            ..Default::default()
        };
        scrip.keys.create_account(account).await.unwrap();
        scrip.with_points(7, 10_000).await;
        let runs = ReconciliationServiceClient::new(scrip.server.channel().await);
        Self { scrip, runs, fal }
    }

    /// A completed task, reported and billed so.
    async fn task(&mut self, id: &str, reported: i64, billed: Option<&str>) {
        self.scrip
            .billing
            .charge(pb::ChargeRequest { app_name: MODEL.into(), ..charge(7, id, 20) })
            .await
            .unwrap();
        let start = pb::StartTaskRequest {
            task_id: id.into(),
            online_task_id: format!("req-{id}"),
            key_id: "key-a".into(),
            ..Default::default()
        };
        self.scrip.tasks.start_task(start).await.unwrap();
        let complete = pb::CompleteTaskRequest {
            task_id: id.into(),
            cost_nano_usd: Some(reported),
            ..Default::default()
        };
        self.scrip.tasks.complete_task(complete).await.unwrap();
        if let Some(cost) = billed {
            let event = Event::new(&format!("req-{id}"), MODEL, now_micros()).price(cost);
            self.fal.world().workspace("acme").unwrap().bill(event);
        }
    }

    async fn over(&mut self, id: i64) -> pb::Reconciliation {
        let request = pb::WatchReconciliationRequest { reconciliation_id: id };
        let mut progress = self.runs.watch_reconciliation(request).await.unwrap().into_inner();
        let mut last = None;
        while let Some(seen) = progress.message().await.unwrap() {
            assert_ne!(last, Some(pb::ReconciliationState::Completed), "nothing comes after the end");
            last = Some(seen.state());
        }
        assert_ne!(last, Some(pb::ReconciliationState::Running), "the last message is the end");
        self.get(id, 0, "").await.reconciliation.unwrap()
    }

    async fn get(&mut self, id: i64, page_size: i32, token: &str) -> pb::GetReconciliationResponse {
        let request =
            pb::GetReconciliationRequest { reconciliation_id: id, page_size, page_token: token.into() };
        self.runs.get_reconciliation(request).await.unwrap().into_inner()
    }
}

fn now_micros() -> i64 {
    System.now().0
}

/// So many seconds ago, by this machine's clock, which is the database's as well.
fn ago(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: now_micros() / 1_000_000 - seconds, nanos: 0 })
}

fn last_hour() -> pb::StartReconciliationRequest {
    pb::StartReconciliationRequest { start_time: ago(3_600), apply_costs: true, ..Default::default() }
}

async fn a_run_is_begun_watched_to_its_end_and_read_row_by_row(mut billed: Billed) {
    billed.task("fine", 20_000_000, Some("0.02")).await;
    billed.task("wrong", 5_000_000, Some("0.02")).await;
    let nobodys = Event::new("req-nobodys", MODEL, now_micros() - 5_000_000).price("0.3");
    billed.fal.world().workspace("acme").unwrap().bill(nobodys);

    let begun = billed.runs.start_reconciliation(last_hour()).await.unwrap().into_inner();
    let id = begun.reconciliation.unwrap().reconciliation_id;
    let run = billed.over(id).await;
    assert_eq!((run.state(), run.error.as_str()), (pb::ReconciliationState::Completed, ""));
    assert!(run.evidence_time.is_some() && run.complete_time.is_some() && run.account_errors.is_empty());
    assert_eq!((run.points_per_usd.as_str(), run.fen_per_usd.as_str()), ("400", "400"));
    assert_eq!((run.cost_changes, run.costs_applied), (2, 2));
    assert_eq!(billed.scrip.task("wrong").await.billed_cost_nano_usd, Some(20_000_000));
    let totals = run.totals.unwrap();
    assert_eq!((totals.tasks.unwrap().tasks, totals.official_cost_nano_usd), (2, 340_000_000));
    assert_eq!(run.workspace_rows[0].accounts[0].account_name, "main");
    assert_eq!((run.task_rows[0].tasks, run.user_rows[0].charged_points, run.user_rows[0].ok), (2, 40, true));
    assert_eq!((run.day_rows.is_empty(), run.model_rows[0].app_name.as_str()), (false, MODEL));

    // The same rows one at a time: a workspace, a cell, a user.
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let page = billed.get(id, 1, &token).await;
        let run = page.reconciliation.unwrap();
        seen.push((run.workspace_rows.len(), run.task_rows.len(), run.user_rows.len(), run.day_rows.len()));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        seen.iter().map(|seen| (seen.0, seen.1, seen.2)).collect::<Vec<_>>(),
        [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    );
    assert!(seen[0].3 > 0 && seen[1].3 == 0, "days come once");

    let all = pb::ListFindingsRequest { reconciliation_id: id, ..Default::default() };
    let findings = billed.runs.list_findings(all.clone()).await.unwrap().into_inner().findings;
    let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["A1", "A3", "B1", "A8"], "gravest first");
    let counts = run.finding_counts.unwrap();
    assert_eq!((counts.high, counts.medium, counts.low, counts.rules.len()), (2, 1, 1, 4));
    let wrong = &findings[2];
    assert_eq!((wrong.task_id.as_str(), wrong.user_id, wrong.reconciliation_id), ("wrong", 7, id));
    assert!(wrong.evidence.contains(r#""billed_nano_usd":20000000"#), "{}", wrong.evidence);
    assert!(wrong.message.contains("reported 0.005 USD"), "{}", wrong.message);

    let (mut token, mut paged) = (String::new(), Vec::new());
    loop {
        let request = pb::ListFindingsRequest { page_size: 1, page_token: token, ..all.clone() };
        let page = billed.runs.list_findings(request).await.unwrap().into_inner();
        paged.extend(page.findings);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, findings);
    let only = pb::ListFindingsRequest { rule: "B1".into(), ..all.clone() };
    assert_eq!(billed.runs.list_findings(only).await.unwrap().into_inner().findings.len(), 1);
    let mut high = all;
    high.set_severity(pb::FindingSeverity::High);
    assert_eq!(billed.runs.list_findings(high).await.unwrap().into_inner().findings.len(), 2);

    let list = billed.runs.list_reconciliations(pb::ListReconciliationsRequest::default()).await.unwrap();
    let list = list.into_inner().reconciliations;
    assert_eq!((list.len(), list[0].reconciliation_id, list[0].workspace_rows.len()), (1, id, 0));
    // A run that is over is watched in one message.
    let request = pb::WatchReconciliationRequest { reconciliation_id: id };
    let mut progress = billed.runs.watch_reconciliation(request).await.unwrap().into_inner();
    let only = progress.message().await.unwrap().unwrap();
    assert_eq!(
        (only.state(), only.phase(), only.findings),
        (pb::ReconciliationState::Completed, pb::ReconciliationPhase::Over, 4)
    );
    assert!(progress.message().await.unwrap().is_none());
}

async fn usage_is_answered_live_and_a_denied_account_is_named(mut billed: Billed) {
    billed.task("fine", 20_000_000, Some("0.02")).await;
    let ask = pb::QueryUsageRequest { start_time: ago(3_600), ..Default::default() };
    let answer = billed.runs.query_usage(ask.clone()).await.unwrap().into_inner();
    assert_eq!((answer.cost_nano_usd, answer.rows.len(), answer.account_errors.len()), (20_000_000, 1, 0));
    let row = &answer.rows[0];
    assert_eq!(
        (row.account_name.as_str(), row.app_name.as_str(), row.quantity.as_str()),
        ("main", MODEL, "1")
    );

    billed.fal.world().plan(Route::Usage, 1, Fault::Error(403, "authorization_error"));
    let denied = billed.runs.query_usage(ask.clone()).await;
    let metadata = refused(denied, Code::FailedPrecondition, "UPSTREAM_DENIED");
    assert_eq!(metadata["http_status"], "403");
    assert_eq!(metadata["account_id"], row.account_id.to_string());
    let unknown = pb::QueryUsageRequest { account_ids: vec![4_711], ..ask.clone() };
    refused(billed.runs.query_usage(unknown).await, Code::NotFound, "ACCOUNT_NOT_FOUND");
    let odd = pb::QueryUsageRequest { timeframe: 99, ..ask };
    refused_fields(billed.runs.query_usage(odd).await, &["timeframe"]);

    billed.fal.world().plan(Route::Events, 1, Fault::Error(403, "authorization_error"));
    let begun = billed.runs.start_reconciliation(last_hour()).await.unwrap().into_inner();
    let run = billed.over(begun.reconciliation.unwrap().reconciliation_id).await;
    assert_eq!(run.state(), pb::ReconciliationState::Partial);
    let error = &run.account_errors[0];
    assert_eq!(
        (error.source(), error.reason(), error.http_status),
        (pb::UpstreamSource::BillingEvents, pb::ErrorReason::UpstreamDenied, 403)
    );
    assert!(!format!("{run:?}").contains("s3cret"));
}

async fn what_cannot_be_a_run_is_refused_by_name(mut billed: Billed) {
    let start =
        |start_time, end_time| pb::StartReconciliationRequest { start_time, end_time, ..Default::default() };
    let mut refuse = async |request, fields: &[&str]| {
        refused_fields(billed.runs.start_reconciliation(request).await, fields);
    };
    refuse(start(None, None), &["start_time"]).await;
    refuse(start(ago(60), ago(120)), &["start_time"]).await;
    refuse(start(ago(60), ago(-3_600)), &["end_time"]).await;
    refuse(start(ago(367 * 86_400), None), &["end_time"]).await;
    refuse(pb::StartReconciliationRequest { user_ids: vec![-1], ..last_hour() }, &["user_ids"]).await;
    let unknown = pb::StartReconciliationRequest { account_ids: vec![4_711], ..last_hour() };
    refused(billed.runs.start_reconciliation(unknown).await, Code::NotFound, "ACCOUNT_NOT_FOUND");

    let get = pb::GetReconciliationRequest { reconciliation_id: 99, ..Default::default() };
    let metadata =
        refused(billed.runs.get_reconciliation(get).await, Code::NotFound, "RECONCILIATION_NOT_FOUND");
    assert_eq!(metadata["id"], "99");
    let watch = pb::WatchReconciliationRequest { reconciliation_id: 99 };
    refused(billed.runs.watch_reconciliation(watch).await, Code::NotFound, "RECONCILIATION_NOT_FOUND");
    let findings = pb::ListFindingsRequest { reconciliation_id: 99, ..Default::default() };
    refused(billed.runs.list_findings(findings.clone()).await, Code::NotFound, "RECONCILIATION_NOT_FOUND");
    let odd = pb::ListFindingsRequest { rule: "C1".into(), severity: 9, page_size: -1, ..findings };
    refused_fields(billed.runs.list_findings(odd).await, &["page_size", "rule", "severity"]);
    let none = pb::GetReconciliationRequest::default();
    refused_fields(billed.runs.get_reconciliation(none).await, &["reconciliation_id"]);
}

async fn the_service_is_healthy_and_a_call_repeated_begins_no_second_run(mut billed: Billed) {
    let mut health = HealthClient::new(billed.scrip.server.channel().await);
    let service = "scrip.v1.ReconciliationService".to_owned();
    let answer = health.check(HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);

    let request = pb::StartReconciliationRequest { request_id: "morning".into(), ..last_hour() };
    let first = billed.runs.start_reconciliation(request.clone()).await.unwrap().into_inner();
    let id = first.reconciliation.unwrap().reconciliation_id;
    billed.over(id).await;
    let again = billed.runs.start_reconciliation(request.clone()).await.unwrap().into_inner();
    assert_eq!(
        (again.reconciliation.unwrap().reconciliation_id, first.replayed, again.replayed),
        (id, false, true)
    );
    let other = pb::StartReconciliationRequest { apply_costs: false, ..request };
    let metadata =
        refused(billed.runs.start_reconciliation(other).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(metadata["request_id"], "morning");
}
