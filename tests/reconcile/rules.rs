//! Each rule fires through the whole stack, and books that agree have no findings.

use std::collections::BTreeSet;

use scrip::audit::{Language, Rule};
use scrip::fal::fake::Event;
use scrip::reconcile::{RunState, Summary};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::world::{DAY, HOUR, MODEL, SECOND, START, World, day};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_agree_have_no_findings() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    for hour in 1..5 {
        world.sound(&format!("t{hour}"), 7, (hour, "a", "w")).await;
    }
    world.later();
    let outcome = world.reconcile(true).await;
    assert_eq!((outcome.run.state, outcome.rules()), (RunState::Completed, vec![]));
    assert_eq!((outcome.run.cost_changes, outcome.run.costs_applied), (4, 4));
    let report = outcome.summary.unwrap().report;
    assert_eq!((report.totals.sums.tasks, report.totals.sums.billed_nano_usd), (4, 80_000_000));
    assert_eq!((report.days.len(), report.models.len()), (1, 1));
    let listed = Summary::from_json(&outcome.run.summary).unwrap().report;
    assert_eq!((listed.days.len(), listed.models.len()), (0, 0), "a list of runs does not read them");
    assert_eq!(listed.totals, report.totals);
}

/// A day on which everything went wrong once.
async fn wrong_day() -> World {
    let world = World::new().await;
    world.account("a", "w").await;
    world.account("poor", "p").await;
    world.fal.world().workspace("p").unwrap().set_balance("0.5");
    for user in 7..=10 {
        world.credit(user, 100_000).await;
    }
    // A usual, for user 9: three days of ten points.
    for days in 1..=3 {
        world.started(&format!("usual-{days}"), 9, 10, (-24 * (4 - days), "a")).await;
        world.completed(&format!("usual-{days}"), 9, Some(20_000_000)).await;
        world.bill("w", &format!("usual-{days}"), -24 * (4 - days), "0.02");
    }
    world.sound("fine", 7, (1, "a", "w")).await;
    // A2: a model that fal never bills.
    world.started_with("unbilled", 7, 40, (2, "a"), "fal-ai/never-billed").await;
    world.completed("unbilled", 7, Some(20_000_000)).await;
    // A3, B7: a request that nobody made, usage that no event explains.
    world.event("w", Event::new("req-nobodys", MODEL, START + 3 * HOUR).price("0.3"));
    let usage = Event::new("usage", MODEL, START + 3 * HOUR).price("0.2");
    let unexplained = world.fal.world().workspace("w").unwrap().clone().unexplained(usage);
    world.fal.world().add(unexplained);
    // A5, B2: refunds of more than is left, one of them billed.
    world.started("refunded", 8, 500, (4, "a")).await;
    world.failed("refunded", 8).await;
    world.bill("w", "refunded", 4, "0.02");
    // A6: far above the usual.
    world.started("spike", 9, 5_000, (5, "a")).await;
    world.completed("spike", 9, Some(20_000_000)).await;
    world.bill("w", "spike", 5, "0.02");
    // A7: free, and billed.
    world.started("free", 10, 0, (6, "a")).await;
    world.completed("free", 10, Some(20_000_000)).await;
    world.bill("w", "free", 6, "0.02");
    // A1, B1: reported as much as it is not; B5: sold below cost.
    world.started("misreported", 10, 100, (7, "poor")).await;
    world.completed("misreported", 10, Some(10_000_000)).await;
    world.bill("p", "misreported", 7, "0.02");
    world.started("cheap", 10, 1, (8, "a")).await;
    world.completed("cheap", 10, Some(20_000_000)).await;
    world.bill("w", "cheap", 8, "0.02");
    // B3, B6: nobody settled them, fal did one of them.
    world.started("unsettled", 10, 30, (9, "a")).await;
    world.bill("w", "unsettled", 9, "0.02");
    world.started("stuck", 10, 30, (10, "a")).await;
    world.later();
    world
}

