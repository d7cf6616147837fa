//! Every statement of the store, prepared by a real server.

use std::path::Path;

use sqlx::{AssertSqlSafe, Executor, Row, SqlSafeStr};

use super::support::postgres::connect;
use super::*;

fn sql_files() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/postgres/sql");
    let mut files: Vec<(String, String)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_statement_is_prepared_by_the_migrated_database() {
    let Some((url, _store)) = fresh().await else { return };
    let mut connection = connect(&url).await;
    let files = sql_files();
    assert!(files.len() > 20, "only {} files", files.len());
    for (name, sql) in files {
        let prepared = (&mut connection).prepare(AssertSqlSafe(sql).into_sql_str()).await;
        prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn no_statement_of_the_writer_reads_a_table_whole() {
    let Some((url, _store)) = fresh().await else { return };
    let mut connection = connect(&url).await;
    let session = include_str!("../../src/store/postgres/sql/session_writer.sql");
    sqlx::query(session).bind("10s").bind("5s").bind("10s").execute(&mut connection).await.unwrap();
    for (name, sql) in sql_files().into_iter().filter(|(name, _)| name.starts_with("writer_")) {
        let parameters = (1..).take_while(|number| sql.contains(&format!("${number}"))).count();
        let values = vec!["NULL"; parameters].join(", ");
        let execute = if parameters == 0 { String::new() } else { format!("({values})") };
        let prepare = format!("PREPARE look AS {sql}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.unwrap();
        // The plan that the session keeps, made while the tables are empty.
        let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE look{execute}"));
        let plan = sqlx::raw_sql(explain).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        // A scan of an index without a condition is one of the whole table, too.
        let ends = plan.iter().skip(1).map(String::as_str).chain([""]);
        let whole = plan.iter().zip(ends).find(|(line, next)| {
            line.contains("Seq Scan on ")
                || (line.contains("Index") && line.contains("Scan ") && !next.contains("Index Cond: "))
        });
        assert_eq!(whole, None, "{name}:\n{}", plan.join("\n"));
        sqlx::raw_sql("DEALLOCATE look").execute(&mut connection).await.unwrap();
    }
}

#[test]
fn every_statement_says_why_it_is_there_and_names_its_columns() {
    for (name, sql) in sql_files() {
        assert!(sql.starts_with("-- "), "{name} begins with a comment");
        let code: String = sql.lines().filter(|line| !line.starts_with("--")).collect();
        assert!(!code.contains('*') || code.contains("count(*)"), "{name} names its columns");
        assert!(!code.contains(';'), "{name} is one statement");
        let exotic = ["on conflict", "notify", "listen", "advisory", "plpgsql"];
        let lower = code.to_lowercase();
        assert!(!exotic.iter().any(|word| lower.contains(word)), "{name}");
    }
}

#[test]
fn every_statement_is_used() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/postgres");
    let code: String = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for (name, _) in sql_files() {
        assert!(code.contains(&format!("sql/{name}")), "{name} is used by nothing");
    }
}
