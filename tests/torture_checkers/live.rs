//! The statements that look at a database itself: what they find in a sound one, and in one that was spoilt.

use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::postgres::Cluster;
use crate::tables::{disagreements, load, overdue};
use crate::world::database::{self, Database};

/// A migrated database of each kind; PostgreSQL only where it is not left out, which has then been said aloud.
async fn databases(folder: &tempfile::TempDir) -> Vec<Database> {
    let mut databases = vec![Database::Sqlite(folder.path().join("scrip.db"))];
    if let Some(cluster) = Cluster::start() {
        cluster.create_database("torture").await;
        let url = cluster.url("torture");
        databases.push(Database::Postgres(Box::new(cluster), url));
    }
    for database in &databases {
        let mut migrate = tokio::process::Command::new(env!("CARGO_BIN_EXE_scrip"));
        let migrated = migrate.arg("migrate").env("SCRIP_DATABASE_URL", database.url()).output().await;
        assert!(migrated.unwrap().status.success());
    }
    databases
}

/// Runs a statement in the dialect of the database.
async fn execute(database: &Database, sql: &str) {
    let words = match database {
        Database::Postgres(..) => [
            ("{hash}", "decode(repeat('ab', 32), 'hex')"),
            ("{no}", "false"),
            ("{past}", "timestamptz '2026-02-01 09:30:00.123456Z'"),
        ],
        Database::Sqlite(_) => {
            let hash = "unhex('abababababababababababababababababababababababababababababababab')";
            [("{hash}", hash), ("{no}", "0"), ("{past}", "'2026-02-01 09:30:00.123456'")]
        }
    };
    let sql = words.iter().fold(sql.to_owned(), |sql, (word, means)| sql.replace(word, means));
    match database {
        Database::Postgres(_, url) => {
            let mut connection = database::postgres(url).await.unwrap();
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
            connection.close().await.unwrap();
        }
        Database::Sqlite(path) => {
            let mut connection = database::sqlite(path, false).await.unwrap();
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
            connection.close().await.unwrap();
        }
    }
}

const USER: &str = "INSERT INTO ts_users (id, points_balance, cash_balance, points_held, cash_held, entry_seq, \
     chain_hash, last_entry_at, created_at, updated_at) VALUES (7, 30, 0, 0, 0, 1, {hash}, {past}, {past}, {past})";
const ENTRY: &str = "INSERT INTO ts_financial_transactions (user_id, user_seq, money, order_id, title, \"time\", \
     transaction_type, is_cash, operation, source_type, balance_before, balance_after, request_id, actor, entry_hash) \
     VALUES (7, 1, 30, 'pay', 'title', {past}, 0, 0, 'credit', 'recharge', 0, 30, 'r1', 'test', {hash})";
const POINTS: &str = "INSERT INTO ts_points_detail (user_id, user_seq, points, order_id, title, source_type, \
     balance_before, balance_after, created_at, actor) VALUES (7, 1, 30, 'pay', 'title', 'recharge', 0, 30, {past}, 'test')";
const ACCOUNT: &str =
    "INSERT INTO ts_fal_account (name, api_key, workspace, max_concurrency) VALUES ('a', 'key', 'ws', 1)";

fn task(task: &str, money: i64, hold: &str) -> String {
    format!(
        "INSERT INTO ts_fal_tasks (user_id, task_id, status, money, charged_points, created_at, fingerprint, \
         hold_state, hold_expires_at) VALUES (7, '{task}', 'pending', {money}, {money}, {{past}}, {{hash}}, {hold})"
    )
}

fn lease(lease: &str, task: &str) -> String {
    format!(
        "INSERT INTO scrip_leases (lease_id, account_id, key_id, runner_id, user_id, task_id, fence, acquired_at, \
         expires_at, is_probe, is_retry, estimated_cost_nano_usd) VALUES ('{lease}', 1, 'key', 'r', 7, '{task}', 1, \
         {{past}}, {{past}}, {{no}}, {{no}}, 0)"
    )
}

#[tokio::test]
async fn a_sound_database_has_nothing_wrong_and_each_spoilt_row_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder).await {
        let live = async || disagreements(&database).await.unwrap();
        let late = async || overdue(&database).await.unwrap();
        for sql in [USER, ENTRY, POINTS, ACCOUNT] {
            execute(&database, sql).await;
        }
        assert_eq!((live().await, late().await), (vec![], vec![]));

        execute(&database, "UPDATE ts_users SET points_balance = 31").await;
        assert_eq!(live().await, ["the purses, their entries and the open holds do not agree: user 7"]);
        execute(&database, "UPDATE ts_users SET points_balance = 30, points_held = 5").await;
        assert_eq!(live().await, ["the purses, their entries and the open holds do not agree: user 7"]);
        execute(&database, "UPDATE ts_users SET points_held = 0").await;

        execute(&database, &task("charged", 5, "NULL, NULL")).await;
        let of_task = "the charge and the refunds of a task are not those of its entries: task charged";
        assert_eq!(live().await, [of_task]);
        execute(&database, "DELETE FROM ts_fal_tasks").await;

        execute(&database, &task("held", 0, "'open', {past}")).await;
        assert_eq!(late().await, ["a hold whose time is over is open: held"]);
        // While a runner holds a key for it a hold does not expire; its lease does.
        execute(&database, &lease("one", "held")).await;
        assert_eq!(late().await, ["a lease whose time is over takes a slot: one"]);
        assert_eq!(live().await, Vec::<String>::new());
        execute(&database, &lease("two", "other")).await;
        assert_eq!(live().await, ["more open leases than the limit: ws has 2"]);
    }
}

#[tokio::test]
async fn both_databases_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let mut read = Vec::new();
    for database in databases(&folder).await {
        for sql in [USER, ENTRY, POINTS, ACCOUNT, &task("held", 0, "'open', {past}"), &lease("one", "held")] {
            execute(&database, sql).await;
        }
        read.push(load(&database).await.unwrap());
    }
    let at = 1_769_938_200_123_456;
    for books in &read {
        assert_eq!((books.ledger[0].entry.at, books.points[0].at, books.leases[0].acquired), (at, at, at));
        assert_eq!((books.users[0].points, books.users[0].head.as_str()), (30, "ab".repeat(32).as_str()));
        assert_eq!((books.ledger[0].request.as_str(), books.ledger[0].hash.len()), ("r1", 64));
        assert_eq!((books.leases[0].released, books.accounts[0].limit), (i64::MAX, 1));
        assert_eq!((books.tasks[0].hold.as_str(), books.tasks[0].cost), ("open", -1));
    }
    let texts: Vec<String> = read.iter().map(|books| format!("{books:?}")).collect();
    assert!(texts.windows(2).all(|two| two[0] == two[1]), "{texts:#?}");
}
