//! The statements themselves.

use std::path::Path;

use sqlx::{AssertSqlSafe, Executor, Row, SqlSafeStr};

use crate::bench::{Bench, Raw};

fn files(store: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store").join(store).join("reconcile/sql");
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(files.len() > 20, "the statements are where the test looks");
    files
}

#[test]
fn every_statement_says_why_it_is_there_and_names_its_columns() {
    for (name, text) in files("sqlite").into_iter().chain(files("postgres")) {
        assert!(text.starts_with("-- "), "{name} says why it is");
        let code: String = text.lines().filter(|line| !line.starts_with("--")).collect();
        assert!(!code.contains("SELECT *") && !code.contains(".*"), "{name} names its columns");
    }
}

/// Statements whose work is meant to be in proportion to a table, or that sort on disk what has no order yet.
const GATHERS: [&str; 12] = [
    "accounts.sql",
    "count_unpriced.sql",
    "estimate.sql",
    "forget_quarters.sql",
    "read_tasks.sql",
    "snapshot_events.sql",
    "snapshot_others.sql",
    "snapshot_period.sql",
    "snapshot_quarters.sql",
    "snapshot_tasks.sql",
    "snapshot_user_tasks.sql",
    "temp_tables.sql",
];

#[tokio::test]
async fn every_statement_of_sqlite_seeks() {
    let Some(bench) = Bench::sqlite().await else { return };
    let Bench { raw: Raw::Sqlite(mut raw), .. } = bench else { panic!("it is SQLite") };
    let files = files("sqlite");
    let (_, temp) = files.iter().find(|(name, _)| name == "temp_tables.sql").unwrap();
    raw.execute(AssertSqlSafe(temp.clone()).into_sql_str()).await.unwrap();
    for (name, text) in files.into_iter().filter(|(name, _)| name != "temp_tables.sql") {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"))).fetch_all(&mut raw).await;
        let plan = plan.unwrap_or_else(|error| panic!("{name}: {error}"));
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        if GATHERS.contains(&name.as_str()) {
            println!("{name}: {steps:#?}");
            continue;
        }
        for step in &steps {
            let few = [
                "SCAN c",
                "SCAN n",
                "SCAN CONSTANT ROW",
                "SCAN r USING INDEX scrip_reconciliations_running",
                // The rows of a JSON array.
                "SCAN v VIRTUAL TABLE INDEX 1:",
            ];
            let seeks = !step.starts_with("SCAN") || few.contains(&step.as_str());
            assert!(seeks, "{name} reads a whole table: {steps:#?}");
            assert!(
                !step.contains("TEMP B-TREE"),
                "{name} sorts what an index could give in order: {steps:#?}"
            );
        }
    }
}

#[tokio::test]
async fn every_statement_is_prepared_by_postgresql() {
    let Some(bench) = Bench::postgres().await else { return };
    let Bench { raw: Raw::Postgres(mut raw), .. } = bench else { panic!("it is PostgreSQL") };
    for (name, text) in files("postgres") {
        let code: String = text.lines().filter(|line| !line.starts_with("--")).collect();
        assert!(!code.contains(';'), "{name} is one statement");
        let exotic = ["on conflict", "notify", "listen", "advisory", "plpgsql"];
        assert!(!exotic.iter().any(|word| code.to_lowercase().contains(word)), "{name}");
        let prepared = (&mut raw).prepare(AssertSqlSafe(text).into_sql_str()).await;
        prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_statement_is_used() {
    for store in ["sqlite", "postgres"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store").join(store);
        let code: String = std::fs::read_dir(folder.join("reconcile"))
            .unwrap()
            // Beside it stand the statements that have another form on Citus.
            .chain(std::fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        for (name, _) in files(store) {
            assert!(code.contains(&format!("sql/{name}")), "{name} is used by nothing");
        }
    }
}