/// A4, B4: a charge that the ledger does not know of.
async fn tamper(world: &World) {
    let path = world.folder.path().join("scrip.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    let sql = "UPDATE ts_fal_tasks SET money = money + 5, charged_points = charged_points + 5 WHERE task_id = 'fine'";
    let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rule_fires_through_the_whole_stack() {
    let world = wrong_day().await;
    tamper(&world).await;
    let outcome = world.reconcile(true).await;
    assert_eq!(outcome.run.state, RunState::Completed);
    let fired: BTreeSet<Rule> = outcome.findings.iter().map(|finding| finding.rule).collect();
    let silent: Vec<&Rule> = Rule::ALL.iter().filter(|rule| !fired.contains(rule)).collect();
    assert!(silent.is_empty(), "silent: {silent:?}; fired: {:?}", outcome.rules());
    for finding in &outcome.findings {
        let message = finding.message(Language::English);
        assert!(!message.contains('?'), "{message}");
    }
    let stored = outcome.run.findings.iter().sum::<i64>();
    assert_eq!(stored, i64::try_from(outcome.findings.len()).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_evidence_gives_the_same_findings_before_and_after_costs_are_applied() {
    let world = wrong_day().await;
    let first = world.reconcile(false).await;
    assert_eq!((first.run.costs_applied, world.billed_cost("fine").await), (0, None));
    let second = world.reconcile(true).await;
    assert_eq!(second.findings, first.findings);
    assert!(second.run.costs_applied > 5 && second.run.costs_applied == first.run.cost_changes);
    let third = world.reconcile(true).await;
    assert_eq!(third.findings, first.findings);
    assert_eq!((third.run.cost_changes, third.run.costs_applied), (0, 0), "applied once is applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_younger_than_the_lag_is_pending_and_no_finding() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.sound("old", 7, (1, "a", "w")).await;
    world.started_with("young", 7, 40, (23, "a"), "fal-ai/other").await;
    world.completed("young", 7, Some(20_000_000)).await;
    world.clock.set(START + 23 * HOUR + 29 * 60 * SECOND);
    let reconciler = world.reconciler();
    let today = scrip::reconcile::Start { end: None, ..crate::world::day() };
    let young = crate::world::reconcile(&reconciler.handle(), today.clone()).await;
    assert_eq!(young.rules(), [""; 0]);
    assert_eq!(young.summary.unwrap().report.totals.pending_tasks, 1);
    world.clock.set(START + 23 * HOUR + 31 * 60 * SECOND);
    let due = crate::world::reconcile(&reconciler.handle(), today).await;
    assert!(due.rules().contains(&"A2"), "{:?}", due.rules());
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_its_own_days_run_saw_too_early_is_found_stuck_by_the_next_days() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.started("stuck", 7, 40, (20, "a")).await;
    world.clock.set(START + DAY + HOUR);
    assert_eq!(world.reconcile(false).await.rules(), [""; 0], "five hours are not a day");
    world.clock.set(START + 2 * DAY + HOUR);
    let reconciler = world.reconciler();
    let (start, end) = (scrip::ledger::Micros(START + DAY), scrip::ledger::Micros(START + 2 * DAY));
    let next = scrip::reconcile::Start { start: Some(start), end: Some(end), ..Default::default() };
    let outcome = crate::world::reconcile(&reconciler.handle(), next).await;
    reconciler.drain().await;
    assert_eq!(outcome.rules(), ["B6"]);
    assert_eq!(outcome.findings[0].task_id.as_deref(), Some("stuck"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_one_user_is_told_of_that_users_ledger_however_many_others_are_broken() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.later();
    let path = world.folder.path().join("scrip.db");
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let broken = "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 1100)
        INSERT INTO ts_users (id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash,
            last_entry_at, created_at, updated_at)
        SELECT CASE id WHEN 1100 THEN 99999 ELSE id END, 777, 0, 0, 0, 0, zeroblob(32), '2025-01-01 00:00:00.000000',
            '2025-01-01 00:00:00.000000', '2025-01-01 00:00:00.000000' FROM n";
    let done = sqlx::query(broken).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), 1_100);
    connection.close().await.unwrap();
    let reconciler = world.reconciler();
    let start = scrip::reconcile::Start { user_ids: vec![99_999], ..day() };
    let outcome = crate::world::reconcile(&reconciler.handle(), start).await;
    reconciler.drain().await;
    let users: BTreeSet<Option<i64>> = outcome.findings.iter().map(|finding| finding.user_id).collect();
    assert_eq!(users, BTreeSet::from([Some(99_999)]));
    assert_eq!(outcome.summary.unwrap().unlisted_disagreements, 0);
}
