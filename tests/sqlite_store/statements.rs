//! The statements and the tables themselves.

use std::path::Path;

use scrip::ledger::Purse;
use sqlx::{AssertSqlSafe, Executor, Row, SqlSafeStr};

use crate::support::{World, charge, credit, execute};

fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sqlite/sql");
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(files.len() > 30, "the statements are where the test looks");
    files
}

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_database() {
    let world = World::new();
    world.open().await;
    let mut raw = world.raw().await;
    for (name, text) in files() {
        assert!(text.starts_with("-- "), "{name} says why it is");
        assert!(!text.contains('*') || text.contains("count(*)"), "{name} names its columns");
        if let Err(error) = raw.prepare(AssertSqlSafe(text).into_sql_str()).await {
            panic!("{name}: {error}");
        }
    }
}

/// Statements whose work is meant to be in proportion to a table.
const WHOLE: [&str; 10] = [
    "audit_estimate.sql",
    "figures.sql",
    "pool_accounts.sql",
    "pool_usage.sql",
    "pool_workspaces.sql",
    "schema_versions.sql",
    "tables.sql",
    "tokens_end.sql",
    "tokens_live.sql",
    "tokens_places.sql",
];

#[tokio::test]
async fn every_statement_seeks() {
    let world = World::new();
    world.open().await;
    let mut raw = world.raw().await;
    for (name, text) in files().into_iter().filter(|(name, _)| !WHOLE.contains(&name.as_str())) {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}")))
            .fetch_all(&mut raw)
            .await
            .unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        for step in &steps {
            let reads_keys = ["SCAN k", "SCAN v", "SCAN h", "SCAN CONSTANT ROW"];
            let seeks = !step.starts_with("SCAN") || reads_keys.iter().any(|keys| step.starts_with(keys));
            assert!(seeks, "{name} reads a whole table: {steps:#?}");
            // A page once found may be put in order; what it is found in may not.
            let is_page = ["seq_at.sql", "audit_tasks.sql", "list_users.sql"].contains(&name.as_str());
            let sorts = step.ends_with("TEMP B-TREE FOR ORDER BY") && !is_page;
            assert!(!sorts, "{name} sorts what an index could give in order: {steps:#?}");
        }
    }
}

#[tokio::test]
async fn money_and_answers_are_append_only() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    world.commit(&mut writer, &[credit(1, Purse::Points, 1_000, "c1"), charge(1, "t1", 100)]).await;
    let mut raw = world.raw().await;
    for table in ["ts_financial_transactions", "ts_points_detail", "scrip_requests"] {
        let update = format!("UPDATE {table} SET user_id = 2");
        for sql in [update, format!("DELETE FROM {table}")] {
            let error = execute(&mut raw, &sql).await.unwrap_err().to_string();
            assert!(error.contains(&format!("{table} is append-only")), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn the_tables_refuse_what_can_never_be() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    world.commit(&mut writer, &[credit(1, Purse::Points, 1_000, "c1"), charge(1, "t1", 100)]).await;
    let mut raw = world.raw().await;
    for sql in [
        "UPDATE ts_users SET points_balance = -1",
        "UPDATE ts_users SET points_held = points_balance + 1",
        "UPDATE ts_users SET updated_at = '2026-02-01T00:00:00Z'",
        "UPDATE ts_users SET points_balance = 'many'",
        "UPDATE ts_fal_tasks SET refunded_points = charged_points + 1",
        "UPDATE ts_fal_tasks SET money = money + 1",
        "UPDATE ts_fal_tasks SET status = 'lost'",
        "UPDATE ts_fal_tasks SET hold_state = 'open'",
        "UPDATE ts_fal_tasks SET held_points = 1, authorized_points = 1",
        "UPDATE ts_fal_tasks SET is_refund = 1",
        "INSERT INTO ts_fal_tasks (user_id, task_id, status, money, created_at, fingerprint)
         SELECT 2, task_id, status, 0, created_at, fingerprint FROM ts_fal_tasks",
        "INSERT INTO ts_financial_transactions (user_id, user_seq, money, time, transaction_type, is_cash, operation,
             source_type, balance_before, balance_after, actor, entry_hash)
         SELECT user_id, user_seq, money, time, transaction_type, is_cash, operation,
             source_type, balance_before, balance_after, actor, entry_hash FROM ts_financial_transactions",
        "INSERT INTO ts_points_detail (user_id, user_seq, points, source_type, balance_before, balance_after,
             created_at, actor)
         SELECT user_id, 99, points, source_type, balance_before, balance_after + 1, created_at, actor
             FROM ts_points_detail",
        "INSERT INTO scrip_commits (id) VALUES (x'00')",
    ] {
        assert!(execute(&mut raw, sql).await.is_err(), "{sql}");
    }
}
