//! Contender c: the rows alone. One connection writes as many charges a commit as scrip did, by one bulk statement a
//! table, made up inside the database: no client, no decision, no answer. Nothing that stores these rows can be faster.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use crate::postgres;
use crate::stage::{Database, Store};

const WARM_UP: Duration = Duration::from_millis(500);

/// Charge `i` of all: users take turns in a scattered order (7919 shares no factor with their number), so that a commit
/// of no more charges than users has each of them once.
struct Statements {
    tasks: &'static str,
    financial: &'static str,
    points: &'static str,
    users: &'static str,
    commit: &'static str,
}

const POSTGRES: Statements = Statements {
    tasks: "INSERT INTO ts_fal_tasks \
        (user_id, task_id, app_name, status, money, created_at, charged_points, fingerprint, charge_seq) \
        SELECT 1 + (i * 7919) % $3, md5(i::text), 'fal-ai/flux/dev', 'pending', 3, now(), 3, \
            '\\x0707070707070707070707070707070707070707070707070707070707070707', 2 + i / $3 \
        FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS i",
    financial: "INSERT INTO ts_financial_transactions \
        (user_id, user_seq, money, order_id, \"time\", transaction_type, is_cash, operation, source_type, \
         balance_before, balance_after, actor, entry_hash) \
        SELECT 1 + (i * 7919) % $3, 2 + i / $3, -3, md5(i::text), now(), 1, 0, 'charge', 'consume', 1000, 997, 'bench', \
            '\\x0707070707070707070707070707070707070707070707070707070707070707' \
        FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS i",
    points: "INSERT INTO ts_points_detail \
        (user_id, user_seq, points, order_id, source_type, balance_before, balance_after, created_at, actor) \
        SELECT 1 + (i * 7919) % $3, 2 + i / $3, -3, md5(i::text), 'consume', 1000, 997, now(), 'bench' \
        FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS i",
    users: "UPDATE ts_users AS u SET points_balance = points_balance - 3, entry_seq = entry_seq + 1, \
        last_entry_at = now(), updated_at = now() \
        FROM (SELECT 1 + (i * 7919) % $3 AS id FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS i) AS n \
        WHERE u.id = n.id",
    commit: "INSERT INTO scrip_commits (id) VALUES ($1)",
};

/// SQLite has no series of its own in every build, but it can count.
const SQLITE: Statements = Statements {
    tasks: "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + ?2 - 1) \
        INSERT INTO ts_fal_tasks \
        (user_id, task_id, app_name, status, money, created_at, charged_points, fingerprint, charge_seq) \
        SELECT 1 + (i * 7919) % ?3, lower(hex(randomblob(16))), 'fal-ai/flux/dev', 'pending', 3, \
            '2026-11-26 00:00:00.000000', 3, randomblob(32), 2 + i / ?3 FROM n",
    financial: "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + ?2 - 1) \
        INSERT INTO ts_financial_transactions \
        (user_id, user_seq, money, order_id, \"time\", transaction_type, is_cash, operation, source_type, \
         balance_before, balance_after, actor, entry_hash) \
        SELECT 1 + (i * 7919) % ?3, 2 + i / ?3, -3, printf('%032x', i), '2026-11-26 00:00:00.000000', 1, 0, 'charge', \
            'consume', 1000, 997, 'bench', randomblob(32) FROM n",
    points: "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + ?2 - 1) \
        INSERT INTO ts_points_detail \
        (user_id, user_seq, points, order_id, source_type, balance_before, balance_after, created_at, actor) \
        SELECT 1 + (i * 7919) % ?3, 2 + i / ?3, -3, printf('%032x', i), 'consume', 1000, 997, \
            '2026-11-26 00:00:00.000000', 'bench' FROM n",
    users: "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + ?2 - 1) \
        UPDATE ts_users SET points_balance = points_balance - 3, entry_seq = entry_seq + 1, \
        last_entry_at = '2026-11-26 00:00:00.000000', updated_at = '2026-11-26 00:00:00.000000' \
        WHERE id IN (SELECT 1 + (i * 7919) % ?3 FROM n)",
    commit: "INSERT INTO scrip_commits (id) VALUES (?1)",
};

/// Runs a transaction of `$rows` charges again and again on a connection, and answers charges a second.
macro_rules! climb {
    ($connection:expr, $statements:expr, $rows:expr, $users:expr, $lasts:expr) => {{
        let (connection, statements) = (&mut $connection, $statements);
        let (rows, users) = (i64::from($rows.min($users)), i64::from($users));
        let began = Instant::now();
        let (mut counted, mut written) = (None, 0_i64);
        for number in 0_i64.. {
            if counted.is_none() && began.elapsed() >= WARM_UP {
                counted = Some((Instant::now(), written));
            }
            if let Some((from, before)) = counted
                && from.elapsed() >= $lasts
            {
                return (written - before) as f64 / from.elapsed().as_secs_f64();
            }
            let mut transaction = connection.begin().await.expect("a transaction");
            let id = (u128::from(number.unsigned_abs()) + 1).to_be_bytes();
            let id = sqlx::types::Uuid::from_bytes(id);
            sqlx::query(statements.commit).bind(id).execute(&mut *transaction).await.expect("a batch id");
            for statement in [statements.users, statements.tasks, statements.financial, statements.points] {
                let statement = sqlx::query(statement).bind(written).bind(rows).bind(users);
                statement.execute(&mut *transaction).await.expect("rows");
            }
            transaction.commit().await.expect("a commit");
            written += rows;
        }
        unreachable!("it counts until its time is up")
    }};
}

/// Charges a second, with so many rows a commit.
pub async fn climb(database: &Database, rows: u32, users: u32, lasts: Duration) -> f64 {
    match database.store {
        Store::Postgres => {
            let mut connection = postgres::connect(&database.url).await;
            climb!(connection, &POSTGRES, rows, users, lasts)
        }
        Store::Sqlite => {
            let path = database.url.strip_prefix("sqlite://").expect("a file");
            let mut connection = writer(Path::new(path)).await;
            climb!(connection, &SQLITE, rows, users, lasts)
        }
    }
}

/// With the durability and the cache of scrip's own writer, and a log as long as its own.
async fn writer(path: &Path) -> sqlx::SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", "-32768")
        .pragma("wal_autocheckpoint", "80000")
        .connect()
        .await
        .expect("a connection")
}
